"""Attention that also says how much it saw, so that parts of it can be joined."""

from __future__ import annotations

from typing import Any

import torch

SCORES = {"cpu": 1 << 18, "cuda": 1 << 26}
"""Products of queries and keys at a time: on the CPU as many as its caches hold."""


def hidden(dtype: torch.dtype) -> float:
    """Return what a mask adds to hide a key: as good as nothing beside any other, and finite."""
    return max(-1e30, torch.finfo(dtype).min)


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return attention (B, H, M, D), and the log of the sum of its exponentials (B, H, M) float32.

    `query` is (B, H, M, D), `key` and `value` are (B, H, T, D); `mask`, of the same dtype, is added
    to their products and broadcasts to (B, H, M, T). Meant for few queries of many sequences.
    """
    # PyTorch's own kernel is not public, but the only one on the CPU that says the sums.
    if query.device.type == "cpu" and key.shape[-1] == value.shape[-1]:
        seen, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(  # noqa: SLF001
            query, key, value, dropout_p=0.0, is_causal=False, attn_mask=mask, scale=scale
        )
        return seen, sums
    return plain_attention(query, key, value, mask, scale)


def plain_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same by products, on any device."""
    scores = scores_of(query, key_columns(key), scale)
    weights, sums = _weights(scores.add_(mask))
    return weights.to(value.dtype) @ value, sums


def wide_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return attention (H, M, G, E) and its log-sums (H, M, G), of many queries of one sequence.

    `query` is (H, M, G, D), G heads sharing the keys (H, T, D) and values (H, T, E) of one. `mask`
    (M, C) is added to the products with the last C keys; None hides nothing. On the CPU PyTorch's
    own kernel takes two to three times as long in bfloat16.
    """
    n_heads, n_queries, n_grouped, _ = query.shape
    n_keys = key.shape[-2]
    seen = value.new_empty(*query.shape[:3], value.shape[-1])
    sums = value.new_empty(query.shape[:3], dtype=torch.float32)
    on_cpu = query.device.type == "cpu"
    # A GPU wants all heads in one product, a CPU as few numbers at a time as stay in its caches.
    heads_each = 1 if on_cpu else n_heads
    most = SCORES["cpu" if on_cpu else "cuda"]
    rows_each = max(1, most // (heads_each * n_grouped * n_keys))
    for head in range(0, n_heads, heads_each):
        heads = slice(head, head + heads_each)
        columns, seen_values = key_columns(key[heads]), value[heads]
        for row in range(0, n_queries, rows_each):
            rows = slice(row, row + rows_each)
            scores = scores_of(query[heads, rows].flatten(1, 2), columns, scale)
            scores = torch.unflatten(scores, 1, (-1, n_grouped))
            if mask is not None:
                scores[..., n_keys - mask.shape[-1] :].add_(mask[rows, None])
            weights, sums[heads, rows] = _weights(scores)
            found = weights.to(value.dtype).flatten(1, 2) @ seen_values
            seen[heads, rows] = torch.unflatten(found, 1, (-1, n_grouped))
    return seen, sums


def _weights(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the softmax of scores (…, T), and the log of the sum (…) of their exponentials."""
    weights = torch.softmax(scores, -1)
    # The largest weight is the largest exponential over the sum of all.
    return weights, scores.amax(-1).sub_(weights.amax(-1).log_())


def key_columns(key: torch.Tensor) -> torch.Tensor:
    """Return the keys (…, D, T) as scores_of takes them."""
    return (key.float() if key.device.type == "cpu" else key).transpose(-1, -2)


def scores_of(query: torch.Tensor, columns: torch.Tensor, scale: float) -> torch.Tensor:
    """Return query @ columns * scale (…, M, T) in float32."""
    if query.device.type != "cpu":
        # Scaled before, because products in float16 overflow.
        return ((query * scale) @ columns).float()
    if query.dtype != torch.bfloat16:
        return (query.float() @ columns).mul_(scale)
    # Products of bfloat16 numbers are summed in float32 and then rounded to bfloat16. Asked for
    # float32 and given leave to round what is multiplied, PyTorch keeps the sums as they are. The
    # leave is the whole process's: another thread's products in float32 are rounded meanwhile.
    setting: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # made at run time
    before = setting.fp32_precision
    setting.fp32_precision = "bf16"
    try:
        return (query.float() @ columns).mul_(scale)
    finally:
        setting.fp32_precision = before
