"""Many requests to a server at a time, and what no server can be asked for."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from fcbench.backends import refuse_equal_repeats
from fcbench.errors import BackendError, MissingExtra, UsageError
from fcbench.types import Decoding, Request, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fcbench.backends import ModelOptions

Ask = Callable[[Request, Decoding], Sample]
"""Asks once, with retries, and returns the answer; BackendError where there is none."""

N_AT_ONCE = 8
"""Requests in flight where nobody says how many."""


def answer_all(
    requests: Iterable[Request], decoding: Decoding, ask: Ask, *, n_at_once: int
) -> Iterator[Sample]:
    """Yield one sample a request as each is finished, never more than `n_at_once` in flight.

    A BackendError from `ask` is a sample with an error; what else it raises is raised here. Where
    nothing was ever answered and `n_at_once` requests found nobody to connect to, the rest are
    errors at once: a server that is not there must not cost hours of patience. No request is read
    before it is asked.
    """
    work = _Work(requests, decoding, ask, n_at_once)
    for _ in range(work.n_threads):
        # Daemons: an interrupted run does not wait for answers that nobody will read.
        threading.Thread(target=work.run, name="fcbench-ask", daemon=True).start()
    n_working = work.n_threads
    try:
        while n_working:
            found = work.done.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                n_working -= 1
            else:
                yield found
    finally:
        work.take_all()


class _Work:
    """Requests that several threads take one by one, and what came of each.

    In `done` None is a thread that has come to its end.
    """

    def __init__(
        self, requests: Iterable[Request], decoding: Decoding, ask: Ask, n_threads: int
    ) -> None:
        self.done: queue.SimpleQueue[Sample | BaseException | None] = queue.SimpleQueue()
        self.n_threads = n_threads
        self._decoding = decoding
        self._ask = ask
        self._lock = threading.Lock()
        self._waiting = iter(requests)  # a prompt is rendered when it is taken
        self._has_answered = False
        self._n_refused = 0

    def run(self) -> None:
        """Answer requests until there are none left."""
        # A mistake of ours must end the run, and not leave it waiting for this thread.
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001
            self.done.put(error)
        else:
            self.done.put(None)

    def _run(self) -> None:
        while (request := self._take()) is not None:
            try:
                self.done.put(self._ask(request, self._decoding))
                self._has_answered = True
            except BackendError as error:
                self.done.put(failed(request, error))
                if self._is_nobody_there(error):
                    for unasked in self.take_all():
                        self.done.put(failed(unasked, error))

    def take_all(self) -> Iterator[Request]:
        """Return the requests that no thread has taken; none is taken any more."""
        with self._lock:
            waiting, self._waiting = self._waiting, iter(())
            return waiting

    def _take(self) -> Request | None:
        with self._lock:
            return next(self._waiting, None)

    def _is_nobody_there(self, error: BackendError) -> bool:
        with self._lock:
            self._n_refused += error.kind == "connection_refused"
            return not self._has_answered and self._n_refused >= self.n_threads


def failed(request: Request, error: BackendError) -> Sample:
    """Return the sample of a request that got no answer."""
    return Sample(
        request.case.id,
        request.repeat,
        prompt_sha256=request.prompt_sha256,
        error=f"{error.kind}: {error.message}",
    )


def seed_of(request: Request, decoding: Decoding) -> int:
    """Return a seed of 31 bits for one answer: it depends on seed, case and repeat alone.

    So a sample is drawn alike in any order, in any company and after any interruption, as far as
    the server computes alike.
    """
    key = json.dumps([decoding.seed, request.case.id, request.repeat]).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:4]) >> 1


def check_served(name: str, options: ModelOptions) -> None:
    """Raise UsageError for what a server cannot be given, since it has chosen it already.

    `name` is the model's as it was typed, with its prefix.
    """
    if options.adapter is not None:
        raise UsageError(
            f"{name}: a server applies its own adapters",
            hint="start the server with the adapter, and name what it serves",
        )
    if Decoding(options.decode).is_constrained:
        raise UsageError(
            f"{name}: a server is not held to a grammar here: no --decode {options.decode}"
        )
    if options.dtype != "auto":
        raise UsageError(f"{name}: a server has chosen its dtype: no --dtype {options.dtype} here")
    if options.prefix_memory is not None:
        raise UsageError(f"{name}: a server keeps its own cache: no --prefix-memory here")
    refuse_equal_repeats(options)
    if importlib.util.find_spec("httpx") is None:
        raise MissingExtra("httpx", "server")
