"""Calls in JSON: the builder turns a parse into calls, the renderer calls into text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fcbench.errors import FormatError
from fcbench.formats._values import ValueBuilder, ValueRenderer
from fcbench.types import Call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Json


class Builder(ValueBuilder):
    """Builds calls from a parse."""

    def body(self, children: list[Any]) -> Call:
        # In either order, and perhaps with an id, which is not part of a call.
        (name,) = (child for child in children if isinstance(child, str))
        (arguments,) = (child for child in children if isinstance(child, dict))
        return Call(name, arguments)

    def name(self, children: list[str]) -> str:
        return _unquoted(children[0])

    def arguments(self, children: list[dict[str, Json]]) -> dict[str, Json]:
        return children[0]

    def id(self, _: list[str]) -> None:
        return None

    def pair(self, children: list[Any]) -> tuple[str, Json]:
        key, value = children
        return _unquoted(key), value

    def string(self, children: list[str]) -> str:
        return _unquoted(children[0])


def _unquoted(text: str) -> str:
    return str(json.loads(text)) if "\\" in text else text[1:-1]


class Renderer(ValueRenderer):
    """Writes calls as JSON, as jinja's tojson does in chat templates: `{"a": 1, "b": [2, 3]}`.

    `stops` cannot stand in a string, because the turn would end there.
    """

    null, comma, colon = "null", ", ", ": "

    def __init__(self, stops: Sequence[str], arguments_key: str = "arguments") -> None:
        self._stops = stops
        self._key = arguments_key

    def is_name(self, name: str) -> bool:
        """Whether a function may have this name."""
        return bool(name)

    def call(self, call: Call, path: str) -> str:
        """Return the object of a call."""
        name = self.string(call.name, f"{path}.name")
        arguments = self.value(call.arguments, f"{path}.arguments")
        return f'{{"name": {name}, "{self._key}": {arguments}}}'

    def string(self, value: str, path: str) -> str:
        """Return a string in quotes, with what JSON must escape escaped."""
        for stop in self._stops:
            if stop in value:
                raise FormatError(f"{path}: a string cannot hold the stop token {stop}")
        return json.dumps(value, ensure_ascii=False)

    def name(self, name: str) -> str:
        """Return a function's name, which stands in quotes."""
        return self.string(super().name(name), "$.name")

    def key(self, key: Json, path: str) -> str:
        """Return a key in quotes."""
        if not isinstance(key, str):
            raise FormatError(f"{path}: not an argument name in this format: {key!r}")
        return self.string(key, path)
