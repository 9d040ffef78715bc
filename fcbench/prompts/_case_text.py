"""What prompts take from a case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from fcbench.types import Call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Case, Json

DEVELOPER = ("developer", "system")


def last_user_text(case: Case) -> str:
    """Return the words of a case's last user message."""
    return next(
        (str(m.get("content", "")) for m in reversed(case.messages) if m["role"] == "user"), ""
    )


def example_messages(case: Case, trigger: str) -> list[dict[str, Json]]:
    """Return an example's conversation; what its developer told (a date, say) comes first.

    The developer's line that holds the format's trigger sentence belongs to the format and is left
    out. Earlier calls and their results stay: an answer may be made of them.
    """
    told = [
        line
        for message in case.messages
        if message["role"] in DEVELOPER
        for line in str(message.get("content") or "").strip().splitlines()
        if line and not (trigger and trigger in line)
    ]
    said = [message for message in case.messages if message["role"] not in DEVELOPER]
    first = next((i for i, message in enumerate(said) if message["role"] == "user"), None)
    if first is not None:
        words = "\n".join([*told, str(said[first].get("content", ""))])
        said[first] = {**said[first], "content": words}
    return said


def example_text(case: Case, trigger: str) -> str:
    """Return what an example's user says last, after what its own developer turn told."""
    alone = [m for m in case.messages if m["role"] in DEVELOPER]
    alone.append({"role": "user", "content": last_user_text(case)})
    return str(example_messages(structs.replace(case, messages=alone), trigger)[0]["content"])


def conversation(case: Case, examples: Sequence[Case], trigger: str) -> list[dict[str, Json]]:
    """Return a case's messages, its examples as solved exchanges after what the developer says."""
    opening = [m for m in case.messages[:1] if m["role"] in DEVELOPER]
    shown = [message for example in examples for message in _solved(example, trigger)]
    return [*opening, *shown, *case.messages[len(opening) :]]


def _solved(example: Case, trigger: str) -> list[dict[str, Json]]:
    """Return an example as a whole exchange: templates refuse calls without their results."""
    calls = one_answer(example)
    return [
        *example_messages(example, trigger),
        {
            "role": "assistant",
            "tool_calls": [
                {"type": "function", "function": {"name": c.name, "arguments": c.arguments}}
                for c in calls
            ],
        },
        *({"role": "tool", "name": c.name, "content": '{"status": "done"}'} for c in calls),
        {"role": "assistant", "content": "Done."},
    ]


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
    if not isinstance(value, dict):
        return value
    if "$any" in value:
        return _plain(value["$any"][0])
    # A choice of nothing is an argument that has to be left out.
    return {
        k: _plain(v) for k, v in value.items() if not (isinstance(v, dict) and v.get("$any") == [])
    }
