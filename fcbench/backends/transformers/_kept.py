"""The keys and values of tokens that a model has read: of sequences, and of prefixes they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


@dataclass(eq=False, slots=True)
class Held:
    """Tokens in a row whose keys and values are kept: a shared prefix's, or a sequence's own.

    `start` is the position of the first, `above` what they follow, outermost first; `length` counts
    those that were read. `slot` is a sequence's row in the pool; it is None for a prefix, whose
    keys and values (Hkv, capacity, D) stand in `layers`.
    """

    start: int
    above: tuple[Held, ...] = ()
    length: int = 0
    slot: int | None = None
    layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    capacity: int = 0

    @property
    def end(self) -> int:
        """Return the position of the next token."""
        return self.start + self.length


def after(above: Sequence[Held]) -> int:
    """Return the position of what follows prefixes, outermost first, once they are read whole."""
    return above[-1].start + above[-1].capacity if above else 0


class Work(NamedTuple):
    """New tokens of a sequence or a prefix; `n_out` is at how many of the last to say what next."""

    held: Held
    tokens: Sequence[int]
    n_out: int = 1


class Pool:
    """The keys and values of the sequences' own tokens: (slots, Hkv, capacity, D) for each layer.

    Slots are filled from the first on, so that a step takes a slice and copies nothing.
    """

    def __init__(self, n_slots: int, capacity: int) -> None:
        self.n_slots, self.capacity = n_slots, capacity
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._held: list[Held] = []

    @property
    def n_held(self) -> int:
        """Return how many slots are taken."""
        return len(self._held)

    def layer(
        self, index: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a layer's keys and values, made where they are missing to take ones like these."""
        if index not in self._layers:
            shape = (self.n_slots, key.shape[1], self.capacity)
            # Zeros, not empty: what is masked is multiplied by 0, and 0 times NaN is NaN. For that
            # reason a slot that is let go of is emptied too.
            self._layers[index] = (
                key.new_zeros(*shape, key.shape[-1]),
                value.new_zeros(*shape, value.shape[-1]),
            )
        return self._layers[index]

    def take(self, held: Held) -> None:
        """Give a sequence the next slot."""
        held.slot = len(self._held)
        self._held.append(held)

    def release(self, held: Held) -> None:
        """Free a sequence's slot; the last sequence moves there."""
        free = self._held.index(held)
        last = self._held.pop()
        for kept in (kept for layer in self._layers.values() for kept in layer):
            if last is not held:
                kept[free, :, : last.length] = kept[last.slot, :, : last.length]
                kept[free, :, last.length :] = 0
            kept[len(self._held)] = 0
        if last is not held:
            self._held[free] = last
            last.slot = free
        held.slot = None
