"""Calls in JSON: the builder turns a parse into calls, the renderer calls into text."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from lark import Token, Transformer

from fcbench.errors import FormatError
from fcbench.formats._grammar import MAX_DEPTH, Irregular, is_infinite
from fcbench.formats._numbers import read_integer, write_integer
from fcbench.types import Call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Json


class Builder(Transformer[Token, "list[Call]"]):
    """Builds calls while lark parses."""

    def turn(self, calls: list[Call]) -> list[Call]:
        return calls

    def body(self, children: list[Any]) -> Call:
        # In either order, and perhaps with an id, which is not part of a call.
        (name,) = (child for child in children if isinstance(child, str))
        (arguments,) = (child for child in children if isinstance(child, dict))
        return Call(name, arguments)

    def name(self, children: list[Token]) -> str:
        return str(json.loads(children[0]))

    def arguments(self, children: list[dict[str, Json]]) -> dict[str, Json]:
        return children[0]

    def id(self, _: list[Token]) -> None:
        return None

    def object(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        built = dict(pairs)
        if len(built) != len(pairs):
            raise Irregular("a key stands twice")
        return built

    def pair(self, children: list[Any]) -> tuple[str, Json]:
        return json.loads(children[0]), children[1]

    def array(self, items: list[Json]) -> list[Json]:
        return items

    def string(self, children: list[Token]) -> str:
        return str(json.loads(children[0]))

    def NUMBER(self, token: Token) -> int | float:  # noqa: N802  lark calls it by the terminal's name
        if not any(c in ".eE" for c in token):
            return read_integer(str(token))
        if is_infinite(token):
            raise Irregular("a number overflows")
        return float(token)

    def TRUE(self, _: Token) -> bool:  # noqa: N802
        return True

    def FALSE(self, _: Token) -> bool:  # noqa: N802
        return False

    def NULL(self, _: Token) -> None:  # noqa: N802
        return None


class Renderer:
    """Writes calls as JSON, as jinja's tojson does in chat templates: `{"a": 1, "b": [2, 3]}`.

    `stops` cannot stand in a string, because the turn would end there.
    """

    def __init__(self, stops: Sequence[str], arguments_key: str = "arguments") -> None:
        self._stops = stops
        self._key = arguments_key

    def bodies(self, calls: Sequence[Call]) -> list[str]:
        """Return the text of each call. FormatError with the JSON path for what JSON lacks."""
        if not calls:
            raise FormatError("$: a call turn holds at least one call, got none")
        return [self._body(call, f"$[{index}]") for index, call in enumerate(calls)]

    def _body(self, call: Call, path: str) -> str:
        if not isinstance(call.name, str) or not call.name:
            raise FormatError(f"{path}.name: not a function name in this format: {call.name!r}")
        if not isinstance(call.arguments, dict):
            kind = type(call.arguments).__name__
            raise FormatError(f"{path}.arguments: expected an object, got {kind}")
        name = self._string(call.name, f"{path}.name")
        arguments = self._value(call.arguments, f"{path}.arguments", 0)
        return f'{{"name": {name}, "{self._key}": {arguments}}}'

    def _value(self, value: Json, path: str, depth: int) -> str:
        match value:
            case None:
                return "null"
            case bool():
                return "true" if value else "false"
            case int():
                return write_integer(value)
            case float():
                if not math.isfinite(value):
                    raise FormatError(f"{path}: not a finite number: {value!r}")
                return float.__repr__(value)
            case str():
                return self._string(value, path)
            case list() | dict() if depth >= MAX_DEPTH:
                raise FormatError(f"{path}: nested deeper than {MAX_DEPTH} levels")
            case list():
                items = (self._value(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value))
                return f"[{', '.join(items)}]"
            case dict():
                return f"{{{', '.join(self._pairs(value, path, depth + 1))}}}"
            case _:
                raise FormatError(f"{path}: not a JSON value: {type(value).__name__}")

    def _string(self, value: str, path: str) -> str:
        for stop in self._stops:
            if stop in value:
                raise FormatError(f"{path}: a string cannot hold the stop token {stop}")
        return json.dumps(value, ensure_ascii=False)

    def _pairs(self, value: dict[str, Json], path: str, depth: int) -> list[str]:
        for key in value:
            if not isinstance(key, str):
                raise FormatError(f"{path}: not an argument name in this format: {key!r}")
        return [
            f"{self._string(key, path)}: {self._value(item, f'{path}.{key}', depth)}"
            for key, item in value.items()
        ]
