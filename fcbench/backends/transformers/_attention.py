"""What each new token may look at, by position, when sequences of a batch grow unevenly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache

if TYPE_CHECKING:
    from collections.abc import Sequence

FULL, SLIDING = "full_attention", "sliding_attention"


class Growing:
    """The inputs of a batch whose sequences take one or more new tokens a step.

    Columns of the cache belong to all sequences at once, so a sequence with fewer new tokens gets
    padding in the middle. Masks therefore go by position and not by column, and the cache keeps
    everything: transformers' own masks and its sliding cache count columns. A model of other
    layers than full and sliding attention takes one token a step, with transformers' own masks.
    """

    def __init__(self, model: Any, n_sequences: int, pad_id: int) -> None:
        config = model.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ())
        # Rotary positions go by position too; others (ALiBi, windows of their own) by column.
        is_rotary = bool(kinds) or hasattr(config, "rope_parameters")
        self.takes_many = (
            is_rotary and kinds <= {FULL, SLIDING} and not getattr(config, "alibi", False)
        )
        self._by_layer = SLIDING in kinds
        self._window = (
            getattr(config, "sliding_window", None) if self._by_layer or not kinds else None
        )
        self._additive = model.config._attn_implementation == "eager"  # noqa: SLF001
        self._dtype, self._device = model.dtype, model.device
        self._pad_id = pad_id
        self._cache = DynamicCache() if self.takes_many else DynamicCache(config=config)
        self._keys = torch.full((n_sequences, 0), -1, device=self._device)  # (B, T) positions

    @property
    def has_read(self) -> bool:
        """Whether a step was taken."""
        return self._keys.shape[1] > 0

    def step(self, new: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Return the model's arguments for the new tokens (B rows of K_b >= 0) of each sequence.

        Rows are padded on the left, so that the last column holds the last new token of each.
        """
        width = max(map(len, new))
        lengths = torch.tensor([len(row) for row in new], device=self._device)  # (B,)
        ids = torch.tensor(
            [[self._pad_id] * (width - len(row)) + list(row) for row in new], device=self._device
        )  # (B, K)
        column = torch.arange(width, device=self._device)[None]  # (1, K)
        start = self._keys.amax(-1, keepdim=True) + 1 if self.has_read else 0
        positions = start + column - (width - lengths)[:, None]  # (B, K)
        positions = positions.masked_fill(column < (width - lengths)[:, None], -1)
        self._keys = torch.cat([self._keys, positions], -1)  # (B, T)
        return {
            "input_ids": ids,
            "position_ids": positions.clamp(min=0),
            "attention_mask": self._mask(positions),
            "past_key_values": self._cache,
            "use_cache": True,
            "logits_to_keep": 1,
        }

    def _mask(self, positions: torch.Tensor) -> Any:
        if not self.takes_many:
            return (self._keys >= 0).long()  # (B, T)
        query, key = positions[:, :, None], self._keys[:, None, :]
        visible = (key >= 0) & (key <= query)  # (B, K, T)
        # Padding sees itself: a row that sees nothing would be NaN, and NaN spreads.
        width, total = positions.shape[1], self._keys.shape[1]
        visible[:, :, total - width :] |= torch.eye(width, dtype=torch.bool, device=self._device)
        near = visible
        if self._window is not None:
            near = visible & ((query - key < self._window) | (query < 0))
        if self._by_layer:
            return {FULL: self._as_mask(visible), SLIDING: self._as_mask(near)}
        return self._as_mask(near)

    def _as_mask(self, visible: torch.Tensor) -> torch.Tensor:
        """Return the mask (B, 1, K, T): bool, or 0 and -infinity-like where attention adds it."""
        if not self._additive:
            return visible[:, None]
        least = torch.finfo(self._dtype).min
        return torch.zeros_like(visible, dtype=self._dtype).masked_fill(~visible, least)[:, None]
