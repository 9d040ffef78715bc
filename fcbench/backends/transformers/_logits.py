"""A model, token ids -> logits at some places of them, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


def logits_at(model: Any, ids: Sequence[int], places: Sequence[int]) -> torch.Tensor:
    """Return the logits (n, V) float32 at n places of a text, on the CPU and holding no others.

    For any model, with an adapter on top or without: `logits_to_keep` is not in the signature of a
    peft model, nor of all others.
    """
    chosen = list(places)
    head = model.get_output_embeddings()

    def select(_module: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0][:, chosen], *inputs[1:])

    # The output layer is more than half of a pass, and with a large vocabulary the logits of all
    # places are most of a gigabyte.
    hook = None if head is None else head.register_forward_pre_hook(select)
    try:
        with torch.inference_mode():
            given = torch.tensor([list(ids)], device=model.device)
            logits: torch.Tensor = model(input_ids=given, use_cache=False).logits[0]
    finally:
        if hook is not None:
            hook.remove()
    # An output layer that is no module of its own has computed all places.
    kept = logits if len(logits) == len(chosen) else logits[chosen]
    return kept.float().cpu()
