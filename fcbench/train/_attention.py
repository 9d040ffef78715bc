"""Causal attention to train with on a CPU, by plain products.

PyTorch's own kernel takes about three times as long on the CPU in bfloat16, forward and backward
together (Gemma 3 270M, 640 tokens: 0.47 s of a pass over one example that takes 1.2 s).
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface

from fcbench.backends.transformers import LAYERS
from fcbench.backends.transformers._attention import key_columns, scores_of

NAME = "fcbench_training"
_HIDDEN = -1e30
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}


class _Attention(torch.autograd.Function):
    """Softmax of products, kept for the way back: (B, H, M, M) of each layer."""

    @staticmethod
    def forward(  # noqa: PLR0913  autograd's context, and what attention takes
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        # Query heads that share keys stand below each other: (B, Hkv, G * M, D).
        grouped = torch.unflatten(query, 1, (key.shape[1], -1)).flatten(2, 3)
        scores = scores_of(grouped, key_columns(key), scale)
        torch.unflatten(scores, 2, (-1, query.shape[2])).add_(mask)
        weights = torch.softmax(scores, -1).to(value.dtype)
        seen = weights @ value
        ctx.save_for_backward(grouped, key, value, weights, seen)
        ctx.scale, ctx.shape = scale, query.shape
        return seen.view(*query.shape[:3], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grouped, key, value, weights, seen = ctx.saved_tensors
        gradient = gradients[0].reshape(seen.shape)
        # The softmax's gradient: each weight times how far its product is above the average.
        average = (gradient.float() * seen.float()).sum(-1, keepdim=True)
        of_scores = scores_of(gradient, key_columns(value), 1.0).sub_(average)
        of_scores = of_scores.mul_(weights).mul_(ctx.scale).to(key.dtype)
        return (
            (of_scores @ key).view(ctx.shape),
            of_scores.transpose(-1, -2) @ grouped,
            weights.transpose(-1, -2) @ gradient,
            None,
            None,
        )


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    del module, attention_mask  # causal, and padding is on the right, where nothing sees it
    for name in ("softcap", "s_aux", "position_bias"):
        if options.get(name) is not None:
            raise NotImplementedError(f"attention with {name}")
    if options.get("dropout"):
        raise NotImplementedError("attention with dropout")
    scale = options.get("scaling") or query.shape[-1] ** -0.5
    mask = _mask(query.shape[2], options.get("sliding_window"), query.device)
    seen: torch.Tensor = _Attention.apply(query, key, value, mask, scale)  # type: ignore[no-untyped-call]
    return seen.transpose(1, 2), None


def _mask(n: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Return what is added to scores (n, n): as good as minus infinity where a key is hidden."""
    place = torch.arange(n, device=device)
    distance = place[:, None] - place
    is_hidden = distance < 0
    if window is not None:
        is_hidden |= distance >= window
    return torch.zeros(n, n, device=device).masked_fill_(is_hidden, _HIDDEN)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _no_mask)


def _tells_windows(model: Any) -> bool:
    """Whether layers say by themselves what they see; of some only the mask does, unread here."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or LAYERS)
    windows = [m for m in model.modules() if getattr(m, "sliding_window", None) is not None]
    has_window = getattr(config, "sliding_window", None) is not None
    return kinds <= LAYERS and (bool(windows) or not has_window)


def use_products(model: Any) -> bool:
    """Let a model on the CPU attend by products, if its logits stay what they are.

    Tried as the model is trained, so that dropout keeps it from being used.
    """
    if model.device.type != "cpu" or model.dtype not in _TOLERANCE or not _tells_windows(model):
        return False
    before = model.config._attn_implementation  # noqa: SLF001  transformers has no other name
    ids = torch.arange(2, 50, device=model.device)[None] % model.config.get_text_config().vocab_size
    was_training = model.training
    model.train()
    try:
        with torch.no_grad():
            expected = model(ids, use_cache=False).logits.float()
            model.set_attn_implementation(NAME)
            found = model(ids, use_cache=False).logits.float()
        near = _TOLERANCE[model.dtype] * expected.abs().max()
        is_same = bool((found - expected).abs().max() <= near)
    # The boundary to code of any model: what does not go through the interface fails its own way.
    except Exception:  # noqa: BLE001
        is_same = False
    finally:
        model.train(was_training)
    if not is_same:
        model.set_attn_implementation(before)
    return is_same
