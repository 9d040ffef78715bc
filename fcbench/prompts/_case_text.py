"""What prompts take from a case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.types import Call

if TYPE_CHECKING:
    from fcbench.types import Case, Json


def last_user_text(case: Case) -> str:
    """Return the words of a case's last user message."""
    return next(
        (str(m.get("content", "")) for m in reversed(case.messages) if m["role"] == "user"), ""
    )


def example_text(case: Case, trigger: str) -> str:
    """Return what an example's user says, after what its own developer turn told (the date, say).

    The line that holds the format's trigger sentence belongs to the format and is left out.
    """
    context = [
        str(m.get("content") or "") for m in case.messages if m["role"] in ("developer", "system")
    ]
    told = [
        line
        for text in context
        for line in text.strip().splitlines()
        if line and not (trigger and trigger in line)
    ]
    return "\n".join([*told, last_user_text(case)])


def openai_tools(case: Case) -> list[dict[str, Json]]:
    """Return a case's tools in the shape that chat templates and servers take."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters or {"type": "object", "properties": {}},
            },
        }
        for tool in case.tools
    ]


def one_answer(case: Case) -> list[Call]:
    """Return a case's first acceptable answer, each choice of values made for its first."""
    return [Call(call.name, _plain(call.arguments)) for call in case.expected[0]]


def _plain(value: Json) -> Json:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return (
            _plain(value["$any"][0])
            if "$any" in value
            else {k: _plain(v) for k, v in value.items()}
        )
    return value
