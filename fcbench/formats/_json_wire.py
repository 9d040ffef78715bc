"""How calls in JSON are diagnosed, with or without tokens around them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fcbench.formats._kinds import (
    begins_number,
    glued_value,
    instead_of_value,
    touches,
)
from fcbench.formats._wire import Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fcbench.formats._walk import Halt
    from fcbench.types import FailureKind

# A string as far as it is right, and one that the token limit may have cut.
_STRING = r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+'
_BEGUN_STRING = re.compile(_STRING)
_CUT_STRING = re.compile(_STRING + r"(?:\\(?:u[0-9a-fA-F]{0,3})?)?")
_OBJECT = r"""\{\s*+["'](?:name|arguments|parameters)["']\s*+:"""
_OBJECT_OPENER = re.compile(_OBJECT)  # begins with a letter of its own, which is fast to look for
_OPENER = re.compile(rf"(?:\[\s*+)?{_OBJECT}")
HINTS: dict[FailureKind, str] = {
    "missing_name": "a function's name stands in quotes and is not empty",
    "missing_open_brace": "calls and their arguments are JSON objects, {} when there are none",
    "missing_key": 'a call has a "name" and its arguments, each of these is "name": value',
    "missing_separator": "name and value are joined by `:`, arguments and items by `,`, calls by "
    "what the format writes between them",
    "unterminated_string": 'a string stands between two " and holds no line end, no control token '
    "and no escape that JSON does not have",
    "quoted_string": 'a string stands between two ", not in other quotation marks',
    "stray_whitespace": "whitespace is free inside the JSON (blanks, tabs, line ends), around it "
    "only as the chat template writes it",
    "text_between_calls": "no text stands between calls",
    "text_after_call": "a call turn ends right after its last call",
}

NAME = "name"
_MEMBERS = {"_NAME", "_ARGUMENTS", "_ID"}
_OPENING = {"_START_CALL", "_GAP", "_BREAK", "_PYTHON_TAG"}  # what comes right before a call
_BLANK = re.compile(r"[ \t\n\r]+")
_BRACKETS, _CLOSING = ("[", "(", "{"), ("}", "]", ")")
_STRINGS = {"STRING", "KEY", "FUNCTION", "_NAME", "_ARGUMENTS", "_ID", "_IDENTIFIER"}


@dataclass(frozen=True)
class JsonWire(Wire):
    """The tokens of a format that carries JSON; `arguments` is the key of a call's arguments."""

    arguments: str = "arguments"
    optional: tuple[str, ...] = ()
    """Further keys that a call may have."""
    is_single: bool = False
    """Whether a turn holds one call at most."""

    values = frozenset({"STRING", "NUMBER", "TRUE", "FALSE", "NULL", "_LBRACE", "_LSQB"})

    def next_call(self, turn: str, at: int) -> int:
        """Return where the next call after a place begins, or -1."""
        if self.start:
            return super().next_call(turn, at)
        found = _OPENER.search(turn, at)
        return -1 if found is None else found.start()

    @property
    def first(self) -> frozenset[str]:
        """The terminals that a turn can begin with."""
        return frozenset({"_START_CALL"} if self.start else {"_LBRACE"})

    def attempts_call(self, text: str) -> bool:
        """Whether a text holds a call token, or an object that begins as a call does."""
        return super().attempts_call(text) or _OBJECT_OPENER.search(text) is not None

    def attempts(self) -> list[str]:
        """Return patterns of whatever attempts_call finds."""
        return [*super().attempts(), _OBJECT]

    def hints(self) -> Mapping[FailureKind, str]:
        """Return the hints that read otherwise than the shared ones."""
        return HINTS

    def names(self) -> Mapping[str, str]:
        """Return what each terminal is called in a message to a person, in the order to list."""
        return {
            "_START_CALL": self.start,
            "_PYTHON_TAG": self.prefix,
            "_END_CALL": self.end,
            "_BREAK": "a newline",
            "_GAP": "a blank",
            "_WS": "whitespace",
            "_NAME": '"name"',
            "_ARGUMENTS": f'"{self.arguments}"',
            "_ID": '"id"',
            "_IDENTIFIER": "nine letters or digits in quotes",
            "FUNCTION": "a function name in quotes",
            "KEY": "an argument name in quotes",
            "STRING": "a string",
            "NUMBER": "a number",
            "TRUE": "true",
            "FALSE": "false",
            "NULL": "null",
            "_LBRACE": "{",
            "_RBRACE": "}",
            "_LSQB": "[",
            "_RSQB": "]",
            "_COLON": ":",
            "_COMMA": ",",
            "$END": "the end of the turn",
        }

    def begins_token(self, halt: Halt, turn: str) -> bool:
        """Whether what is left where the parse stopped begins a token that may stand there."""
        rest = turn[halt.position :].lstrip(" \t\n\r")
        if not rest:
            return True
        fixed = ("_START_CALL", "_END_CALL", "_PYTHON_TAG", "_NAME", "_ARGUMENTS", "_ID")
        texts = [self.names()[name] for name in halt.expected if name in fixed]
        value_expected = halt.expected >= self.values
        if value_expected:
            texts += ["true", "false", "null"]
        if any(text.startswith(rest) for text in texts):
            return True
        if halt.expected & {"STRING", "KEY", "FUNCTION"} and _CUT_STRING.fullmatch(rest):
            return True
        return begins_number(halt, rest, value_expected=value_expected)

    def kind(self, halt: Halt, turn: str) -> tuple[FailureKind, int]:
        """Return the failure's kind and offset, by what was expected where the parse stopped."""
        at = halt.position
        if halt.problem is not None:
            return halt.problem, at  # type: ignore[return-value]  # the problems are kinds
        if halt.container is None:
            return _outside_json(self, halt, turn)
        if halt.previous is not None and touches(halt.previous, halt):
            glued = glued_value(halt.previous, turn, at)
            if glued is not None:
                return glued
        # JSON's four kinds of whitespace may stand here; what follows them may not.
        blank = _BLANK.match(turn, at)
        at = blank.end() if blank else at
        if turn[at : at + 1].isspace():
            return "stray_whitespace", at
        if turn.startswith('"', at) and halt.expected & _STRINGS:
            begun = _BEGUN_STRING.match(turn, at)
            end = at if begun is None else begun.end()
            if not turn.startswith('"', end) or end == at:
                return "unterminated_string", end
        return _inside_json(self, halt, turn, at), at


def _outside_json(wire: JsonWire, halt: Halt, turn: str) -> tuple[FailureKind, int]:
    """Judge what stands around calls, or between a call's token and its object."""
    previous, at = halt.previous, halt.position
    rest = turn[at : at + 1]
    if "_END_CALL" in halt.expected:
        if rest.isspace():
            return "stray_whitespace", at
        return ("wrong_bracket" if rest in _CLOSING else "missing_end_token"), at
    if previous is not None and previous.type in _OPENING and "_START_CALL" not in halt.expected:
        if rest.isspace():
            return "stray_whitespace", at
        return ("wrong_bracket" if rest in _BRACKETS else "missing_open_brace"), at
    is_first = previous is None or (previous.type == "_WS" and previous.start_pos == 0)
    if wire.start and turn.startswith(wire.start, at):
        return "missing_separator", at
    if wire.start and (_OPENER.match(turn, at) or (is_first and _starts_with_end(wire, turn))):
        return "missing_start_token", at
    if turn.startswith(wire.controls, at):
        return "unexpected", at
    if previous is not None and previous.type == "_BREAK":
        # The newline was taken for the one before a next call, which does not come.
        at = previous.start_pos or 0
    return _gap(wire, turn, at, is_first=is_first), at


def _gap(wire: JsonWire, turn: str, at: int, *, is_first: bool) -> FailureKind:
    following = wire.next_call(turn, at)
    gap = turn[at:following] if following >= 0 else turn[at:]
    if gap.isspace():
        return "stray_whitespace"
    if is_first:
        return "text_before_call"
    if not gap and not wire.is_single:
        return "missing_separator"
    return "text_between_calls" if gap and following >= 0 else "text_after_call"


def _starts_with_end(wire: JsonWire, turn: str) -> bool:
    return bool(wire.end) and turn.startswith(wire.end)


def _inside_json(wire: JsonWire, halt: Halt, turn: str, at: int) -> FailureKind:
    expected = halt.expected
    char = turn[at : at + 1]
    if not char or turn.startswith(wire.controls, at):
        return (
            "missing_value" if expected >= wire.values and _after_colon(halt) else _unclosed(halt)
        )
    if expected >= wire.values:
        return instead_of_value(halt, turn, at)
    if "FUNCTION" in expected:
        return _instead_of_string(char, empty="missing_name")
    if expected & {*_MEMBERS, "KEY"}:
        return _instead_of_member(wire, halt, turn, at)
    if expected == {"_LBRACE"}:
        return "wrong_bracket" if char in "[(" else "missing_open_brace"
    if expected == {"_COMMA"} and char == "}":
        return "missing_key"
    if char in "}])" and "_COLON" not in expected:
        return "wrong_bracket"
    return "missing_separator" if expected & {"_COLON", "_COMMA"} else "unexpected"


def _instead_of_member(wire: JsonWire, halt: Halt, turn: str, at: int) -> FailureKind:
    """Judge what stands where a key must, of a call or of an object."""
    char = turn[at]
    if char == "}" and halt.previous is not None and halt.previous.type == "_COMMA":
        # After the last argument it is one comma too many; before it a key is missing.
        return "trailing_comma" if "KEY" in halt.expected else "missing_key"
    if char in "])":
        return "wrong_bracket"
    if any(turn.startswith(f'"{key}"', at) for key in (NAME, wire.arguments, *wire.optional)):
        return "duplicate_key"  # a key of a call that may not come: it stands already
    return _instead_of_string(char, empty="missing_key")


def _after_colon(halt: Halt) -> bool:
    return halt.previous is not None and halt.previous.type == "_COLON"


def _unclosed(halt: Halt) -> FailureKind:
    return "missing_name" if "FUNCTION" in halt.expected else "missing_close_brace"


def _instead_of_string(char: str, empty: FailureKind) -> FailureKind:
    """Judge what stands where a quoted word must; `empty` when there is nothing like one."""
    if char in "'`":
        return "quoted_string"
    return "bare_string" if char.isalnum() or char == "_" else empty
