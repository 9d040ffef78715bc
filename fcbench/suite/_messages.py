"""Chat messages, with calls whose arguments are objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fcbench.suite._lines import Fault, decode_json, json_type, refuse_unknown
from fcbench.types import Call

if TYPE_CHECKING:
    from fcbench.types import Json

MESSAGE_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id")
CALL_FIELDS = ("id", "type", "index", "function")


def messages_of(messages: list[Json]) -> list[dict[str, Json]]:
    """Return the messages of a row. Fault for what cannot be used."""
    return [read_message(m, f"$.messages[{i}]") for i, m in enumerate(messages)]


class Answered(NamedTuple):
    """A conversation up to the assistant's last message, and that one's calls and words."""

    messages: list[dict[str, Json]]
    calls: list[Call]
    reply: str


def answered(messages: list[Json]) -> Answered:
    """Return a conversation with its answer apart. Fault where the assistant does not end it."""
    read = messages_of(messages)
    if not read or read[-1].get("role") != "assistant":
        raise Fault("$.messages", "the last message must be the assistant's expected answer")
    answer = read.pop()
    calls = [c["function"] for c in answer.get("tool_calls", [])]
    reply = answer.get("content", "")
    if not isinstance(reply, str):
        raise Fault(f"$.messages[{len(read)}].content", f"expected str, got {json_type(reply)}")
    return Answered(read, [Call(call["name"], call["arguments"]) for call in calls], reply)


def ends_with_answer(messages: Json) -> bool:
    """Whether a conversation ends with a message of the assistant."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and last.get("role") == "assistant"


def read_message(message: Json, path: str) -> dict[str, Json]:
    """Return a message without null fields, its calls' arguments as objects."""
    if not isinstance(message, dict):
        raise Fault(path, f"expected object, got {json_type(message)}")
    plain = {key: value for key, value in message.items() if value is not None}
    refuse_unknown(plain, MESSAGE_FIELDS, path)
    if "tool_calls" in plain:
        calls = plain["tool_calls"]
        if not isinstance(calls, list):
            raise Fault(f"{path}.tool_calls", f"expected array, got {json_type(calls)}")
        plain["tool_calls"] = [_call(c, f"{path}.tool_calls[{i}]") for i, c in enumerate(calls)]
    return plain


def _call(call: Json, path: str) -> dict[str, Json]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise Fault(f"{path}.function", f"expected object, got {json_type(function)}")
    refuse_unknown(call, CALL_FIELDS, path)
    refuse_unknown(function, Call.__struct_fields__, f"{path}.function")
    name, arguments = function.get("name"), function.get("arguments", {})
    if not isinstance(name, str):
        raise Fault(f"{path}.function.name", f"expected str, got {json_type(name)}")
    if isinstance(arguments, str):
        arguments = decode_json(arguments, f"{path}.function.arguments")
    if not isinstance(arguments, dict):
        raise Fault(f"{path}.function.arguments", f"expected object, got {json_type(arguments)}")
    return {**call, "type": "function", "function": {"name": name, "arguments": arguments}}
