"""A model behind a server that speaks as OpenAI's: `openai:URL#MODEL`, URL with or without /v1.

Source: OpenAI's API reference (Create completion, Create chat completion), llama.cpp's
tools/server/README.md, and vllm/entrypoints/openai/ of github.com/vllm-project/vllm.

Native prompts go to /v1/chat/completions, whose own template and parser decide. The model's text
beside its calls is known from llama.cpp's server alone. Rendered prompts go, as they are:

- to llama.cpp's server as token ids, under the model's own template;
- to vLLM's without what it would put before them. It does not tell its template: a chat prompt is
  fcbench's own of the format;
- to all others with OpenAI's fields and no more. Nobody knows what they put before a prompt, mostly
  the bos: prompts are written without it. Control tokens may be missing in what they return.

Keys come from the environment: FCBENCH_API_KEY for any server, OPENAI_API_KEY for
https://api.openai.com. `seconds` are a request's share of the time that several took together,
waiting for the server and asking again included.
"""

from __future__ import annotations

import json
import logging
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from msgspec import structs

from fcbench.backends import Outline
from fcbench.backends._clock import Clock
from fcbench.backends._completions import chat_body, read_chat, read_text, sample_of
from fcbench.backends._http import OPENAI_HOST, Endpoint, checked_url, key_for
from fcbench.backends._llama_server import LlamaServer
from fcbench.backends._served import N_AT_ONCE, answer_all, check_served, failed, seed_of
from fcbench.errors import BackendError, ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.backends import ModelOptions
    from fcbench.backends._completions import Answer
    from fcbench.types import ChatTemplate, Decoding, Json, Request, Sample

PROBE_SECONDS, PROBE_RETRIES = 10.0, 2
UNREACHABLE = ("connection_refused", "connection_reset", "timeout", "rate_limited", "server_error")
"""Faults that say nothing of what kind of server it is."""
NOT_THERE = "HTTP 404"
MOST_STOPS = 4
"""What OpenAI's API takes; no format has more."""

log = logging.getLogger("fcbench")


def open_model(name: str, options: ModelOptions) -> OpenAIBackend:
    """Return the backend of `URL#MODEL`. A server that cannot be reached is warned of, no more.

    ModelError for a template that takes no tools where prompts are native.
    """
    check_model(name, options)
    return OpenAIBackend(name, options)


def check_model(name: str, options: ModelOptions) -> None:
    """Raise UsageError for a name that is none, and for what no server can be given."""
    url, model = _split(name)
    if not model:
        raise UsageError("openai: no model is named", hint="openai:http://127.0.0.1:8080/v1#MODEL")
    checked_url(url)
    key_for(url)
    check_served(f"openai:{name}", options)


def outline(name: str, options: ModelOptions) -> Outline:
    """Return what the server says of itself and of its model."""
    server = OpenAIBackend(name, options).server
    if server is None:
        return Outline(bos="", counted_by="the server cannot be reached")
    told_by = "the server's own tokenizer"
    return Outline(server.template, server.bos, server.count, told_by)


class Server(Protocol):
    """One kind of server: what is known of it, and how it is asked."""

    kind: str
    template: ChatTemplate | None
    bos: str
    n_at_once: int
    takes_tools: bool | None
    manifest: dict[str, Json]

    def ask(self, request: Request, decoding: Decoding) -> Sample:
        """Return the answer to a request. BackendError where there is none."""

    def count(self, request: Request) -> int:
        """Return the tokens of a prompt. BackendError where the server does not say."""


class OpenAIBackend:
    """Asks a server, several requests at a time."""

    has_answered = False

    def __init__(self, name: str, options: ModelOptions, prefix: str = "openai") -> None:
        url, self._model = _split(name)
        self._url = url
        name = f"{prefix}:{name}"
        self._options = options
        self._endpoint = Endpoint(url, options, key=key_for(url))
        self._server: Server | None = None
        self.template: ChatTemplate | None = None
        self.bos = ""
        self.manifest: dict[str, Json] = {"name": name, "backend": "openai"}
        try:
            with closing(self._hasty()) as hasty:
                self._server = self._find_out(hasty)
        except BackendError as error:
            # Every sample will be an error, which a run counts; none is a reason not to begin.
            log.warning("%s: %s: %s", name, error.kind, error.message)
        found = self._server or PlainServer(self._endpoint, self._model)
        self.template, self.bos = found.template, found.bos
        self.manifest |= _record(found)
        if options.native and found.takes_tools is False:
            raise ModelError(
                f"{name}: its chat template takes no tools",
                hint="a server with a template that does, or --prompt chat",
            )

    def answer(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Sample]:
        """Yield one sample a request, as each is finished."""
        try:
            server = self._server = self._server or self._find_out(self._endpoint)
            self._refuse_other_server(server)
        except BackendError as error:
            yield from (failed(request, error) for request in requests)
            return
        n_at_once = self._options.batch_size or server.n_at_once
        for sample in answer_all(requests, decoding, server.ask, n_at_once=n_at_once):
            self.has_answered = self.has_answered or sample.error is None
            yield sample

    def _refuse_other_server(self, server: Server) -> None:
        """Raise BackendError where prompts and record are of a server that nobody had met."""
        if self.manifest != self.manifest | _record(server):
            raise BackendError(
                f"{self._url}: it was not there when the run began, and is no server that is "
                "asked as others are: begin a new run"
            )

    @property
    def server(self) -> Server | None:
        """What answers there, None where nothing did."""
        return self._server

    def close(self) -> None:
        """Let go of the connections."""
        self._endpoint.close()

    def _hasty(self) -> Endpoint:
        """Return a way to the server that does not wait long, to ask what it is."""
        hasty = structs.replace(
            self._options,
            timeout_seconds=min(self._options.timeout_seconds, PROBE_SECONDS),
            retries=min(self._options.retries, PROBE_RETRIES),
        )
        return Endpoint(self._url, hasty, key=key_for(self._url))

    def _find_out(self, probe: Endpoint) -> Server:
        """Return the server by what it tells of itself. BackendError if it cannot be reached."""
        props = _tell(probe, "/props")
        if "chat_template" in props and "default_generation_settings" in props:
            return LlamaServer(self._endpoint, self._model, props)
        version = _tell(probe, "/version").get("version")
        if isinstance(version, str):
            return VllmServer(self._endpoint, self._model, version)
        return PlainServer(self._endpoint, self._model)


class PlainServer:
    """Any server: asked with OpenAI's own fields."""

    kind = "other"
    template: ChatTemplate | None = None
    bos = ""
    n_at_once = N_AT_ONCE
    takes_tools: bool | None = None

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self.manifest: dict[str, Json] = {}
        self._endpoint = endpoint
        self._model = model
        self._clock = Clock()
        self._is_openai = endpoint.url == f"https://{OPENAI_HOST}"

    def ask(self, request: Request, decoding: Decoding) -> Sample:
        """Return the answer to a request. BackendError where there is none."""
        with self._clock.share() as spent:
            if request.native:
                body = self._chat_body(request, decoding)
                answer = self._endpoint.post("/v1/chat/completions", body, read=read_chat)
            else:
                answer = self._complete(self._text_body(request, decoding))
            if answer.ended_by in decoding.stops:  # taken out of the text, and evidence
                answer = structs.replace(answer, text=answer.text + answer.ended_by)
            if answer.calls:  # what the parser left over is not the text that it read
                answer = structs.replace(answer, text="")
            sample = sample_of(request, answer)
            return structs.replace(sample, seconds=round(spent(), 4))

    def count(self, request: Request) -> int:
        """Raise BackendError: OpenAI's API tells it of what was answered, and not before."""
        del request
        raise BackendError("the server does not count before it answers")

    def _complete(self, body: dict[str, Json]) -> Answer:
        try:
            return self._endpoint.post("/v1/completions", body, read=read_text)
        except BackendError as error:
            if NOT_THERE in error.message and error.kind == "refused_request":
                error.message += " (many serve chat alone: --prompt native)"
            raise

    def _chat_body(self, request: Request, decoding: Decoding) -> dict[str, Json]:
        limit = decoding.max_new_tokens
        body = {**chat_body(request, self._model), **self._sampling(request, decoding)}
        if self._is_openai:
            # Its newer models refuse both `max_tokens` and `stop`; none knows a format's tokens.
            return {**body, "max_completion_tokens": limit}
        return {**body, "max_tokens": limit, "stop": list(decoding.stops[:MOST_STOPS])}

    def _text_body(self, request: Request, decoding: Decoding) -> dict[str, Json]:
        return {
            "model": self._model,
            "prompt": request.prompt,
            "max_tokens": decoding.max_new_tokens,
            "stop": list(decoding.stops[:MOST_STOPS]),
            **self._sampling(request, decoding),
        }

    def _sampling(self, request: Request, decoding: Decoding) -> dict[str, Json]:
        if not decoding.temperature:
            return {"temperature": 0.0}
        seed = seed_of(request, decoding)
        return {"temperature": decoding.temperature, "top_p": 1.0, "seed": seed}


class VllmServer(PlainServer):
    """vLLM's server, whose own fields take away what it would add or leave out."""

    kind = "vllm"

    def __init__(self, endpoint: Endpoint, model: str, version: str) -> None:
        super().__init__(endpoint, model)
        self.manifest = {"version": version}
        bos = self._find_bos()
        # Where nobody can tell it, it is left to the server.
        self._adds_bos = bos is None
        self.bos = bos or ""

    def _find_bos(self) -> str | None:
        """Return what its tokenizer puts before a text, None where it does not say."""
        strings = []
        for add in (True, False):
            body = {
                "model": self._model,
                "prompt": "x",
                "add_special_tokens": add,
                "return_token_strs": True,
            }
            try:
                said: Json = self._endpoint.post("/tokenize", body)
            except BackendError as error:
                if error.kind in UNREACHABLE:
                    raise
                return None
            told = said.get("token_strs") if isinstance(said, dict) else None
            if not isinstance(told, list) or not told:
                return None
            strings.append(told)
        added, plain = strings
        return str(added[0]) if added[-len(plain) :] == plain and len(added) > len(plain) else ""

    def count(self, request: Request) -> int:
        """Return the tokens of a prompt, as the server would read it."""
        body: dict[str, Json] = {
            "model": self._model,
            "prompt": request.prompt,
            "add_special_tokens": self._adds_bos,
        }
        if request.native:
            body = {"model": self._model, **json.loads(request.prompt)}
        said: Json = self._endpoint.post("/tokenize", body)
        if not isinstance(said, dict) or not isinstance(said.get("count"), int):
            raise BackendError("/tokenize tells no count", kind="server_error")
        return int(said["count"])

    def _text_body(self, request: Request, decoding: Decoding) -> dict[str, Json]:
        return {
            **super()._text_body(request, decoding),
            "add_special_tokens": self._adds_bos,
            "skip_special_tokens": False,
            "spaces_between_special_tokens": False,
            "include_stop_str_in_output": False,
        }

    def _sampling(self, request: Request, decoding: Decoding) -> dict[str, Json]:
        # What is left out would be the model's generation_config.
        return {
            **super()._sampling(request, decoding),
            "top_p": 1.0,
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
        }


def _record(server: Server) -> dict[str, Json]:
    return {"server": server.kind, **server.manifest}


def _split(name: str) -> tuple[str, str]:
    """Return the address, without /v1, and the model of `URL#MODEL`."""
    url, _, model = name.partition("#")
    return url.rstrip("/").removesuffix("/v1"), model


def _tell(endpoint: Endpoint, path: str) -> dict[str, Json]:
    """Return what a server says at a path, {} where it has nothing there."""
    try:
        said = endpoint.get(path)
    except BackendError as error:
        if error.kind in UNREACHABLE:
            raise
        return {}
    return said if isinstance(said, dict) else {}
