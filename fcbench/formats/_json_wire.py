"""How calls in JSON are diagnosed, with or without tokens around them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fcbench.formats._kinds import (
    SPACE,
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

_STRINGS = {"STRING", "KEY", "FUNCTION", "_NAME", "_ARGUMENTS", "_ID", "_IDENTIFIER"}


@dataclass(frozen=True)
class JsonWire(Wire):
    """The tokens of a format that carries JSON; `arguments` is the key of a call's arguments."""

    arguments: str = "arguments"

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
            return halt.problem, at  # type: ignore[return-value]  # the three problems are kinds
        if halt.container is None:
            previous = halt.previous
            if (
                previous is not None
                and previous.type == "_BREAK"
                and "_START_CALL" in halt.expected
            ):
                # The newline was taken for the one before a next call, which does not come.
                at = previous.start_pos or 0
            return _outside_json(self, halt, turn, at), at
        if halt.previous is not None and touches(halt.previous, halt):
            glued = glued_value(halt.previous, turn, at)
            if glued is not None:
                return glued
        # Whitespace may stand here; what follows it may not.
        space = SPACE.match(turn, at)
        at = space.end() if space else at
        if turn.startswith('"', at) and halt.expected & _STRINGS:
            begun = _BEGUN_STRING.match(turn, at)
            end = at if begun is None else begun.end()
            if not turn.startswith('"', end) or end == at:
                return "unterminated_string", end
        return _inside_json(self, halt, turn, at), at


def _outside_json(wire: JsonWire, halt: Halt, turn: str, at: int) -> FailureKind:
    expected, rest = halt.expected, turn[at:]
    if "_END_CALL" in expected and halt.previous is not None:
        if rest[:1].isspace():
            return "stray_whitespace"
        return "wrong_bracket" if rest[:1] in ("}", "]", ")") else "missing_end_token"
    if halt.previous is not None and expected & {"_LBRACE", "_LSQB"}:
        # Right after the token that opens a call.
        if rest[:1].isspace():
            return "stray_whitespace"
        return "wrong_bracket" if rest[:1] in ("[", "(", "{") else "missing_open_brace"
    if wire.start and rest.startswith(wire.start):
        return "missing_separator"
    if wire.start and (rest.startswith(("{", "[")) or (wire.end and rest.startswith(wire.end))):
        return "missing_start_token"
    if rest.startswith(wire.controls):
        return "unexpected"
    following = wire.next_call(turn, at)
    gap = turn[at:following] if following >= 0 else rest
    if not gap.strip():
        return "stray_whitespace" if gap else "missing_separator"
    if halt.previous is None:
        return "text_before_call"
    return "text_after_call" if following < 0 else "text_between_calls"


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
    if expected & {"_NAME", "_ARGUMENTS", "_ID", "KEY"}:
        if char == "}" and halt.previous is not None and halt.previous.type == "_COMMA":
            # After the last argument it is one comma too many; before it a key is missing.
            return "trailing_comma" if "KEY" in expected else "missing_key"
        if char in "])":
            return "wrong_bracket"
        return _instead_of_string(char, empty="missing_key")
    if expected == {"_LBRACE"}:
        return "wrong_bracket" if char in "[(" else "missing_open_brace"
    if expected == {"_COMMA"} and char == "}":
        return "missing_key"
    if char in "}])" and "_COLON" not in expected:
        return "wrong_bracket"
    return "missing_separator" if expected & {"_COLON", "_COMMA"} else "unexpected"


def _after_colon(halt: Halt) -> bool:
    return halt.previous is not None and halt.previous.type == "_COLON"


def _unclosed(halt: Halt) -> FailureKind:
    return "missing_name" if "FUNCTION" in halt.expected else "missing_close_brace"


def _instead_of_string(char: str, empty: FailureKind) -> FailureKind:
    """Judge what stands where a quoted word must; `empty` when there is nothing like one."""
    if char in "'`":
        return "quoted_string"
    return "bare_string" if char.isalnum() or char == "_" else empty
