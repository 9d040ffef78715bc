"""Attention that also says how much it saw, so that parts of it can be joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

HIDDEN = -1e30
"""What a mask adds to hide a key: as good as nothing beside any other, and no infinity or NaN."""
SCORES = {"cpu": 1 << 18, "cuda": 1 << 26}
"""Products of queries and keys at a time: on the CPU as many as its caches hold."""


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return attention (B, H, M, D), and the log of the sum of its exponentials (B, H, M) float32.

    `query` is (B, H, M, D), `key` and `value` are (B, H, T, D); `mask` is added to their products
    and broadcasts to (B, H, M, T). Meant for few queries of many sequences.
    """
    # PyTorch's own kernel is not public, but the only one on the CPU that says the sums.
    if query.device.type == "cpu" and key.shape[-1] == value.shape[-1]:
        seen, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(  # noqa: SLF001
            query, key, value, dropout_p=0.0, is_causal=False, attn_mask=mask, scale=scale
        )
        return seen, sums
    return wide_attention(query, key, value, mask, scale)


def wide_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same by large products, on any device: for many queries of one sequence.

    Any dimensions, or none, stand before the last two of each, and the mask has all queries. On the
    CPU PyTorch's kernel takes two to three times as long for them in bfloat16.
    """
    n_scores = query[..., 0].numel() * key.shape[-2]
    n_parts = -(-n_scores // SCORES.get(query.device.type, SCORES["cpu"]))
    queries = query.chunk(n_parts, -2)
    masks: Sequence[torch.Tensor | None] = (
        [None] * len(queries) if mask is None else mask.chunk(n_parts, -2)
    )
    parts = [
        _attend(rows, key, value, hidden, scale)
        for rows, hidden in zip(queries, masks, strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    return torch.cat([seen for seen, _ in parts], -2), torch.cat([sums for _, sums in parts], -1)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    scores = _products(query, key)
    if mask is None:
        scores.mul_(scale)
    else:
        torch.add(mask, scores, alpha=scale, out=scores)
    largest = scores.amax(-1)
    weights = torch.softmax(scores, -1)
    # The largest weight is exp(largest) over the sum of all exponentials.
    sums = largest.sub_(weights.amax(-1).log_())
    return weights.to(value.dtype) @ value, sums


def _products(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return query @ key^T (..., M, T) in float32."""
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return (query @ key.transpose(-1, -2)).float()
    # Products of bfloat16 numbers are summed in float32 and then rounded to bfloat16. Asked for
    # float32 and given leave to round what is multiplied, PyTorch keeps the sums as they are.
    setting: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # made at run time
    before = setting.fp32_precision
    setting.fp32_precision = "bf16"
    try:
        return query.float() @ key.float().transpose(-1, -2)
    finally:
        setting.fp32_precision = before
