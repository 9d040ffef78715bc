"""Answers in the shapes of OpenAI's two endpoints, and what is no answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fcbench.backends._native import calls_of
from fcbench.errors import BackendError
from fcbench.text import shorten, visible
from fcbench.types import Call, Json, Record, Sample, Stop

if TYPE_CHECKING:
    from fcbench.types import Request

STOPS: dict[str, Stop] = {
    "stop": "token",
    "tool_calls": "token",
    "function_call": "token",
    "length": "limit",
}
FILTERED, BROKEN_OFF = "content_filter", ("abort", "error")
"""Ways to finish that are neither the model's nor the limit's."""


class Answer(Record, frozen=True):
    """What a completion says; `calls` is None where the endpoint reads none.

    `ended_by` is the text that ended it, where the server says so; `ids` are those of the tokens
    that were written.
    """

    text: str
    calls: list[Call] | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    stop: Stop | None = None
    ended_by: str = ""
    ids: tuple[int, ...] = ()


def chat_body(request: Request, model: str) -> dict[str, Json]:
    """Return what every chat endpoint is sent of a native request."""
    body = {"model": model, **json.loads(request.prompt)}
    return {**body, "tool_choice": "auto"} if body.get("tools") else body


def sample_of(request: Request, answer: Answer) -> Sample:
    """Return an answer as the sample of its request, without the time it took."""
    return Sample(
        case_id=request.case.id,
        repeat=request.repeat,
        text=answer.text,
        native_calls=answer.calls,
        prompt_sha256=request.prompt_sha256,
        prompt_tokens=answer.prompt_tokens,
        output_tokens=answer.output_tokens,
        stop=answer.stop,
    )


def read_text(said: Json) -> Answer:
    """Return the answer of /v1/completions. BackendError for what is none."""
    choice = _choice(said)
    text = choice.get("text")
    if not isinstance(text, str):
        raise _empty("the choice holds no text")
    ended_by = choice.get("stop_reason")  # vLLM says which of the texts that end a turn it was
    return Answer(text, None, *_counts(said), _stop(choice), _if_text(ended_by))


def read_chat(said: Json) -> Answer:
    """Return the answer of /v1/chat/completions. BackendError for what is none.

    A message without content and without calls is the answer of a model that ended its turn at
    once; servers write it as null or "". One that has neither field says nothing of the model.
    """
    choice = _choice(said)
    message = choice.get("message")
    if not isinstance(message, dict) or not {"content", "tool_calls"} & message.keys():
        raise _empty("the choice holds neither content nor tool calls")
    # Where OpenAI's models decline, their words stand in a field of their own.
    text = message.get("content") or message.get("refusal") or ""
    if not isinstance(text, str):
        raise _broken(f"the content is no text but {type(text).__name__}")
    try:
        calls = calls_of(message.get("tool_calls"))
    except ValueError as error:
        raise _broken(str(error)) from error
    return Answer(text, calls, *_counts(said), _stop(choice), "", _ids(choice))


def _choice(said: Json) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise _broken(f"the answer is no object but {type(said).__name__}")
    if said.get("error"):  # some gateways hand a failure on with HTTP 200
        raise _broken(f"the answer is an error: {shorten(visible(str(said['error'])), 300)}")
    choices = said.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _empty("the answer holds no choice")
    choice: dict[str, Any] = choices[0]
    reason = choice.get("finish_reason")
    if reason == FILTERED:
        raise BackendError("the server's filter cut the answer", kind="refused_request")
    if reason in BROKEN_OFF:
        raise _broken(f"the server broke the answer off: {reason}")
    return choice


def _stop(choice: dict[str, Any]) -> Stop | None:
    return STOPS.get(_if_text(choice.get("finish_reason")))


def _counts(said: dict[str, Any]) -> tuple[int | None, int | None]:
    usage = said.get("usage")
    if not isinstance(usage, dict):
        return None, None
    prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (
        prompt if isinstance(prompt, int) else None,
        output if isinstance(output, int) else None,
    )


def _ids(choice: dict[str, Any]) -> tuple[int, ...]:
    """Return the ids of the tokens that llama.cpp tells with their probabilities, () where not."""
    told = choice.get("logprobs")
    content = told.get("content") if isinstance(told, dict) else None
    ids = [t.get("id") for t in content or [] if isinstance(t, dict)]
    return tuple(id for id in ids if isinstance(id, int))


def _if_text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _empty(what: str) -> BackendError:
    return BackendError(what, kind="empty_choice", retryable=True)


def _broken(what: str) -> BackendError:
    return BackendError(what, kind="server_error", retryable=True)
