"""What a format tells the parser about its tokens, and how it judges what is wrong."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.formats._walk import Halt
    from fcbench.types import FailureKind


@dataclass(frozen=True)
class Wire(ABC):
    """The tokens of a format.

    A call stands between `start` and `end` ("" where a format has none), a string between two
    `quote`; `prefix` comes before a function's name. `stops` end the turn, `controls` may never
    stand in a string, `padding` is no answer, and a turn that holds one of `openers` attempts a
    call.
    """

    start: str
    end: str
    quote: str
    prefix: str
    stops: tuple[str, ...]
    controls: tuple[str, ...]
    padding: tuple[str, ...]
    openers: tuple[str, ...]

    values: ClassVar[frozenset[str]]
    """The terminals that a value can begin with."""

    bounds: ClassVar[Mapping[str, Sequence[int]]] = {}
    """Bounds of this format's own terminals in a decoding constraint (see _language.BOUNDS)."""

    unsayable: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Patterns of what a terminal's lookaheads exclude, which a constraint has to be told."""

    def next_call(self, turn: str, at: int) -> int:
        """Return where the next call after a place begins, or -1."""
        return turn.find(self.start, at)

    @property
    def first(self) -> frozenset[str]:
        """The terminals that a turn can begin with."""
        return frozenset({"_START_CALL"})

    def attempts_call(self, text: str) -> bool:
        """Whether a text attempts a call in this format."""
        return any(opener in text for opener in self.openers)

    def attempts(self) -> list[str]:
        """Return patterns of whatever attempts_call finds; they may find more."""
        return [re.escape(opener) for opener in self.openers]

    def begins_call(self, turn: str) -> bool:
        """Whether a turn that is meant in this format begins as a call does.

        For what would be no attempt in another format, as `f(a=1)` is not.
        """
        del turn
        return False

    def beginnings(self) -> list[str]:
        """Return patterns of whatever begins_call finds at a turn's beginning, or of more."""
        return []

    def missing_end(self, halt: Halt) -> str | None:
        """Return the terminal of the end token, if nothing else is missing where a turn ends."""
        return "_END_CALL" if "_END_CALL" in halt.expected else None

    def hints(self) -> Mapping[FailureKind, str]:
        """Return the hints that read otherwise than the shared ones (see _diagnosis.HINTS)."""
        return {}

    @abstractmethod
    def names(self) -> Mapping[str, str]:
        """Return what each terminal is called in a message to a person, in the order to list."""

    @abstractmethod
    def begins_token(self, halt: Halt, turn: str) -> bool:
        """Whether what is left where the parse stopped begins a token that may stand there."""

    @abstractmethod
    def kind(self, halt: Halt, turn: str) -> tuple[FailureKind, int]:
        """Return the failure's kind and offset, by what was expected where the parse stopped."""
