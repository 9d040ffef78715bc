"""Calls as OpenAI's chat endpoint returns them, and as Ollama's does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fcbench.formats._numbers import read_integer
from fcbench.types import Call, Failure, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_JSON = "$not_json"
"""The one argument of a call whose arguments are no JSON object: what was there instead."""


def calls_of(tool_calls: Json) -> list[Call]:
    """Return the calls of a message's `tool_calls`; arguments may be JSON text or an object.

    An item is OpenAI's, {"function": {"name": …, "arguments": …}}, or what is in its "function".
    A server hands on what the model wrote: arguments that are no JSON object are the model's fault,
    not the server's, see not_json. ValueError for what is no list of named functions, which is the
    server's.
    """
    if tool_calls is None:
        return []
    if not isinstance(tool_calls, list):
        raise ValueError(f"tool_calls: expected array, got {type(tool_calls).__name__}")  # noqa: TRY004  as all that is wrong here
    return [_call(call, f"tool_calls[{i}]") for i, call in enumerate(tool_calls)]


def not_json(calls: Sequence[Call]) -> Failure | None:
    """Return what is wrong with the first of a server's calls whose arguments are no JSON object.

    Such a call cannot be carried out, and fails every match as an argument that nobody expects.
    """
    for call in calls:
        if call.arguments.keys() == {NOT_JSON}:
            given = call.arguments[NOT_JSON]
            found = given if isinstance(given, str) else json.dumps(given)
            hint = f"the server handed on arguments of {call.name} that are no JSON object"
            return Failure("arguments_not_json", 0, 0, "a JSON object", found, hint)
    return None


def _call(call: Json, path: str) -> Call:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValueError(f"{path}: expected an object with a name, or with function.name")  # noqa: TRY004  likewise
    return Call(function["name"], _arguments(function.get("arguments")))


def _arguments(given: Json) -> dict[str, Json]:
    if isinstance(given, dict):
        return given
    if given is None or given == "":  # some servers say so of a function without parameters
        return {}
    if isinstance(given, str):
        try:
            read = json.loads(given, parse_int=read_integer, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return {NOT_JSON: given}
        if isinstance(read, dict):
            return read
    return {NOT_JSON: given}


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
