"""Examples that begin alike: which they are, and their batch, where the beginning stands once."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from fcbench.text import n_alike
from fcbench.train._attention import PARTS
from fcbench.train._examples import IGNORED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ALIKE = 0.5
"""Examples are of one family where more than this share of each is the beginning they share."""


def families(rows: Sequence[Sequence[int]]) -> list[int]:
    """Return the family (N) of each row of ids: rows of one begin alike for most of their ids."""
    order = sorted(range(len(rows)), key=lambda place: list(rows[place]))
    found = [0] * len(rows)
    family, shared = 0, len(rows[order[0]]) if rows else 0
    longest = shared
    for before, place in pairwise(order):
        # In sorted rows what the first and the last share is what all between them share.
        shared = min(shared, n_alike(rows[before], rows[place]))
        longest = max(longest, len(rows[place]))
        if shared <= ALIKE * longest:
            family, shared, longest = family + 1, len(rows[place]), len(rows[place])
        found[place] = family
    return found


def share_of_families(members: Sequence[int], size: int) -> float:
    """Return the share of examples that fill batches of one family."""
    counts = Counter(members)
    return sum(n - n % size for n in counts.values()) / len(members)


class SharedCollator:
    """Lays a batch out as one row: what its examples share at their beginning, then each one's own.

    Each sees the shared part and itself, by PARTS, at the places that it has alone. The gradient
    is that of the examples one by one, but for dropout, which leaves out the same of the shared
    part for all of them; nothing is padded.
    """

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return input_ids, labels and position_ids, (1, T) each, and the lengths of the parts."""
        rows: list[list[int]] = [example["input_ids"] for example in examples]
        n_shared = self._n_shared(examples)
        ids, labels = rows[0][:n_shared], [IGNORED] * n_shared
        positions, lengths = list(range(n_shared)), [n_shared]
        for example, row in zip(examples, rows, strict=True):
            ids += row[n_shared:]
            labels += example["labels"][n_shared:]
            positions += range(n_shared, len(row))
            lengths.append(len(row) - n_shared)
        return {
            "input_ids": torch.tensor([ids]),
            "labels": torch.tensor([labels]),
            "position_ids": torch.tensor([positions]),
            PARTS: lengths,
        }

    def _n_shared(self, examples: Sequence[Mapping[str, Any]]) -> int:
        """Return how many ids are computed once: none whose next token is one example's alone."""
        first, *others = examples
        n_shared = len(first["input_ids"]) if others else 0
        for example in others:
            n_shared = min(n_shared, n_alike(first["input_ids"], example["input_ids"]))
        for example in examples:
            n_prompt = next(i for i, label in enumerate(example["labels"]) if label != IGNORED)
            n_shared = min(n_shared, n_prompt - 1)
        return n_shared
