"""The tokens of one format of FunctionGemma's kind, and what an attempt at a call looks like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME_RUN = re.compile(r"""[^\s{}\[\]()<>,"']+""")


@dataclass(frozen=True)
class Wire:
    """The tokens of a format of FunctionGemma's kind.

    `stops` end the turn, `controls` may never stand in a string, `padding` is no answer, and a
    turn that holds one of `openers` attempts a call.
    """

    start: str
    end: str
    quote: str
    declaration: str
    prefix: str
    stops: tuple[str, ...]
    controls: tuple[str, ...]
    padding: tuple[str, ...]
    openers: tuple[str, ...]

    def attempts_call(self, text: str) -> bool:
        """Whether a text holds a call token, or a name after the prefix and before a bracket."""
        if any(opener in text for opener in self.openers):
            return True
        # Every maximal run of name characters is looked at once: one pattern for the whole would
        # take quadratic time over a long run.
        return self.prefix in text and any(
            self.prefix in run.group()[:-1] and text[run.end() : run.end() + 1] in ("{", "(")
            for run in _NAME_RUN.finditer(text)
        )

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
