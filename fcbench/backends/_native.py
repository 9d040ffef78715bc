"""Calls as OpenAI's chat endpoint returns them, and as Ollama's does."""

from __future__ import annotations

import json

from fcbench.formats._numbers import read_integer
from fcbench.types import Call, Json

NOT_JSON = "$not_json"
"""The one argument of a call whose arguments are no JSON object: what was there instead."""


def calls_of(tool_calls: Json) -> list[Call]:
    """Return the calls of a message's `tool_calls`; arguments may be JSON text or an object.

    A server hands on what the model wrote: arguments that are no JSON object are the model's fault,
    not the server's, and fail every match as an argument that nobody expects. ValueError for what
    is no list of named functions, which is the server's.
    """
    if tool_calls is None:
        return []
    if not isinstance(tool_calls, list):
        raise ValueError(f"tool_calls: expected array, got {type(tool_calls).__name__}")  # noqa: TRY004  as all that is wrong here
    return [_call(call, f"tool_calls[{i}]") for i, call in enumerate(tool_calls)]


def _call(call: Json, path: str) -> Call:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValueError(f"{path}: expected an object with function.name")  # noqa: TRY004  likewise
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
