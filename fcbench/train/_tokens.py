"""Rows of control tokens that are trained: which ones are new, and how they are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

UNSEEN_COSINE = 0.9
"""Above this, two tokens' rows are taken for what training began with.

Rows that no text ever held stay near each other: in Gemma 3 270M, as it is packaged, each of the
tokens that FunctionGemma writes calls and turns with has another at 0.937 or nearer; of 500 tokens
drawn from the rest of the vocabulary 99 in 100 have none among the 500 beyond 0.84. A model that
was tuned on calls keeps most of that nearness, and training such rows again does no harm.
"""


def new_tokens(model: Any, tokenizer: Any, controls: Sequence[str]) -> list[int]:
    """Return the ids of control tokens whose rows are nearly those of others, ascending.

    Only tokens that are single entries of the vocabulary count.
    """
    ids = sorted({i for token in controls if (i := _single_id(tokenizer, token)) is not None})
    rows = model.get_input_embeddings().weight.detach()[ids].float()
    rows = functional.normalize(rows, dim=1)
    alike = (rows @ rows.T).fill_diagonal_(0) > UNSEEN_COSINE
    return [i for i, is_alike in zip(ids, alike.any(1).tolist(), strict=True) if is_alike]


def _single_id(tokenizer: Any, token: str) -> int | None:
    ids = tokenizer.encode(token, add_special_tokens=False)
    return ids[0] if len(ids) == 1 else None


def compute_rows_apart(model: Any) -> int:
    """Let peft's layers of trained token rows compute them beside the others; return how many.

    peft copies the whole embedding with the trained rows in it, once for each use of it, and then
    computes a gradient for all of it. The same results come from the frozen rows and the trained
    ones apart: 262,144 rows of Gemma 3 are read, and 9 are differentiated.
    """
    from peft.tuners.trainable_tokens import TrainableTokensLayer

    layers = [m for m in model.modules() if isinstance(m, TrainableTokensLayer)]
    for layer in layers:
        (adapter,) = layer.token_indices
        base: Any = layer.get_base_layer()
        index = torch.tensor(layer.token_indices[adapter], device=base.weight.device)
        make = _embedding if isinstance(base, torch.nn.Embedding) else _linear
        layer.forward = make(layer, base, adapter, index)  # type: ignore[method-assign]
    return len(layers)


def _embedding(layer: Any, base: Any, adapter: str, index: torch.Tensor) -> Any:
    slots = torch.full((base.weight.shape[0],), -1, device=index.device)
    slots[index] = torch.arange(len(index), device=index.device)

    def forward(ids: torch.Tensor) -> torch.Tensor:
        rows = layer.trainable_tokens_delta[adapter]
        slot = slots[ids]
        trained = functional.embedding(slot.clamp(min=0), rows)
        scale = layer._get_embed_scale()  # noqa: SLF001  Gemma scales what it looks up
        if scale is not None:
            trained = trained * scale.to(trained.dtype)
        return torch.where((slot >= 0)[..., None], trained, base(ids))

    return forward


def _linear(layer: Any, base: Any, adapter: str, index: torch.Tensor) -> Any:
    def forward(states: torch.Tensor) -> torch.Tensor:
        rows = layer.trainable_tokens_delta[adapter]
        logits: torch.Tensor = base(states)
        return logits.index_copy(-1, index, states @ rows.T)

    return forward
