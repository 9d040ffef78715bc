"""A model in Ollama: `ollama:MODEL`, at the host that OLLAMA_HOST names.

Source: docs/api.md, api/types.go, server/routes.go, llm/llama_server.go and envconfig/config.go of
github.com/ollama/ollama, as of November 2026. No Ollama could be installed where this was written:
it is tested against a small in-process server that follows the published API, nothing else.

Native prompts go to /api/chat, whose template writes the text and whose parser reads the calls.
Of schemas Ollama keeps type, items, description, enum, properties and anyOf, and the rest is lost.
The model's text is known only where no call was read in it. Rendered prompts go to /api/generate
as they are (`raw`). What else differs from the other backends:

- Ollama puts the bos before a raw prompt itself where the model's metadata says so. It is left out
  of what is sent then, so that there is exactly one.
- Since 0.30 raw answers lack the tokens that the GGUF calls control tokens. A format whose calls
  are made of such tokens cannot be measured raw there, which is warned of.
- A prompt longer than num_ctx is cut at its beginning, and nothing says so. num_ctx is made large
  enough, the server is asked to refuse instead (`truncate`, `shift`), and an answer whose prompt
  left no room for it is an error. As a change of num_ctx loads the model anew, all have the same.
- What a model thinks comes in a field of its own, which is not judged; its tokens count. A raw
  answer holds it in its text.
- The same token a hundred times over makes an error of an answer (since 0.30), not a repetition.
"""

from __future__ import annotations

import json
import logging
import os
import re
from functools import partial
from typing import TYPE_CHECKING

from fcbench.backends import Outline
from fcbench.backends._http import Endpoint, key_for
from fcbench.backends._native import calls_of
from fcbench.backends._ollama_show import Shown, digest_of, read_shown
from fcbench.backends._served import answer_all, check_served, failed, seed_of
from fcbench.backends._windows import until_closed
from fcbench.errors import BackendError, FormatError, ModelError, UsageError
from fcbench.formats import render
from fcbench.types import Call, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fcbench.backends import ModelOptions
    from fcbench.types import ChatTemplate, Decoding, Json, Request, Stop

N_AT_ONCE = 4
"""Requests at a time: what Ollama answers together on its own account, memory allowing."""
LEAST_CTX, CTX_STEP = 8192, 4096
STOPS: dict[str, Stop] = {"stop": "token", "length": "limit"}

log = logging.getLogger("fcbench")


def open_model(name: str, options: ModelOptions) -> OllamaBackend:
    """Return the backend of a model. A server that cannot be reached is warned of, no more.

    ModelError for a model that takes no tools where prompts are native.
    """
    check_model(name, options)
    return OllamaBackend(name, options)


def check_model(name: str, options: ModelOptions) -> None:
    """Raise UsageError for no name, an unusable host, and what no server can be given."""
    if not name:
        raise UsageError("ollama: no model is named", hint="ollama:MODEL, as `ollama list` has it")
    check_served(f"ollama:{name}", options)
    host_of(os.environ.get("OLLAMA_HOST", ""))


def host_of(variable: str) -> str:
    """Return the address that OLLAMA_HOST means, read as Ollama itself reads it.

    >>> host_of(""), host_of("0.0.0.0:80"), host_of("https://a.example")
    ('http://127.0.0.1:11434', 'http://127.0.0.1:80', 'https://a.example:443')
    """
    # Anywhere, and before anything of it is shown: a password may hold a slash.
    if set("@?#") & set(variable):
        raise UsageError("OLLAMA_HOST: an address holds no user name, query or fragment here")
    scheme, found, rest = variable.strip().strip("\"'").strip().rpartition("://")
    default = {"http": "80", "https": "443"}.get(scheme, "11434")
    place, slash, path = rest.rstrip("/").partition("/")
    split = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*)):([^:]*)", place)
    host, port = place.strip("[]"), default
    if split is not None:
        host, port = split[1] or split[2] or "", split[3]
    if not (port.isdecimal() and int(port) < 2**16):
        log.warning("OLLAMA_HOST: it names no port, %s is taken, as Ollama does", default)
        port = default
    # One listens at these, and asks at those.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    host = f"[{host}]" if ":" in host else host
    return f"{scheme if found else 'http'}://{host}:{port}{slash}{path}"


def outline(name: str, options: ModelOptions) -> Outline:
    """Return what the server shows of the model."""
    return Outline(bos=OllamaBackend(name, options).bos, counted_by="Ollama does not say")


class OllamaBackend:
    """Asks Ollama, several requests at a time."""

    template: ChatTemplate | None = None
    has_answered = False

    def __init__(self, name: str, options: ModelOptions) -> None:
        self.manifest: dict[str, Json] = {"name": f"ollama:{name}", "backend": "ollama"}
        # Where it is not known it is as in most prompts of fcbench.
        self.bos = "<bos>"
        self._name = name
        self._options = options
        host = host_of(os.environ.get("OLLAMA_HOST", ""))
        self._endpoint = Endpoint(host, options, key=key_for(host))
        self._shown: Shown | None = None
        try:
            self._shown = self._show()
        except BackendError as error:
            log.warning("ollama:%s: %s: %s", name, error.kind, error)
        else:
            self.bos = self._shown.bos or ""
            self.manifest |= self._shown.manifest
            if options.native and self._shown.takes_tools is False:
                raise ModelError(
                    f"ollama:{name}: its template takes no tools",
                    hint="a Modelfile with a TEMPLATE that does (fcbench export writes one), or "
                    "--prompt chat",
                )

    def answer(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Sample]:
        """Yield one sample a request, as each is finished.

        A model of which the server tells nothing is not asked: nobody knows whether a bos is added.
        """
        try:
            shown = self._shown = self._shown or self._show()
            if not all(request.native for request in requests):
                self._refuse_other_bos(shown)
        except BackendError as error:
            yield from (failed(request, error) for request in requests)
            return
        self._warn_of_lost_tokens(shown, requests, decoding)
        ask = partial(self._ask, shown=shown, num_ctx=_num_ctx(shown, requests, decoding))
        n_at_once = self._options.batch_size or N_AT_ONCE
        n_swallowed = 0
        # All were read for num_ctx: without a look, an interrupted run would finish them all.
        wanted = until_closed(requests, requests)
        for sample in answer_all(wanted, decoding, ask, n_at_once=n_at_once):
            self.has_answered = self.has_answered or sample.error is None
            n_swallowed += _is_swallowed(sample)
            yield sample
        if n_swallowed:
            log.warning(
                "%d answers have tokens but neither text nor a call: Ollama's parser kept them, "
                "and they count as no call; --prompt chat shows what they are",
                n_swallowed,
            )

    def _refuse_other_bos(self, shown: Shown) -> None:
        if (shown.bos or "") != self.bos:
            raise BackendError(
                f"the prompts begin with {self.bos!r}, the model with {shown.bos!r}: the server "
                "was not there when they were made; begin a new run"
            )

    def _show(self) -> Shown:
        """Return what the server tells of the model. BackendError if it does not."""
        try:
            asked = {"model": self._name, "verbose": True}
            shown: Json = self._endpoint.post("/api/show", asked)
        except BackendError as error:
            if error.kind == "no_such_model":
                error.hint = f"ollama pull {self._name}"
            elif error.kind == "connection_refused":
                error.hint = "ollama serve, or OLLAMA_HOST"
            raise
        if not isinstance(shown, dict):
            raise BackendError("/api/show answers no object", kind="server_error")
        version = self._tell("/api/version")
        return read_shown(
            shown,
            str(version.get("version") or "") if isinstance(version, dict) else "",
            digest_of(self._tell("/api/tags"), self._name),
        )

    def _tell(self, path: str) -> Json:
        """Return what is good to know and not needed, None where the server has it not."""
        try:
            return self._endpoint.get(path)
        except BackendError as error:
            # What comes and goes would make another model of this one when a run is resumed.
            if error.retryable:
                raise
            return None

    def _ask(self, request: Request, decoding: Decoding, *, shown: Shown, num_ctx: int) -> Sample:
        body = {
            "model": self._name,
            "stream": False,
            "truncate": False,
            "shift": False,
            "options": {"num_ctx": num_ctx, **_sampling(shown, request, decoding)},
        }
        if request.native:
            path = "/api/chat"
            body |= as_ollama_has_them(json.loads(request.prompt))
        else:
            path = "/api/generate"
            prompt = request.prompt.removeprefix(shown.bos or "")
            if not prompt:  # which asks Ollama to load the model, no more
                raise BackendError("the prompt holds no token", kind="refused_request")
            # Thinking unasked, Ollama takes what a model thinks out of its text.
            body |= {"prompt": prompt, "raw": True, "think": False}
        read = partial(_sample, request, decoding, num_ctx=num_ctx)
        return self._endpoint.post(path, body, read=read)

    def _warn_of_lost_tokens(
        self, shown: Shown, requests: Sequence[Request], decoding: Decoding
    ) -> None:
        if all(request.native for request in requests):
            return
        try:
            call = render([Call("f", {"key": "value"})], decoding.format)
        except FormatError:
            return
        lost = sorted(token for token in shown.control_tokens if token in call)
        if lost:
            log.warning(
                "ollama:%s: raw answers lack %s, which the GGUF calls control tokens: no call of "
                "the format %s can be whole; ask natively, or with gguf:FILE",
                self._name,
                ", ".join(lost),
                decoding.format,
            )


def _num_ctx(shown: Shown, requests: Sequence[Request], decoding: Decoding) -> int:
    """Return how many tokens all prompts and answers fit in.

    There is no way to count tokens but to ask. Prompts seen have 3 bytes a token and more; one that
    has fewer than 2 may be refused.
    """
    longest = max((len(request.prompt.encode()) for request in requests), default=0)
    needed = longest // 2 + decoding.max_new_tokens
    enough = max(LEAST_CTX, -(-needed // CTX_STEP) * CTX_STEP)
    return min(enough, shown.context_length or enough)


def _sampling(shown: Shown, request: Request, decoding: Decoding) -> dict[str, Json]:
    """Return the options of a request; those that are left out would be the Modelfile's."""
    return {
        "temperature": decoding.temperature,
        "seed": seed_of(request, decoding),
        "num_predict": decoding.max_new_tokens,
        # These replace the Modelfile's, which end the model's turns as well.
        "stop": list(dict.fromkeys([*decoding.stops, *shown.stops])),
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "typical_p": 1.0,
        "repeat_last_n": 0,
        "repeat_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }


def as_ollama_has_them(body: Mapping[str, Json]) -> dict[str, Json]:
    """Return `messages` and `tools` of OpenAI's wire shape in Ollama's.

    Arguments are objects, a result names its function, and a developer is called system: Ollama
    knows no other, and would put the Modelfile's own before it.
    """
    called: dict[str, str] = {}
    messages = []
    for message in body["messages"]:
        role = "system" if message["role"] == "developer" else message["role"]
        sent = {"role": role, "content": message.get("content") or ""}
        calls = []
        for call in message.get("tool_calls") or []:
            function = call["function"]
            called[call["id"]] = function["name"]
            arguments = json.loads(function["arguments"])
            made = {"name": function["name"], "arguments": arguments}
            calls.append({"id": call["id"], "function": made})
        if calls:
            sent["tool_calls"] = calls
        if role == "tool":
            id = message.get("tool_call_id", "")
            sent |= {"tool_name": message.get("name") or called.get(id, ""), "tool_call_id": id}
        messages.append(sent)
    return {"messages": messages, **({"tools": body["tools"]} if "tools" in body else {})}


def _sample(request: Request, decoding: Decoding, answer: Json, *, num_ctx: int) -> Sample:
    """Return the sample of an answer. BackendError for one that is none."""
    text, calls = _text_and_calls(request, answer)
    n_prompt, n_output = _count(answer, "prompt_eval_count"), _count(answer, "eval_count")
    if n_prompt is not None and n_prompt + decoding.max_new_tokens > num_ctx:
        raise BackendError(
            f"{n_prompt} prompt tokens and {decoding.max_new_tokens} new ones exceed the context "
            f"of {num_ctx}",
            kind="refused_request",
        )
    return Sample(
        case_id=request.case.id,
        repeat=request.repeat,
        text="" if calls else text,
        native_calls=calls,
        prompt_sha256=request.prompt_sha256,
        prompt_tokens=n_prompt,
        # Go leaves out a zero.
        output_tokens=0 if n_output is None and n_prompt is not None else n_output,
        seconds=_seconds(answer),
        stop=STOPS.get(answer.get("done_reason", "")),
    )


def _text_and_calls(request: Request, answer: Json) -> tuple[str, list[Call] | None]:
    if not isinstance(answer, dict) or answer.get("done") is not True:
        raise _empty("the answer is not done")
    if not request.native:
        if not isinstance(answer.get("response"), str):
            raise _empty("the answer holds no response")
        return answer["response"], None
    message = answer.get("message")
    if not isinstance(message, dict):
        raise _empty("the answer holds no message")
    try:
        calls = calls_of(message.get("tool_calls"))
    except ValueError as error:
        raise BackendError(str(error), kind="server_error", retryable=True) from error
    return str(message.get("content") or ""), calls


def _empty(what: str) -> BackendError:
    return BackendError(what, kind="empty_choice", retryable=True)


def _seconds(answer: Mapping[str, Json]) -> float | None:
    """Return how long the model took, without the time to load it or to wait for others."""
    spent = [_count(answer, key) for key in ("prompt_eval_duration", "eval_duration")]
    known = [nanoseconds for nanoseconds in spent if nanoseconds is not None]
    return round(sum(known) / 1e9, 4) if known else None


def _count(answer: Mapping[str, Json], key: str) -> int | None:
    value = answer.get(key)
    return value if isinstance(value, int) else None


def _is_swallowed(sample: Sample) -> bool:
    """Whether a server's parser took what the model wrote and returned nothing of it.

    One token is the one that ends a turn.
    """
    is_empty = sample.native_calls == [] and not sample.text and sample.error is None
    return is_empty and (sample.output_tokens or 0) > 1
