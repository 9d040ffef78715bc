"""A format ready to judge turns: its tokens, its grammar and perhaps a quicker reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.formats._walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fcbench.formats._grammar import Grammar
    from fcbench.formats._values import ValueRenderer
    from fcbench.formats._walk import Halt
    from fcbench.formats._wire import Wire
    from fcbench.types import Call


class Format:
    """One format, compiled. Made by fcbench.formats.format_of, once per process."""

    def __init__(
        self,
        name: str,
        wire: Wire,
        grammar: Grammar,
        renderer: ValueRenderer,
        quick_reader: Callable[[Mapping[str, str]], Callable[[str], list[Call] | None]] | None,
    ) -> None:
        self.name = name
        self.wire = wire
        self.grammar = grammar
        self.renderer = renderer
        self._quick = None if quick_reader is None else quick_reader(grammar.patterns)

    def read(self, turn: str) -> list[Call] | tuple[Walk, Halt]:
        """Return the calls of a turn in the strict language, else the walk and where it stopped."""
        calls = None if self._quick is None else self._quick(turn)
        if calls is not None:
            return calls
        walk = Walk(self.grammar, turn)
        try:
            halt = walk.run()
            return walk.result() if halt is None else (walk, halt)
        except (ValueError, TypeError, IndexError) as error:
            # A variant's rules may hold more or less than the builder's methods take.
            raise self.grammar.other_rules() from error
