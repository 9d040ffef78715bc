"""Calls in Python: the builder turns a parse into calls, the renderer calls into text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fcbench.errors import FormatError
from fcbench.formats._python_text import (
    is_dotted_name,
    is_identifier,
    read_number,
    read_string,
    write_string,
)
from fcbench.formats._values import ValueBuilder, ValueRenderer
from fcbench.types import Call

if TYPE_CHECKING:
    from fcbench.types import Json


class Builder(ValueBuilder):
    """Builds calls from a parse."""

    def call(self, children: list[Any]) -> Call:
        name, arguments = children
        return Call(name, arguments)

    def arguments(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        return dict(pairs)

    def argument(self, children: list[Any]) -> tuple[str, Json]:
        key, value = children
        return key, value

    pair = argument

    def string(self, children: list[str]) -> str:
        return read_string(children[0])

    def DICT_KEY(self, text: str) -> str:  # noqa: N802  the terminal's name
        return read_string(text)

    def NUMBER(self, text: str) -> int | float:  # noqa: N802
        return read_number(text)


class Renderer(ValueRenderer):
    """Writes calls as Python: `f(a=1, b=[True, None])`."""

    null, comma, colon = "None", ", ", ": "
    true, false = "True", "False"

    def is_name(self, name: str) -> bool:
        """Whether a function may have this name."""
        return is_dotted_name(name)

    def call(self, call: Call, path: str) -> str:
        """Return the text of a call, its arguments in the order given."""
        path = f"{path}.arguments"
        # The parentheses are the first level of the arguments' nesting.
        arguments = [
            f"{self.argument(key, path)}={self.value(value, f'{path}.{key}', 1)}"
            for key, value in call.arguments.items()
        ]
        return f"{call.name}({self.comma.join(arguments)})"

    def string(self, value: str, path: str) -> str:
        """Return a string in double quotes; Python can escape every character."""
        del path
        return write_string(value)

    def argument(self, key: Json, path: str) -> str:
        """Return an argument's name, which stands bare."""
        if not isinstance(key, str) or not is_identifier(key):
            raise FormatError(f"{path}: not an argument name in this format: {key!r}")
        return key

    def key(self, key: Json, path: str) -> str:
        """Return a dict's key in quotes."""
        if not isinstance(key, str):
            raise FormatError(f"{path}: not a key in this format: {key!r}")
        return write_string(key)
