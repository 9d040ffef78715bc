"""Cross entropy over a large vocabulary, a few rows at a time."""

from __future__ import annotations

from typing import Any

import torch

CHUNK = 1 << 21
"""Logits at a time: what is computed of them in float32 stays in the caches."""


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        total, logs = logits.new_zeros((), dtype=torch.float32), []
        for some, ids in _chunks(logits, wanted):
            wide = some.float()
            logs.append(wide.logsumexp(-1))
            total += (logs[-1] - wide.gather(1, ids[:, None])[:, 0]).sum()
        ctx.save_for_backward(logits, wanted, torch.cat(logs) if logs else logits.new_empty(0))
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, wanted, logs = ctx.saved_tensors
        found = torch.empty_like(logits)
        for some, ids, of_rows, into in _chunks(logits, wanted, logs, found):
            shares = some.float().sub_(of_rows[:, None]).exp_()
            shares[torch.arange(len(ids), device=ids.device), ids] -= 1
            into.copy_(shares.mul_(gradients[0]))
        return found, None


def cross_entropy(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the sum over rows of the cross entropy of logits (N, V) with the ids (N), float32.

    PyTorch's own makes several copies of all logits in float32, which took a fifth of a step with
    Gemma's 262,144 tokens.
    """
    total: torch.Tensor = _CrossEntropy.apply(logits, wanted)  # type: ignore[no-untyped-call]
    return total


def _chunks(*tensors: torch.Tensor) -> Any:
    """Yield the same rows of each tensor, so many that the first has CHUNK numbers."""
    n_rows = max(1, CHUNK // max(1, tensors[0].shape[-1]))
    return zip(*(torch.split(tensor, n_rows) for tensor in tensors), strict=True)
