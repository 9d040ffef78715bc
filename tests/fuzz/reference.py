"""A second strict parser, the referee of fcbench.parse: plain Lark over the same .lark files.

It is written apart from fcbench.formats and shares nothing with it but the grammars and the
record that a call is. What a grammar cannot state is checked here in the plainest way: a key twice
in one object, more than 64 levels, a number that overflows a float, the cut at the first stop
token. It gives no reasons and is not fast.
"""

from __future__ import annotations

import ast
import json
import math
import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import is_normalized

from lark import Lark, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from fcbench.paths import data_folder
from fcbench.types import Call
from tests.fuzz.notations import NOTATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lark import Token

MAX_LEVELS = 64


class Broken(Exception):
    """The text has the form of a call and breaks a rule beyond form."""


class _Values(Transformer):
    """Builds values. Tokens are read through `.value`, because lark-cython's are no strings."""

    def turn(self, calls: list[Call]) -> list[Call]:
        return calls

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for key, value in pairs:
            if key in members:
                raise Broken(key)
            members[key] = value
        return members

    def array(self, items: list[Any]) -> list[Any]:
        return list(items)

    def NUMBER(self, token: Token) -> int | float:  # noqa: N802  lark calls it by the terminal's name
        text = token.value
        if text.lstrip("-").isdigit():
            return _integer(text)
        number = float(text)
        if math.isinf(number):
            raise Broken(text)
        return number

    def TRUE(self, _: Token) -> bool:  # noqa: N802
        return True

    def FALSE(self, _: Token) -> bool:  # noqa: N802
        return False

    def NULL(self, _: Token) -> None:  # noqa: N802
        return None


class _Braces(_Values):
    def call(self, children: Sequence[Any]) -> Call:
        name, arguments = children
        return Call(name.value, arguments)

    def pair(self, children: Sequence[Any]) -> tuple[str, Any]:
        key, value = children
        return key.value, value

    def string(self, children: Sequence[Token]) -> str:
        return "".join(token.value for token in children)


class _Json(_Values):
    def name(self, children: Sequence[Token]) -> tuple[str, str]:
        return "name", json.loads(children[0].value)

    def arguments(self, children: Sequence[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        return "arguments", children[0]

    def id(self, _: Sequence[Token]) -> tuple[str, None]:
        return "id", None

    def body(self, members: Sequence[tuple[str, Any]]) -> Call:
        by_name = dict(members)
        return Call(by_name["name"], by_name["arguments"])

    def pair(self, children: Sequence[Any]) -> tuple[str, Any]:
        key, value = children
        return json.loads(key.value), value

    def string(self, children: Sequence[Token]) -> str:
        return json.loads(children[0].value)


class _Python(Transformer):
    """Leaves the tree as it is: CPython itself says what a turn of this form means."""


BUILDERS: dict[str, type[Transformer]] = {
    "functiongemma": _Braces,
    "gemma4": _Braces,
    "hermes": _Json,
    "mistral": _Json,
    "llama3": _Json,
    "json": _Json,
    "pythonic": _Python,
}
"""The formats that this referee knows."""


@cache
def lark_of(format: str, *, cython: bool = False) -> Lark:
    """Return a format's grammar as a Lark parser that builds calls, perhaps with lark-cython."""
    plugins = {}
    if cython:
        import lark_cython

        plugins = lark_cython.plugins
    return Lark.open(
        str(data_folder("grammars") / f"{format}.lark"),
        parser="lalr",
        start="turn",
        maybe_placeholders=False,
        transformer=BUILDERS[format](),
        import_paths=[str(data_folder("grammars"))],
        _plugins=plugins,
    )


def parse(text: str, format: str, *, cython: bool = False) -> list[Call] | None:
    """Return the calls of a turn, or None when it is not in the strict language."""
    turn = _turn(text, format)
    try:
        calls = lark_of(format, cython=cython).parse(turn)
        if format == "pythonic":
            calls = _python_calls(turn)
    except (UnexpectedInput, Broken):
        return None
    return None if any(_is_too_deep(call.arguments) for call in calls) else calls


class Place(NamedTuple):
    """Where the grammar does not go on, and whether a value might have stood there."""

    offset: int
    takes_value: bool


def first_wrong(text: str, format: str) -> Place | None:
    """Return where the first token begins that the grammar does not have there.

    None when there is none, or when a rule beyond the grammar is broken before it.
    """
    turn = _turn(text, format)
    try:
        lark_of(format).parse(turn)
    except UnexpectedCharacters as error:
        return Place(error.pos_in_stream, "NUMBER" in error.allowed)
    except UnexpectedToken as error:
        # Lark says of the end that it stands where the last token does.
        at = len(turn) if error.token.type == "$END" else error.token.start_pos
        return Place(at, "NUMBER" in error.expected)
    except Broken:
        return None
    return None


def is_python_name(name: str) -> bool:
    """Whether a dotted name is one to CPython, which also reads it as it is written."""
    return all(part.isidentifier() for part in name.split(".")) and is_normalized("NFKC", name)


def _python_calls(turn: str) -> list[Call]:
    """Return what CPython reads in a turn that has the grammar's form, or raise Broken."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with warnings.catch_warnings():
            # Of escapes that Python does not know, as in "C:\\dir".
            warnings.simplefilter("ignore")
            body = ast.parse(turn.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise Broken(str(error)) from error
    finally:
        sys.set_int_max_str_digits(limit)
    # CPython gives names in NFKC; only as they are written can one see that they were not.
    names = lark_of("pythonic").parse(turn).scan_values(lambda t: t.type in ("NAME", "KEY"))
    if not all(is_python_name(str(name)) for name in names):
        raise Broken("a name that is not in NFKC")
    assert isinstance(body, ast.List)
    return [_python_call(item) for item in body.elts]


def _python_call(node: ast.expr) -> Call:
    assert isinstance(node, ast.Call)
    assert not node.args
    pairs = [(keyword.arg, _python_value(keyword.value)) for keyword in node.keywords]
    return Call(ast.unparse(node.func), _Values().object(pairs))


def _python_value(node: ast.expr) -> Any:
    match node:
        case ast.List(items):
            return [_python_value(item) for item in items]
        case ast.Dict(keys, values):
            pairs = [
                (_python_value(k), _python_value(v)) for k, v in zip(keys, values, strict=True)
            ]
            return _Values().object(pairs)
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as number)):
            value = -number
        case ast.Constant(value):
            pass
        case _:
            raise AssertionError(ast.dump(node))
    if isinstance(value, float) and math.isinf(value):
        raise Broken(str(value))
    return value


def _turn(text: str, format: str) -> str:
    for stop in NOTATIONS[format].stops:
        text = text.partition(stop)[0]
    return text


def _is_too_deep(arguments: dict[str, Any]) -> bool:
    level: list[Any] = [arguments]
    for _ in range(MAX_LEVELS):
        members = [
            member
            for container in level
            for member in (container.values() if isinstance(container, dict) else container)
        ]
        level = [member for member in members if isinstance(member, dict | list)]
        if not level:
            return False
    return True


def _integer(text: str) -> int:
    """Return an integer of any size. int() refuses more digits than a process-wide limit."""
    digits = text.lstrip("-")
    value = 0
    for at in range(0, len(digits), 1000):
        chunk = digits[at : at + 1000]
        value = value * 10 ** len(chunk) + int(chunk)
    return -value if text.startswith("-") else value
