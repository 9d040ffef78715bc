"""Guesses at what a sequence goes on with: what stood after the same tokens before.

Names of functions and arguments are copied from the declarations, and values mostly from what the
user said, so that a prompt is a good draft of its answer. Source: prompt lookup decoding (Saxena,
2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ALIKE = (3, 2)
"""How many last tokens have to be the same: three if they stood before, else two."""


class Lookup:
    """The tokens of one sequence, to be looked up."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._next: dict[tuple[int, ...], int] = {}
        self.add(tokens)

    def add(self, tokens: Sequence[int]) -> None:
        """Add what comes next."""
        for token in tokens:
            for n in ALIKE:
                if len(self._tokens) >= n:
                    self._next[tuple(self._tokens[-n:])] = len(self._tokens)
            self._tokens.append(token)

    def draft(self, most: int) -> list[int]:
        """Return up to `most` tokens that may come next, none if nothing like it stood before."""
        for n in ALIKE:
            at = self._next.get(tuple(self._tokens[-n:]))
            if at is not None:
                return self._tokens[at : at + max(0, most)]
        return []
