"""Token ids -> logits at some places of them, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from fcbench.backends.transformers import Loaded


def logits_at(
    loaded: Loaded, ids: Sequence[int], places: Sequence[int] | None = None
) -> torch.Tensor:
    """Return the logits (n, V) float32 at n places of a text; by default at its last alone."""
    import torch

    model = loaded.model
    chosen = [len(ids) - 1] if places is None else list(places)
    head = model.get_output_embeddings()

    def select(_module: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0][:, chosen], *inputs[1:])

    # The output layer is most of the work over a prompt, and hardly any place of it is looked at.
    hook = None if head is None else head.register_forward_pre_hook(select)
    try:
        with torch.inference_mode():
            inputs = torch.tensor([list(ids)], device=model.device)
            logits: torch.Tensor = model(input_ids=inputs, use_cache=False).logits[0]
    finally:
        if hook is not None:
            hook.remove()
    return (logits if len(logits) == len(chosen) else logits[chosen]).float()
