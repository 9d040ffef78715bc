"""Calls as FunctionGemma's family writes them: call:name{key:value}, with strings between quotes.

The builder turns a parse into calls, the renderer calls into text; a format of the family differs
in its tokens only (see BracesWire).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fcbench.errors import FormatError
from fcbench.formats._values import ValueBuilder, ValueRenderer
from fcbench.types import Call

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fcbench.formats._braces_wire import BracesWire
    from fcbench.types import Json

_NAME = re.compile(r"""[^\s{}\[\]()<>,"']+""")
_KEY = re.compile(r"""[^\s{}\[\]<>,:"']+""")


class Builder(ValueBuilder):
    """Builds calls from a parse."""

    def call(self, children: list[Any]) -> Call:
        name, arguments = children
        return Call(name, arguments)

    def pair(self, children: list[Any]) -> tuple[str, Json]:
        key, value = children
        return key, value

    def string(self, children: list[str]) -> str:
        return children[0] if children else ""


class Renderer(ValueRenderer):
    """Writes calls with a format's tokens."""

    null, comma, colon = "None", ",", ":"

    def __init__(self, wire: BracesWire) -> None:
        self._wire = wire
        self._control = re.compile("|".join(map(re.escape, wire.controls)))

    def is_name(self, name: str) -> bool:
        """Whether a function may have this name."""
        return _NAME.fullmatch(name) is not None

    def call(self, call: Call, path: str) -> str:
        """Return the text of a call."""
        arguments = self.value(call.arguments, f"{path}.arguments")
        return f"{self._wire.start}{self._wire.prefix}{call.name}{arguments}{self._wire.end}"

    def string(self, value: str, path: str) -> str:
        """Return a string between quotes; nothing in it can be escaped."""
        control = self._control.search(value)
        if control is not None:
            raise FormatError(f"{path}: a string cannot hold the control token {control.group()}")
        return f"{self._wire.quote}{value}{self._wire.quote}"

    def key(self, key: Json, path: str) -> str:
        """Return a key, which stands bare."""
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise FormatError(f"{path}: not an argument name in this format: {key!r}")
        return key

    def order(self, keys: Iterable[str]) -> Iterable[str]:
        """Return keys sorted without regard to case, as the templates' dictsort does."""
        return sorted(keys, key=str.lower)
