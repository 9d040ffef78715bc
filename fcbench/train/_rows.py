"""Trained rows of an embedding, computed beside the frozen ones. Needs peft."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.trainable_tokens import TrainableTokensLayer
from torch.nn import functional


class RowsApart(TrainableTokensLayer):
    """peft's layer of trained token rows without a copy of the whole embedding.

    peft copies the embedding with the trained rows in it, once for each use of it, and computes a
    gradient for all of it. The same results come from the frozen rows and the trained ones apart:
    262,144 rows of Gemma 3 are read, and 9 are differentiated.
    """

    def forward(self, x: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        """Return what peft's own forward returns."""
        adapters = self.active_adapters
        if self.disable_adapters or self.merged or len(adapters) != 1:
            found: torch.Tensor = super().forward(x, *args, **options)
            return found
        base: Any = self.get_base_layer()
        rows = self.trainable_tokens_delta[adapters[0]]
        index = torch.tensor(self.token_indices[adapters[0]], device=x.device)
        if isinstance(base, torch.nn.Embedding):
            return self._looked_up(x, base, rows, index)
        trained = functional.linear(x, rows)
        if base.bias is not None:
            trained = trained + base.bias[index]
        logits: torch.Tensor = base(x)
        return logits.index_copy_(-1, index, trained)  # a copy would be of the whole vocabulary

    def _looked_up(
        self, ids: torch.Tensor, base: torch.nn.Embedding, rows: torch.Tensor, index: torch.Tensor
    ) -> torch.Tensor:
        is_trained = ids[..., None] == index
        trained = functional.embedding(is_trained.int().argmax(-1), rows)
        # Gemma scales what it looks up.
        scale = self._get_embed_scale()  # type: ignore[no-untyped-call]
        if scale is not None:
            trained = trained * scale.to(trained.dtype)
        return torch.where(is_trained.any(-1, keepdim=True), trained, base(ids))


def compute_rows_apart(model: Any) -> int:
    """Let the layers of a model that hold trained rows be of this kind; return how many."""
    layers = [module for module in model.modules() if type(module) is TrainableTokensLayer]
    for layer in layers:
        layer.__class__ = RowsApart
    return len(layers)
