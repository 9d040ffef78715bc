"""Calls as FunctionGemma's family writes them: call:name{key:value}, with strings between quotes.

The builder turns a parse into calls, the renderer calls into text; a format of the family differs
in its tokens only (see BracesWire).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fcbench.errors import FormatError
from fcbench.formats._values import ValueBuilder, ValueRenderer, read_number
from fcbench.formats._walk import is_infinite
from fcbench.types import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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


def flat_calls(patterns: Mapping[str, str]) -> Callable[[str], list[Call] | None]:
    """Return a reader of turns whose calls hold no array and no object, by the grammar's terminals.

    It gives None for any other turn, valid or not. tests/fuzz compares it with the grammar.
    """
    quote = patterns["_ESCAPE"]
    value = "|".join(
        [
            f"{quote}(?P<string>(?:{patterns['TEXT']})?){quote}",
            f"(?P<number>{patterns['NUMBER']})",
            *(f"(?P<{name}>{patterns[name]})" for name in ("TRUE", "FALSE", "NULL")),
        ]
    )
    call = re.compile(
        f"{patterns['_START_CALL']}{patterns['_CALL']}({patterns['NAME']})"
        f"{patterns['_LBRACE']}(?:({patterns['_RBRACE']}{patterns['_END_CALL']}))?"
    ).match
    pair = re.compile(
        f"({patterns['KEY']}){patterns['_COLON']}(?:{value})"
        f"(?:{patterns['_COMMA']}|(?P<close>{patterns['_RBRACE']}{patterns['_END_CALL']}))"
    ).match

    def read(turn: str) -> list[Call] | None:
        calls = []
        position = 0
        while position < len(turn):
            head = call(turn, position)
            if head is None:
                return None
            position = head.end()
            arguments: dict[str, Json] = {}
            closed = head.group(2)
            while closed is None:
                found = pair(turn, position)
                if found is None:
                    return None
                key, string, number, true, false, _, closed = found.groups()
                if key in arguments:
                    return None
                if string is not None:
                    arguments[key] = string
                elif number is not None:
                    if is_infinite(number):
                        return None
                    arguments[key] = read_number(number)
                else:
                    arguments[key] = True if true else False if false else None
                position = found.end()
            calls.append(Call(head.group(1), arguments))
        return calls or None

    return read


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
