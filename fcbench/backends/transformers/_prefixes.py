"""Token ids of prompts -> the tree of the beginnings that they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEAST = 32
"""Tokens of a prefix that is worth a place of its own: every step attends to it apart."""


@dataclass(eq=False, slots=True)
class Prefix:
    """Tokens at which at least two prompts go on alike, after those of the prefix `above`.

    `start` is the position of the first; `n_prompts` counts the prompts that begin so.
    """

    tokens: list[int]
    start: int
    above: Prefix | None
    n_prompts: int

    @property
    def end(self) -> int:
        """Return the position after the last token."""
        return self.start + len(self.tokens)

    def path(self) -> Iterator[Prefix]:
        """Yield this prefix and those above it, from the innermost to the one at position 0."""
        prefix: Prefix | None = self
        while prefix is not None:
            yield prefix
            prefix = prefix.above


class Shared(NamedTuple):
    """A tree of prefixes: the prompts' indices in its order, and the innermost prefix of each."""

    order: list[int]
    innermost: list[Prefix | None]


def share(prompts: Sequence[Sequence[int]], most: int | None = None) -> Shared:
    """Return what prompts of token ids have in common; `most` tokens of one prompt may be shared.

    In the order returned the prompts of any prefix stand together. The last token of a prompt is
    never shared: reading it says what comes next.
    """
    tree = _Tree(prompts, most)
    groups: list[_Group] = [_Group(0, len(prompts), None)]
    while groups:
        groups += tree.divide(groups.pop())
    return Shared(tree.order, tree.innermost)


class _Group(NamedTuple):
    """Rows first to last, which all go on alike beyond the end of a prefix."""

    first: int
    last: int
    above: Prefix | None


class _Tree:
    """The prompts as rows in lexicographic order, where those that begin alike are neighbours."""

    def __init__(self, prompts: Sequence[Sequence[int]], most: int | None) -> None:
        self.order = sorted(range(len(prompts)), key=lambda i: (list(prompts[i]), i))
        self.innermost: list[Prefix | None] = [None] * len(prompts)
        self._rows = [np.asarray(prompts[i], dtype=np.int64) for i in self.order]
        # How many tokens a row has in common with the one before it.
        self._alike = [0, *(n_alike(a, b) for a, b in pairwise(self._rows))]
        self._most = most

    def divide(self, group: _Group) -> list[_Group]:
        """Give a group its prefix, and return the smaller groups that go on alike after it."""
        first, last, above = group
        if last - first <= 1:
            return []
        start = 0 if above is None else above.end
        # A prompt that ends there is the shortest, and so the first.
        end = min(*self._alike[first + 1 : last], len(self._rows[first]) - 1)
        if self._most is not None:
            end = min(end, self._most)
        if end - start >= LEAST:
            above = Prefix(self._rows[first][start:end].tolist(), start, above, last - first)
            for row in range(first, last):
                self.innermost[self.order[row]] = above
        if end == self._most:
            return []
        while first < last and len(self._rows[first]) - 1 <= end:
            first += 1
        edges = [first, *(i for i in range(first + 1, last) if self._alike[i] <= end), last]
        return [_Group(a, b, above) for a, b in pairwise(edges)]


def n_alike(a: Sequence[int] | np.ndarray, b: Sequence[int] | np.ndarray) -> int:
    """Return at how many places from the first on two rows are the same."""
    n = min(len(a), len(b))
    different = np.flatnonzero(np.asarray(a[:n]) != np.asarray(b[:n]))
    return int(different[0]) if len(different) else n
