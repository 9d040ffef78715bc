"""Attention that also says how much it saw, so that parts of it can be joined."""

from __future__ import annotations

from typing import Literal

import torch

CAUSAL: Literal["causal"] = "causal"
"""The mask under which the m-th token sees the first m keys."""


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | Literal["causal"] | None,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return attention (B, H, M, D), and the log of the sum of its exponentials (B, H, M) float32.

    `query` is (B, H, M, D), `key` and `value` are (B, H, T, D); `mask` is added to their products
    and broadcasts to (B, H, M, T). Where it hides every key the numbers mean nothing.
    """
    # PyTorch's own kernel is not public, but the only one on the CPU that says the sums.
    if query.device.type == "cpu" and key.shape[-1] == value.shape[-1]:
        added = None if mask is CAUSAL else mask
        seen, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(  # noqa: SLF001
            query, key, value, 0.0, mask is CAUSAL, attn_mask=added, scale=scale
        )
        return seen, sums
    return plain_attention(query, key, value, mask, scale)


def plain_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | Literal["causal"] | None,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same by plain products, on any device."""
    products = (query @ key.transpose(-1, -2)).float() * scale
    if isinstance(mask, torch.Tensor):
        products = products + mask
    elif mask is CAUSAL:
        hidden = torch.ones(products.shape[-2:], dtype=torch.bool, device=query.device).triu(1)
        products = products.masked_fill(hidden, -torch.inf)
    sums = products.logsumexp(-1)
    weights = (products - sums.nan_to_num(neginf=0.0)[..., None]).exp()
    return weights.to(value.dtype) @ value, sums
