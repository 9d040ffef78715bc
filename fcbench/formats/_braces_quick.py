"""A quick reader for FunctionGemma's family, made of the grammar's own terminals.

It reads most valid turns many times as fast as the grammar is walked, and gives up on all others,
valid or not: then the grammar decides. tests/fuzz compares the two on millions of turns.
"""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from fcbench.formats._values import read_number
from fcbench.formats._walk import MAX_DEPTH, is_infinite
from fcbench.types import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fcbench.types import Json

_LITERALS = {"true": "true", "false": "false", "null": "null", "None": "null"}


class _GiveUp(ValueError):
    """Not a turn that is read quickly."""


def quick_reader(patterns: Mapping[str, str]) -> Callable[[str], list[Call] | None]:
    """Return a function that gives the calls of a turn, or None when the grammar has to be asked.

    `patterns` are the grammar's terminals.
    """
    quote = patterns["_ESCAPE"]
    closing = f"{patterns['_RBRACE']}({patterns['_END_CALL']})"
    value = "|".join(
        [
            f"{quote}((?:{patterns['TEXT']})?){quote}",
            f"({patterns['NUMBER']})",
            *(f"({patterns[name]})" for name in ("TRUE", "FALSE", "NULL")),
        ]
    )
    head = re.compile(
        f"{patterns['_START_CALL']}{patterns['_CALL']}({patterns['NAME']})"
        f"{patterns['_LBRACE']}(?:{closing})?"
    ).match
    pair = re.compile(
        f"({patterns['KEY']}){patterns['_COLON']}(?:{value})(?:{patterns['_COMMA']}|{closing})"
    ).match
    nested = _nested_reader(patterns)

    def read(turn: str) -> list[Call] | None:
        calls: list[Call] = []
        position = 0
        while position < len(turn):
            begun = head(turn, position)
            if begun is None:
                return None
            start = position = begun.end()
            arguments: dict[str, Json] = {}
            closed = begun.group(2)
            while closed is None:
                found = pair(turn, position)
                if found is None:
                    rest = nested(turn, start - 1)
                    if rest is None:
                        return None
                    arguments, position = rest
                    break
                key, string, number, true, false, _, closed = found.groups()
                if key in arguments or (number is not None and is_infinite(number)):
                    return None
                if string is not None:
                    arguments[key] = string
                elif number is not None:
                    arguments[key] = read_number(number)
                else:
                    arguments[key] = True if true else False if false else None
                position = found.end()
            calls.append(Call(begun.group(1), arguments))
        return calls or None

    return read


def _nested_reader(
    patterns: Mapping[str, str],
) -> Callable[[str, int], tuple[dict[str, Json], int] | None]:
    """Return a function that gives the arguments from a place on, and where their call ends.

    Strings, keys and None are respelled as JSON, and CPython's JSON scanner does the rest: the
    structure is the same.
    """
    quote, end = patterns["_ESCAPE"], re.compile(patterns["_END_CALL"])
    token = re.compile(
        f'{quote}((?:{patterns["TEXT"]})?){quote}|({patterns["KEY"]})(:?)|([\\s"])'
    ).sub
    decode = json.JSONDecoder(object_pairs_hook=_unique).decode

    def read(turn: str, start: int) -> tuple[dict[str, Json], int] | None:
        # No string holds a control token, so the first one that ends a call ends this one.
        found = end.search(turn, start)
        if found is None:
            return None
        text = turn[start : found.start()]
        n_brackets = text.count("{") + text.count("[")
        if not 1 < n_brackets <= MAX_DEPTH:
            return None
        try:
            return decode(token(_as_json, text)), found.end()
        except ValueError:  # a JSONDecodeError is one, and so is an integer too long for CPython
            return None

    return read


def _as_json(found: re.Match[str]) -> str:
    string, word, colon, _ = found.groups()
    if string is not None:
        return encode_basestring(string)
    if word is None:
        raise _GiveUp
    if colon:
        return f"{encode_basestring(word)}:"
    literal = _LITERALS.get(word)
    if literal is not None:
        return literal
    # JSON would take NaN and Infinity.
    if not word[-1].isdigit() or is_infinite(word):
        raise _GiveUp
    return word


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) != len(pairs):
        raise _GiveUp
    return built
