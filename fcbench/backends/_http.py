"""JSON over HTTP, asked again where that can help; every fault has its kind."""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from fcbench.backends._faults import fault_of_status, read_json
from fcbench.errors import BackendError, MissingExtra, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from fcbench.backends import ModelOptions
    from fcbench.types import Json

T = TypeVar("T")

KEY, OPENAI_KEY = "FCBENCH_API_KEY", "OPENAI_API_KEY"
OPENAI_HOST = "api.openai.com"
LOOPBACK = ("localhost", "127.0.0.1", "::1")

BACKOFF_SECONDS = 0.5
MOST_BACKOFF_SECONDS = 30.0
MOST_RETRY_AFTER_SECONDS = 300.0
CONNECT_SECONDS = 30.0
GRACE_SECONDS = 1.0  # for the clock that looks between pieces to be the first to notice
MOST_BYTES = 64 * 2**20
HIDDEN = "[key]"
SHORTEST_SECRET = 8  # what stands for a key where none is needed ("EMPTY", "none") is a word


class Secret(str):
    """A text that is not shown where a function's values are: `pytest --showlocals`, for one."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(HIDDEN)


def key_for(url: str) -> Secret | None:
    """Return the key for a server, from the environment alone: FCBENCH_API_KEY for any.

    OPENAI_API_KEY goes to https://api.openai.com and nowhere else. UsageError for a key that no
    header can hold.
    """
    parts = urlsplit(url)
    is_openai = parts.scheme == "https" and parts.netloc.lower() == OPENAI_HOST
    for name in (KEY, OPENAI_KEY) if is_openai else (KEY,):
        key = Secret(os.environ.get(name, "").strip())
        if key and not (key.isascii() and key.isprintable()):
            # Said here, by its name: the library's own error would show it.
            raise UsageError(f"{name} holds characters that no header can hold")
        if key:
            return key
    return None


def checked_url(url: str) -> str:
    """Return a server's address without a slash at its end. UsageError for what is none.

    One with a name, a password or a query is refused, and not shown: a key in it would be written
    wherever the model's name is.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise UsageError("not the address of a server", hint=_EXAMPLE) from None
    # Anywhere: a password with a slash in it ends the part that a URL calls its host.
    if set("@?#") & set(url):
        raise UsageError(
            "the address of a server holds no name, password, query or fragment",
            hint=f"a key is read from the environment: {KEY}",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"not the address of a server: {url}", hint=_EXAMPLE)
    return url.rstrip("/")


_EXAMPLE = "as in http://127.0.0.1:8080/v1"


def _as_it_is(answer: Json) -> Json:
    return answer


class Endpoint:
    """A server's address, and how patiently it is asked. Threads may share it."""

    def __init__(self, url: str, options: ModelOptions, *, key: Secret | None = None) -> None:
        """UsageError for an address that is none, MissingExtra without httpx."""
        self.url = checked_url(url)
        try:
            import httpx
        except ImportError as error:
            raise MissingExtra("httpx", "server") from error
        self._seconds = options.timeout_seconds
        self._retries = options.retries
        is_secret = len(key or "") >= SHORTEST_SECRET
        self._secret = _written(key or "") if is_secret else None
        # Nothing compressed: a few bytes could unpack to gigabytes before they are counted.
        headers = {"Accept-Encoding": "identity", "User-Agent": "fcbench"}
        if key is not None:
            headers["Authorization"] = Secret(f"Bearer {key}")
        self._client = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(self._seconds, connect=min(self._seconds, CONNECT_SECONDS)),
            # The number of threads is the limit; a second one would look like a slow server.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            follow_redirects=False,  # the key would follow them
            # A proxy of the environment does not lead to this machine itself.
            trust_env=urlsplit(self.url).hostname not in LOOPBACK,
        )
        # Connections end with what they were made for; the client itself leaves them to chance.
        weakref.finalize(self, self._client.close)
        self._closed = threading.Event()

    def get(self, path: str, *, retries: int | None = None) -> Json:
        """Return the JSON at a path. Faults and retries as for post."""
        return self._ask(lambda: self._ask_once("GET", path, None), retries)

    def post(
        self,
        path: str,
        body: Mapping[str, Json],
        *,
        read: Callable[[Json], T] = _as_it_is,
        retries: int | None = None,
    ) -> T:
        """Return what `read` makes of the JSON that the server answers with.

        BackendError for the last fault, one that `read` raises included. Where that can help it is
        asked again, `retries` times at most, each after a random part of a time that doubles, and
        not before the server's Retry-After.
        """
        # Lone surrogates are written as \ud800: UTF-8 could not hold them.
        content = json.dumps(body, allow_nan=False).encode()
        return self._ask(lambda: read(self._ask_once("POST", path, content)), retries)

    def close(self) -> None:
        """Let go of the connections; what waits to ask again gives up."""
        self._closed.set()
        self._client.close()

    def _ask(self, ask_once: Callable[[], T], retries: int | None) -> T:
        left = self._retries if retries is None else retries
        n_asked = 0
        while True:
            try:
                return self._in_time(ask_once)
            except BackendError as error:
                if not error.retryable or n_asked == left:
                    raise
                wait = error.retry_after or 0.0
                if wait > MOST_RETRY_AFTER_SECONDS:
                    what = f"{error.message}; it wants to be left alone for {wait:.0f} s"
                    raise BackendError(what, kind=error.kind, retry_after=wait) from error
                if self._closed.wait(max(wait, _backoff(n_asked))):
                    raise
            n_asked += 1

    def _in_time(self, ask: Callable[[], T]) -> T:
        """Return what `ask` returns, or raise what it raises, within the time of one attempt.

        It runs in a thread of its own, which is left behind when the time is over: a name that is
        looked up for ever, and headers that drip, are in none of the library's timeouts.
        """
        ended: Future[T] = Future()

        def run() -> None:
            try:
                ended.set_result(ask())
            # Whatever it is, it is raised again in the thread that asked.
            except BaseException as error:  # noqa: BLE001
                ended.set_exception(error)

        threading.Thread(target=run, name="fcbench-http", daemon=True).start()
        try:
            return ended.result(timeout=self._seconds + GRACE_SECONDS)
        except TimeoutError:
            raise self._too_slow() from None

    def _ask_once(self, method: str, path: str, content: bytes | None) -> Json:
        import httpx

        deadline = time.monotonic() + self._seconds
        headers = {} if content is None else {"Content-Type": "application/json"}
        where = f"{self.url}{path}"
        try:
            with self._client.stream(method, where, content=content, headers=headers) as response:
                said = self._read(response, deadline)
        except httpx.TimeoutException as error:
            raise self._too_slow() from error
        except httpx.ConnectError as error:
            what = f"{self.url}: cannot connect: {error}"
            raise BackendError(what, kind="connection_refused", retryable=True) from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            what = f"{self.url}: the connection broke: {self._hide(str(error))}"
            raise BackendError(what, kind="connection_reset", retryable=True) from error
        # Its other failures (a proxy, an address, a client that was closed) do not get better.
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
            what = f"{self.url}: {type(error).__name__}: {self._hide(str(error))}"
            raise BackendError(what) from error
        if not response.is_success:
            text = self._hide(said.decode(errors="replace"))
            raise fault_of_status(where, response.status_code, response.headers, text)
        return read_json(where, said)

    def _read(self, response: httpx.Response, deadline: float) -> bytes:
        """Return the body, with an eye on the clock between its pieces; no key stands in it."""
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if time.monotonic() > deadline:
                raise self._too_slow()
            if len(body) > MOST_BYTES:
                what = f"{self.url}: an answer of more than {MOST_BYTES} bytes"
                raise BackendError(what, kind="not_json")
        if self._secret is None:
            return bytes(body)
        # Some servers echo the headers that they were sent, and what they say is stored. Latin-1
        # for bytes that are no text; a key is ASCII.
        return self._secret.sub(HIDDEN, body.decode("latin-1")).encode("latin-1")

    def _too_slow(self) -> BackendError:
        what = f"{self.url}: no whole answer within {self._seconds:g} s"
        return BackendError(what, kind="timeout", retryable=True)

    def _hide(self, text: str) -> str:
        return text if self._secret is None else self._secret.sub(HIDDEN, text)


def _written(secret: str) -> re.Pattern[str]:
    r"""Return what finds a secret as it is, and as JSON, URLs and HTML write its characters.

    Many servers escape some of them in JSON: / as \/, + as \u002B.

    >>> _written("a/b+").sub("[key]", r"a/b+ a\/b\u002B a%2fb&#43; a/c")
    '[key] [key] [key] a/c'
    """
    return re.compile("".join(map(_character, secret)))


def _character(char: str) -> str:
    code = f"{ord(char):02x}"
    # Bounded, or a body of backslashes alone took the square of its length.
    ways = [
        (r"\\{0,4}" if char in '/"\\' else "") + re.escape(char),
        rf"\\{{1,4}}u00(?i:{code})",
        f"%(?i:{code})",
        f"&#(?:(?i:x0{{0,4}}{code})|0{{0,4}}{ord(char)});",
    ]
    return f"(?:{'|'.join(ways)})"


def _backoff(n_asked: int) -> float:
    """Return how long to wait before asking again, in seconds.

    All of it is random (full jitter), so that clients who were refused together do not come back
    together. Source: M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015.
    """
    # Never more than 2^10 of them, or the power overflows before the smaller one is taken.
    most = min(MOST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** min(n_asked, 10))
    return random.uniform(0, most)  # noqa: S311  nothing secret is drawn
