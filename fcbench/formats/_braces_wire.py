"""How FunctionGemma's family is diagnosed: call:name{key:value} between control tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fcbench.formats._kinds import (
    NUMBER_RUN,
    QUOTES,
    WORD,
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

_NAME_RUN = re.compile(r"""[^\s{}\[\]()<>,"']+""")


@dataclass(frozen=True)
class BracesWire(Wire):
    """The tokens of a format of FunctionGemma's kind; a tool is declared after `declaration`."""

    declaration: str

    values = frozenset({"_ESCAPE", "NUMBER", "TRUE", "FALSE", "NULL", "_LBRACE", "_LSQB"})

    def attempts_call(self, text: str) -> bool:
        """Whether a text holds a call token, or a name after the prefix and before a bracket."""
        if super().attempts_call(text):
            return True
        # Every maximal run of name characters is looked at once: one pattern for the whole would
        # take quadratic time over a long run.
        return self.prefix in text and any(
            self.prefix in run.group()[:-1] and text[run.end() : run.end() + 1] in ("{", "(")
            for run in _NAME_RUN.finditer(text)
        )

    def attempts(self) -> list[str]:
        """Return patterns of whatever attempts_call finds: here the prefix alone is one."""
        return [*super().attempts(), re.escape(self.prefix)]

    def names(self) -> Mapping[str, str]:
        """Return what each terminal is called in a message to a person."""
        return {
            "_START_CALL": self.start,
            "_END_CALL": self.end,
            "_CALL": self.prefix,
            "NAME": "a function name",
            "_LBRACE": "{",
            "_RBRACE": "}",
            "_LSQB": "[",
            "_RSQB": "]",
            "_COLON": ":",
            "_COMMA": ",",
            "KEY": "an argument name",
            "_ESCAPE": self.quote,
            "TEXT": "text",
            "NUMBER": "a number",
            "TRUE": "true",
            "FALSE": "false",
            "NULL": "None",
            "$END": "the end of the turn",
        }

    def begins_token(self, halt: Halt, turn: str) -> bool:
        """Whether what is left where the parse stopped begins a token that may stand there."""
        rest = turn[halt.position :]
        value_expected = halt.expected >= self.values
        texts = [
            self.names()[name]
            for name in halt.expected
            if name in ("_START_CALL", "_END_CALL", "_CALL", "_ESCAPE")
        ]
        if value_expected:
            texts += ["true", "false", "None", "null"]
        if not rest or any(text.startswith(rest) for text in texts):
            return True
        if "KEY" in halt.expected:
            return WORD.fullmatch(rest) is not None
        return begins_number(halt, rest, value_expected=value_expected)

    def kind(self, halt: Halt, turn: str) -> tuple[FailureKind, int]:
        """Return the failure's kind and offset, by what was expected where the parse stopped."""
        return _kind(self, halt, turn)


def _kind(wire: BracesWire, halt: Halt, turn: str) -> tuple[FailureKind, int]:
    """Return the failure's kind and offset, by what the grammar expected where it stopped."""
    at, expected = halt.position, halt.expected
    if halt.problem is not None:
        return halt.problem, at  # type: ignore[return-value]  # the three problems are kinds
    if expected & {"TEXT"} or (halt.previous is not None and halt.previous.type == "TEXT"):
        return "unterminated_string", at
    if "_START_CALL" in expected:
        return _outside_calls(wire, halt, turn), at
    if halt.previous is not None and touches(halt.previous, halt):
        if _missing_separator(halt, turn):
            return "missing_separator", at
        glued = glued_value(halt.previous, turn, at)
        if glued is not None:
            return glued
    if at < len(turn) and turn[at].isspace():
        return "stray_whitespace", at
    if expected >= wire.values:
        return _instead_of_value(wire, halt, turn), at
    if "KEY" in expected:
        return _instead_of_key(wire, halt, turn), at
    return _instead_of_punctuation(wire, halt, turn), at


def _outside_calls(wire: BracesWire, halt: Halt, turn: str) -> FailureKind:
    at = halt.position
    after_call = halt.previous is not None
    if turn.startswith(wire.declaration, at):
        return "declaration_echo"
    if not after_call and turn.startswith(wire.end, at):
        return "missing_start_token"
    if _is_call_without_start(wire, turn, at):
        return "missing_start_token"
    if turn.startswith(wire.controls, at):
        return "unexpected"
    following = turn.find(wire.start, at)
    gap = turn[at:following] if following >= 0 else turn[at:]
    if not gap.strip():
        return "stray_whitespace"
    if not after_call:
        return "text_before_call"
    return "text_after_call" if following < 0 else "text_between_calls"


def _is_call_without_start(wire: BracesWire, turn: str, at: int) -> bool:
    """Whether a call's prefix stands here with a name, and not as a word of prose."""
    if not turn.startswith(wire.prefix, at):
        return False
    name = _NAME_RUN.match(turn, at)
    return name is not None and turn.startswith(("{", "(", wire.end), name.end())


def _missing_separator(halt: Halt, turn: str) -> bool:
    """Whether a number is followed at once by another pair, as in a:1b:2."""
    previous, at = halt.previous, halt.position
    word = WORD.match(turn, at)
    if previous is None or previous.type != "NUMBER" or previous.start_pos is None or word is None:
        return False
    run = NUMBER_RUN.match(turn, previous.start_pos)
    return run is not None and run.end() == at and turn.startswith(":", word.end())


def _instead_of_value(wire: BracesWire, halt: Halt, turn: str) -> FailureKind:
    at = halt.position
    if at == len(turn) or turn.startswith(wire.controls, at):
        return "missing_value" if halt.container == "_LBRACE" else "missing_close_brace"
    return instead_of_value(halt, turn, at)


def _instead_of_key(wire: BracesWire, halt: Halt, turn: str) -> FailureKind:
    at = halt.position
    char = turn[at : at + 1]
    if char in QUOTES and char:
        return "json_arguments"
    if char == "}":
        return "trailing_comma"
    if char and char in "])":
        return "wrong_bracket"
    if turn.startswith(wire.quote, at) or (char and not turn.startswith(wire.controls, at)):
        return "missing_key"
    return "missing_close_brace"


def _instead_of_punctuation(wire: BracesWire, halt: Halt, turn: str) -> FailureKind:
    at, expected = halt.position, halt.expected
    char = turn[at : at + 1]
    if "_CALL" in expected:
        return "missing_call_prefix"
    if "NAME" in expected:
        return "missing_name"
    if expected == {"_LBRACE"}:
        return "wrong_bracket" if char and char in "([" else "missing_open_brace"
    if "_END_CALL" in expected:
        return "wrong_bracket" if char and char in "}])" else "missing_end_token"
    if char and char in "}])":
        return "missing_separator" if "_COLON" in expected and char == "}" else "wrong_bracket"
    if "_COMMA" in expected and (not char or turn.startswith((wire.end, wire.start), at)):
        return "missing_close_brace"
    return "missing_separator" if expected & {"_COLON", "_COMMA"} else "unexpected"
