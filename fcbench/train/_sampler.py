"""The order of examples: batches of about one length, anew in each epoch."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from torch.utils.data import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BATCHES_SORTED = 50
"""Batches drawn together and sorted: more of them pad less, and mix less."""


class LengthGroupedSampler(Sampler[int]):
    """Yields each example once, the neighbours of a batch being of about one length.

    An epoch's order depends on the seed and the epoch alone, so that a run which goes on in the
    middle of one sees what an uninterrupted run sees; transformers' own sampler draws on from
    where the epochs before left its generator.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        draw = random.Random(f"{self._seed} {self._epoch}")  # noqa: S311  to repeat, no secret
        order = draw.sample(range(len(self._lengths)), len(self._lengths))
        n_sorted = BATCHES_SORTED * self._batch_size
        batches: list[list[int]] = []
        for first in range(0, len(order), n_sorted):
            some = sorted(order[first : first + n_sorted], key=self._lengths.__getitem__)
            batches += [
                some[i : i + self._batch_size] for i in range(0, len(some), self._batch_size)
            ]
        # A batch that is not full has to come last, or it would take the next one's examples.
        full = [batch for batch in batches if len(batch) == self._batch_size]
        draw.shuffle(full)
        rest = [batch for batch in batches if len(batch) < self._batch_size]
        for batch in [*full, *rest]:
            yield from batch
