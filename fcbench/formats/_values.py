"""What formats share of values: building them from a parse, and writing them."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from fcbench.errors import FormatError
from fcbench.formats._numbers import read_integer, write_integer
from fcbench.formats._walk import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fcbench.types import Call, Json


_FRACTION = re.compile(r"[.eE]")


def read_number(text: str) -> int | float:
    """Return the value of a JSON number; without fraction and exponent it is an exact integer."""
    return float(text) if _FRACTION.search(text) else read_integer(text)


class ValueBuilder:
    """Builds values while the grammar is walked: a method a rule, and one a terminal with a value.

    What a grammar cannot state (no key twice, finite numbers, depth) the walk has checked before.
    """

    def turn(self, calls: list[Call]) -> list[Call]:
        return calls

    def object(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        return dict(pairs)

    def array(self, items: list[Json]) -> list[Json]:
        return items

    def NUMBER(self, text: str) -> int | float:  # noqa: N802  the terminal's name
        return read_number(text)

    def TRUE(self, _: str) -> bool:  # noqa: N802
        return True

    def FALSE(self, _: str) -> bool:  # noqa: N802
        return False

    def NULL(self, _: str) -> None:  # noqa: N802
        return None


class ValueRenderer(ABC):
    """Writes calls and values; every refusal is a FormatError with a JSON path."""

    null: str
    comma: str
    colon: str
    true, false = "true", "false"

    def each(self, calls: Sequence[Call]) -> list[str]:
        """Return the text of each of one or more calls."""
        if not calls:
            raise FormatError("$: a call turn holds at least one call, got none")
        return [self._checked(call, f"$[{index}]") for index, call in enumerate(calls)]

    def _checked(self, call: Call, path: str) -> str:
        if not isinstance(call.name, str) or not self.is_name(call.name):
            raise FormatError(f"{path}.name: not a function name in this format: {call.name!r}")
        if not isinstance(call.arguments, dict):
            kind = type(call.arguments).__name__
            raise FormatError(f"{path}.arguments: expected an object, got {kind}")
        return self.call(call, path)

    @abstractmethod
    def is_name(self, name: str) -> bool:
        """Whether a function may have this name."""

    def name(self, name: str) -> str:
        """Return the text of a function's name. FormatError if it cannot be one."""
        if not self.is_name(name):
            raise FormatError(f"$.name: not a function name in this format: {name!r}")
        return name

    @abstractmethod
    def call(self, call: Call, path: str) -> str:
        """Return the text of a call whose name is one and whose arguments are an object."""

    @abstractmethod
    def string(self, value: str, path: str) -> str:
        """Return the text of a string."""

    @abstractmethod
    def key(self, key: Json, path: str) -> str:
        """Return the text of an object's key. FormatError if it cannot be one."""

    def argument(self, key: Json, path: str) -> str:
        """Return the text of an argument's name; in most formats it is a key like any other."""
        return self.key(key, path)

    def order(self, keys: Iterable[str]) -> Iterable[str]:
        """Return the keys of an object in the order in which they are written."""
        return keys

    def _pairs(self, value: dict[str, Json], path: str, depth: int) -> list[str]:
        written = {key: self.key(key, path) for key in value}
        return [
            f"{written[key]}{self.colon}{self.value(value[key], f'{path}.{key}', depth)}"
            for key in self.order(value)
        ]

    def value(self, value: Json, path: str = "$", depth: int = 0) -> str:
        """Return the text of a value that stands `depth` levels deep."""
        match value:
            case None:
                return self.null
            case bool():
                return self.true if value else self.false
            case int():
                return write_integer(value)
            case float():
                if not math.isfinite(value):
                    raise FormatError(f"{path}: not a finite number: {value!r}")
                # numpy.float64 is a float that writes itself otherwise.
                return float.__repr__(value)
            case str():
                return self.string(value, path)
            case list() | dict() if depth >= MAX_DEPTH:
                raise FormatError(f"{path}: nested deeper than {MAX_DEPTH} levels")
            case list():
                items = (self.value(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value))
                return f"[{self.comma.join(items)}]"
            case dict():
                return f"{{{self.comma.join(self._pairs(value, path, depth + 1))}}}"
            case _:
                raise FormatError(f"{path}: not a JSON value: {type(value).__name__}")
