"""Lenient mode: mend what may be mended while parsing, and list what was mended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fcbench.formats._kinds import SPACE, WORD
from fcbench.formats._walk import CLOSERS, OPENERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from fcbench.formats._walk import Halt, Walk
    from fcbench.formats._wire import Wire
    from fcbench.types import Call

_COMMA = re.compile(r"\s*(,)\s*")


class Repairing:
    """Goes on with a walk that stopped: mends what lenient mode allows, and lists what it mended.

    `attempts_call` says whether a text attempts a call in any format: such is no prose to remove.
    """

    def __init__(self, walk: Walk, wire: Wire, attempts_call: Callable[[str], bool]) -> None:
        self.repairs: list[str] = []
        self._walk = walk
        self._wire = wire
        self._attempts_call = attempts_call

    def calls(self, halt: Halt) -> list[Call] | None:
        """Return the calls of the mended turn, or None if mending was not enough."""
        stopped: Halt | None = halt
        while stopped is not None:
            if not self._mend(stopped):
                return None
            stopped = self._walk.run()
        return self._walk.result()

    def _note(self, what: str, position: int) -> None:
        self.repairs.append(f"{what} at {position}")

    def _mend(self, halt: Halt) -> bool:
        turn, at = self._walk.turn, self._walk.position
        if halt.problem is not None or "TEXT" in halt.expected:
            return False
        if self._drop_trailing_comma(halt):
            return True
        if halt.previous is not None and halt.previous.type == "_BREAK" and self._drop_break(halt):
            return True
        space = SPACE.match(turn, at)
        if space is not None:
            self._note("removed whitespace", at)
            return self._move_to(space.end(), halt)
        if halt.expected & {*self._wire.first, "$END"} and not self._walk.containers:
            return self._skip_text(halt)
        if halt.expected >= self._wire.values:
            for literal, terminal in (("True", "TRUE"), ("False", "FALSE")):
                word = WORD.match(turn, at)
                if word is not None and word.group() == literal:
                    self._note(f"read {literal} as {literal.lower()}", at)
                    return self._walk.push(terminal, literal.lower(), len(literal))
        end = self._wire.missing_end(halt)
        if end is not None and at == len(turn):
            self._note("added the missing end token", at)
            return self._walk.push(end, self._wire.end, 0)
        return False

    def _drop_trailing_comma(self, halt: Halt) -> bool:
        """Drop a comma that a closing bracket follows, taken already or not."""
        if halt.container is None or halt.previous is None:
            return False
        closer = next(name for name, opener in CLOSERS.items() if opener == halt.container)
        if halt.previous.type == "_COMMA":
            if not self._walk.turn.startswith(self._wire.names()[closer], self._walk.position):
                return False
            self._note(
                "removed a trailing comma", self._walk.turn.rindex(",", 0, self._walk.position)
            )
            self._walk.take_back()
            return True
        # Where the grammar takes no further comma at all: after the last member of a call.
        comma = _COMMA.match(self._walk.turn, self._walk.position)
        if comma is None or closer not in halt.expected or halt.previous.type in OPENERS:
            return False
        if not self._walk.turn.startswith(self._wire.names()[closer], comma.end()):
            return False
        self._note("removed a trailing comma", comma.start(1))
        self._walk.position = comma.end()
        return True

    def _drop_break(self, halt: Halt) -> bool:
        """Take back the newline before a next call that does not come, and the blanks behind it."""
        at = self._walk.position
        if "$END" in halt.expected or self._wire.next_call(self._walk.turn, at) >= 0:
            return False
        if "_START_CALL" not in halt.expected:
            return False  # it stands inside the tags
        self._note("removed whitespace", at - 1)
        self._walk.take_back()
        space = SPACE.match(self._walk.turn, at)
        if space is not None:
            self._walk.position = space.end()
        return True

    def _skip_text(self, halt: Halt) -> bool:
        """Skip text around calls; never a control token, and never all of a turn without a call."""
        following = self._wire.next_call(self._walk.turn, self._walk.position)
        if following < 0 and self._walk.is_at_start:
            return False
        end = following if following >= 0 else len(self._walk.turn)
        gap = self._walk.turn[self._walk.position : end]
        # A second opener without its token is an attempt at a call, not text around one.
        if (
            not gap
            or any(control in gap for control in self._wire.controls)
            or self._attempts_call(gap)
        ):
            return False
        self._note("removed text", self._walk.position)
        return self._move_to(end, halt)

    def _move_to(self, position: int, halt: Halt) -> bool:
        """Go on behind what was removed, which held the newline that a next call may need."""
        self._walk.position = position
        if "_BREAK" in halt.expected and self._walk.turn.startswith(self._wire.start, position):
            return self._walk.push("_BREAK", "\n", 0)
        return True
