"""Calls as FunctionGemma's family writes them: call:name{key:value}, with strings between quotes.

The builder turns a parse into calls, the renderer calls into text; a format of the family differs
in its tokens only (see Wire).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from lark import Token, Transformer

from fcbench.errors import FormatError
from fcbench.formats._grammar import MAX_DEPTH, Irregular, is_infinite
from fcbench.formats._numbers import read_integer, write_integer
from fcbench.types import Call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.formats._wire import Wire
    from fcbench.types import Json

_NAME = re.compile(r"""[^\s{}\[\]()<>,"']+""")
_KEY = re.compile(r"""[^\s{}\[\]<>,:"']+""")


class Builder(Transformer[Token, "list[Call]"]):
    """Builds calls while lark parses; plain lists of children are lark's fastest callbacks."""

    def turn(self, calls: list[Call]) -> list[Call]:
        return calls

    def call(self, children: list[Any]) -> Call:
        name, arguments = children
        return Call(str(name), arguments)

    def object(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        built = dict(pairs)
        if len(built) != len(pairs):
            raise Irregular("a key stands twice")
        return built

    def pair(self, children: list[Any]) -> tuple[str, Json]:
        return str(children[0]), children[1]

    def array(self, items: list[Json]) -> list[Json]:
        return items

    def string(self, children: list[Token]) -> str:
        return str(children[0]) if children else ""

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
    """Writes calls with a format's tokens; every refusal is a FormatError with a JSON path."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._control = re.compile("|".join(map(re.escape, wire.controls)))

    def calls(self, calls: Sequence[Call]) -> str:
        """Return the text of one or more calls, one after the other."""
        if not calls:
            raise FormatError("$: a call turn holds at least one call, got none")
        return "".join(self._call(call, f"$[{index}]") for index, call in enumerate(calls))

    def _call(self, call: Call, path: str) -> str:
        if not isinstance(call.name, str) or not _NAME.fullmatch(call.name):
            raise FormatError(f"{path}.name: not a function name in this format: {call.name!r}")
        if not isinstance(call.arguments, dict):
            raise FormatError(
                f"{path}.arguments: expected an object, got {type(call.arguments).__name__}"
            )
        arguments = self.value(call.arguments, f"{path}.arguments")
        return f"{self._wire.start}{self._wire.prefix}{call.name}{arguments}{self._wire.end}"

    def value(self, value: Json, path: str = "$", depth: int = 0) -> str:
        """Return the text of a value, its keys sorted without regard to case."""
        match value:
            case None:
                return "None"
            case bool():
                return "true" if value else "false"
            case int():
                return write_integer(value)
            case float():
                if not math.isfinite(value):
                    raise FormatError(f"{path}: not a finite number: {value!r}")
                # numpy.float64 is a float that writes itself otherwise.
                return float.__repr__(value)
            case str():
                return self._string(value, path)
            case list() | dict() if depth >= MAX_DEPTH:
                raise FormatError(f"{path}: nested deeper than {MAX_DEPTH} levels")
            case list():
                items = (self.value(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value))
                return f"[{','.join(items)}]"
            case dict():
                return f"{{{','.join(self._pairs(value, path, depth + 1))}}}"
            case _:
                raise FormatError(f"{path}: not a JSON value: {type(value).__name__}")

    def _string(self, value: str, path: str) -> str:
        control = self._control.search(value)
        if control is not None:
            raise FormatError(f"{path}: a string cannot hold the control token {control.group()}")
        return f"{self._wire.quote}{value}{self._wire.quote}"

    def _pairs(self, value: dict[str, Json], path: str, depth: int) -> list[str]:
        for key in value:
            if not isinstance(key, str) or not _KEY.fullmatch(key):
                raise FormatError(f"{path}: not an argument name in this format: {key!r}")
        # Without regard to case, as jinja's dictsort does in the templates.
        return [
            f"{key}:{self.value(value[key], f'{path}.{key}', depth)}"
            for key in sorted(value, key=str.lower)
        ]
