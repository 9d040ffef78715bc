"""What several formats' diagnoses share: how a wrong value looks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lark import Token

    from fcbench.formats._walk import Halt
    from fcbench.types import FailureKind

BRACKETS = "{}[]()"
QUOTES = "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
WORD = re.compile(r"""[^\s{}\[\]()<>,:"']+""")
SPACE = re.compile(r"\s+")
NUMBER_RUN = re.compile(r"[0-9.eE+-]+")
LITERALS = ("TRUE", "FALSE", "NULL")
_NUMBER_LIKE = re.compile(
    r"(?=[.eE+-]*+[0-9])[0-9.eE+-]++|[+.-]+|[+-]?(?:nan|NaN|NAN|inf|Infinity|INF)"
)
_PARTIAL_NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]*)?)?")


def touches(previous: Token, halt: Halt) -> bool:
    """Whether the last token ends just where the parse stopped."""
    return previous.start_pos is not None and previous.start_pos + len(previous) == halt.position


def begins_number(halt: Halt, rest: str, *, value_expected: bool) -> bool:
    """Whether the rest of a turn begins a number, or goes on with the one just taken."""
    if value_expected:
        return _PARTIAL_NUMBER.fullmatch(rest) is not None
    previous = halt.previous
    if previous is None or previous.type != "NUMBER" or not touches(previous, halt):
        return False
    return _PARTIAL_NUMBER.fullmatch(previous + rest) is not None


def glued_value(previous: Token, turn: str, at: int) -> tuple[FailureKind, int] | None:
    """Judge a number or literal that more characters stick to, as in 007, 1.2.3 or trueish."""
    start = previous.start_pos
    word = WORD.match(turn, at)
    if word is None or start is None or previous.type not in ("NUMBER", *LITERALS):
        return None
    whole = turn[start : word.end()]
    if previous.type == "NUMBER" and _NUMBER_LIKE.fullmatch(whole):
        return "bad_number", start
    return "bare_string", start


def instead_of_value(halt: Halt, turn: str, at: int) -> FailureKind:
    """Judge what stands where a value must, other than a control token or the end."""
    char = turn[at]
    if char == "]" and halt.container == "_LSQB":
        # An array that was just opened may close, so this follows a comma.
        return "trailing_comma"
    if char in ",:" or (char == "}" and halt.container == "_LBRACE"):
        return "missing_value"
    if char in QUOTES:
        return "quoted_string"
    if char in BRACKETS:
        return "missing_value" if char == "]" else "wrong_bracket"
    word = WORD.match(turn, at)
    found = word.group() if word else char
    if found in ("True", "False"):
        return "python_literal"
    return "bad_number" if _NUMBER_LIKE.fullmatch(found) else "bare_string"
