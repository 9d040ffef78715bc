"""Which control tokens are new to a model: their rows look as if no text had ever held them."""

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
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    alike = torch.stack(
        [_alike(layer.weight.detach()[ids]) for layer in layers if layer is not None]
    )
    return [i for i, is_alike in zip(ids, alike.any(0).tolist(), strict=True) if is_alike]


def _alike(rows: torch.Tensor) -> torch.Tensor:
    """Return which rows (n, H) are nearly another's, (n,)."""
    rows = functional.normalize(rows.float(), dim=1)
    return ((rows @ rows.T).fill_diagonal_(0) > UNSEEN_COSINE).any(1)


def _single_id(tokenizer: Any, token: str) -> int | None:
    ids = tokenizer.encode(token, add_special_tokens=False)
    return ids[0] if len(ids) == 1 else None
