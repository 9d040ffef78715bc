"""Lenient mode: mend what may be mended while parsing, and list what was mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lark import Token

from fcbench.formats._grammar import CLOSERS, Grammar, Halt, Walk
from fcbench.formats._kinds import SPACE, WORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from fcbench.formats._wire import Wire
    from fcbench.types import Call


class Repairing(Walk):
    """A walk that mends what lenient mode allows, in one pass, and lists what it mended."""

    def __init__(
        self, wire: Wire, grammar: Grammar, turn: str, attempts_call: Callable[[str], bool]
    ) -> None:
        super().__init__(grammar, turn)
        self.repairs: list[str] = []
        self._wire = wire
        self._attempts_call = attempts_call  # in any format: such text is no prose to remove

    def calls(self) -> list[Call] | None:
        """Return the calls of the mended turn, or None if mending was not enough."""
        while True:
            self._drop_trailing_comma()
            halt = self.take()
            if halt is None:
                continue
            if halt.position == len(self.turn) and "$END" in halt.expected:
                return self.result()
            if not self._mend(halt):
                return None

    def _note(self, what: str) -> None:
        self.repairs.append(f"{what} at {self.position}")

    def _drop_trailing_comma(self) -> None:
        comma = self._wire.comma.match(self.turn, self.position)
        if self.containers and comma is not None:
            gap = SPACE.match(self.turn, comma.end())
            after = gap.end() if gap else comma.end()
            closer = "}" if self.containers[-1] == "_LBRACE" else "]"
            before = self.previous
            comma_is_first = before is not None and before.type in (
                "_COMMA",
                "_COLON",
                *CLOSERS.values(),
            )
            if self.turn.startswith(closer, after) and not comma_is_first:
                self._note("removed a trailing comma")
                self.position = comma.end()

    def _mend(self, halt: Halt) -> bool:
        turn, at = self.turn, self.position
        if halt.problem is not None or "TEXT" in halt.expected:
            return False
        space = SPACE.match(turn, at)
        if space is not None:
            self._note("removed whitespace")
            return self._move_to(space.end(), halt)
        if halt.expected & {*self._wire.first, "$END"} and not self.containers:
            return self._skip_text(halt)
        if halt.expected >= self._wire.values:
            for literal, terminal in (("True", "TRUE"), ("False", "FALSE")):
                word = WORD.match(turn, at)
                if word is not None and word.group() == literal:
                    self._note(f"read {literal} as {literal.lower()}")
                    return self.feed(Token(terminal, literal.lower(), start_pos=at), len(literal))
        if "_END_CALL" in halt.expected and at == len(turn):
            self._note("added the missing end token")
            return self.feed(Token("_END_CALL", self._wire.end, start_pos=at), 0)
        return False

    def _skip_text(self, halt: Halt) -> bool:
        """Skip text around calls; never a control token, and never all of a turn without a call."""
        following = self._wire.next_call(self.turn, self.position)
        if following < 0 and halt.previous is None:
            return False
        end = following if following >= 0 else len(self.turn)
        gap = self.turn[self.position : end]
        # A second opener without its token is an attempt at a call, not text around one.
        if (
            not gap
            or any(control in gap for control in self._wire.controls)
            or self._attempts_call(gap)
        ):
            return False
        self._note("removed text")
        return self._move_to(end, halt)

    def _move_to(self, position: int, halt: Halt) -> bool:
        """Go on behind what was removed, which held the newline that a next call may need."""
        self.position = position
        if "_BREAK" in halt.expected and self.turn.startswith(self._wire.start, position):
            return self.feed(Token("_BREAK", "\n", start_pos=position), 0)
        return True
