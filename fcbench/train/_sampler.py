"""The order of examples: batches of one family or of about one length, anew in each epoch."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING

from torch.utils.data import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BATCHES_SORTED = 50
"""Batches drawn together and sorted: more of them pad less, and mix less."""


class FamilySampler(Sampler[int]):
    """Yields each example once, a batch being of one family, see families, or of about one length.

    An epoch's order depends on the seed and the epoch alone, so that a run which goes on in the
    middle of one sees what an uninterrupted run sees; transformers' own sampler draws on from
    where the epochs before left its generator.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        seed: int,
        families: Sequence[int] | None = None,
    ) -> None:
        self._lengths = lengths
        self._families = families
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
        batches, order = self._of_families(order)
        n_sorted = BATCHES_SORTED * self._batch_size
        for first in range(0, len(order), n_sorted):
            batches += self._cut(
                sorted(order[first : first + n_sorted], key=self._lengths.__getitem__)
            )
        # A batch that is not full has to come last, or it would take the next one's examples.
        full = [batch for batch in batches if len(batch) == self._batch_size]
        draw.shuffle(full)
        rest = [batch for batch in batches if len(batch) < self._batch_size]
        for batch in [*full, *rest]:
            yield from batch

    def _of_families(self, order: list[int]) -> tuple[list[list[int]], list[int]]:
        """Return full batches of one family each, and the examples that are left."""
        if self._families is None:
            return [], order
        members = defaultdict[int, list[int]](list)
        for place in order:
            members[self._families[place]].append(place)
        batches = [batch for some in members.values() for batch in self._cut(some)]
        full = [batch for batch in batches if len(batch) == self._batch_size]
        taken = {place for batch in full for place in batch}
        return full, [place for place in order if place not in taken]

    def _cut(self, places: list[int]) -> list[list[int]]:
        size = self._batch_size
        return [places[i : i + size] for i in range(0, len(places), size)]
