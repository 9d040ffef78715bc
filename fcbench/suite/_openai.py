"""Rows for fine-tuning OpenAI's chat models with tools.

Source: OpenAI's API reference, FineTuneChatRequestInput. The assistant's last message is the
expected answer; the arguments of calls are JSON in a string, contents may be lists of text parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.suite._lines import Fault, convert
from fcbench.suite._messages import answered, ends_with_answer
from fcbench.suite._tools import tools_of
from fcbench.types import Case

if TYPE_CHECKING:
    from fcbench.suite._reading import Reading
    from fcbench.types import Json

# Marks of training that no prompt shows.
UNSEEN = ("weight", "refusal", "audio", "annotations")


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[dict[str, Any]]
    tools: list[Any] = msgspec.field(default_factory=list)
    parallel_tool_calls: bool | None = None


def is_one(row: dict[str, Json]) -> bool:
    """Whether a row is of this schema: its tools, or its calls, say that they are functions."""
    if "parallel_tool_calls" in row or "functions" in row:
        return True
    if not ends_with_answer(row.get("messages")):
        return False
    tools = row.get("tools")
    calls = row["messages"][-1].get("tool_calls")
    return not {"id", "metadata", "tags", "ordered"} & set(row) and any(
        isinstance(item, dict) and item.get("type") == "function"
        for listed in (tools, calls)
        if isinstance(listed, list)
        for item in listed
    )


def case(row: dict[str, Json], default_id: str, reading: Reading) -> Case:
    """Return the case of a row."""
    if "functions" in row:
        raise Fault("$.functions", "deprecated by OpenAI", 'write "tools" and "tool_calls" instead')
    read: _Row = convert(row, _Row)
    plain = [_message(message, f"$.messages[{i}]") for i, message in enumerate(read.messages)]
    answer = answered(plain)
    if read.messages[-1].get("weight") == 0:
        path = f"$.messages[{len(plain) - 1}].weight"
        raise Fault(path, "0: the answer is not to be learned", "leave the row out")
    return Case(
        id=default_id,
        messages=answer.messages,
        tools=tools_of(read.tools),
        expected=[answer.calls],
        reply=answer.reply,
        ordered=bool(reading.ordered),
    )


def _message(message: dict[str, Any], path: str) -> dict[str, Json]:
    if "function_call" in message:
        raise Fault(f"{path}.function_call", "deprecated by OpenAI", 'write "tool_calls" instead')
    plain = {key: value for key, value in message.items() if key not in UNSEEN}
    if isinstance(plain.get("content"), list):
        plain["content"] = "".join(_text(part, path) for part in plain["content"])
    return plain


def _text(part: Json, path: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise Fault(f"{path}.content", "only parts of type text can be asked here")
