"""Causal attention to train with on a CPU, by plain products.

PyTorch's own kernel takes about three times as long on the CPU in bfloat16, forward and backward
together (Gemma 3 270M, 640 tokens: 0.47 s of a pass over one example that takes 1.2 s).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface

from fcbench.backends.transformers import LAYERS, depends_on_length
from fcbench.backends.transformers._attention import key_columns, scores_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME = "fcbench_training"
PARTS = "fcbench_parts"
"""What a model is given beside the ids of a row that holds several examples: the length of the
beginning that they share, then that of each one's own part, in the row's order."""
_HIDDEN = -1e30
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
_LEAK = 0.25
"""Of the difference that examples make which see each other, what counts as not seeing them."""


class _Attention(torch.autograd.Function):
    """Softmax of products, kept for the way back: (B, H, M, T) of each layer."""

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
    window, parts = options.get("sliding_window"), options.get(PARTS)
    if parts is not None:
        return _attend_in_parts(query, key, value, parts, window, scale).transpose(1, 2), None
    return _causal(query, key, value, window, scale).transpose(1, 2), None


def _attend_in_parts(  # noqa: PLR0913  what attention takes
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    parts: Sequence[int],
    window: int | None,
    scale: float,
) -> torch.Tensor:
    """Return attention of a row (1, H, T, D) of examples: each sees the shared part and itself."""
    lengths = list(parts)
    queries, keys, values = (
        torch.split_with_sizes(states, lengths, 2) for states in (query, key, value)
    )
    seen = [_causal(queries[0], keys[0], values[0], window, scale)] if parts[0] else []
    for own_query, own_key, own_value in zip(queries[1:], keys[1:], values[1:], strict=True):
        keys_seen = torch.cat([keys[0], own_key], 2)
        values_seen = torch.cat([values[0], own_value], 2)
        seen.append(_causal(own_query, keys_seen, values_seen, window, scale))
    return torch.cat(seen, 2)


def _causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int | None, scale: float
) -> torch.Tensor:
    """Return attention (B, H, M, D) of the last M of T places, each seeing what is not after it."""
    mask = _mask(query.shape[2], key.shape[2], window, query.device)
    seen: torch.Tensor = _Attention.apply(query, key, value, mask, scale)  # type: ignore[no-untyped-call]
    return seen


def _mask(n: int, n_keys: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Return what is added to scores (n, n_keys): -1e30 where a key is hidden from the last n."""
    place = torch.arange(n_keys, device=device)
    distance = place[n_keys - n :, None] - place
    is_hidden = distance < 0
    if window is not None:
        is_hidden |= distance >= window
    return torch.zeros(n, n_keys, device=device).masked_fill_(is_hidden, _HIDDEN)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _no_mask)


def _tells_windows(model: Any) -> bool:
    """Whether layers say by themselves what they see; of some only the mask does, unread here."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or LAYERS)
    windows = [m for m in model.modules() if getattr(m, "sliding_window", None) is not None]
    # A window that the configuration names is of the layers that slide, if any does.
    slides = getattr(config, "sliding_window", None) is not None and kinds != {"full_attention"}
    return kinds <= LAYERS and (bool(windows) or not slides)


def use_products(model: Any) -> bool:
    """Let a model on the CPU attend by products, if its logits stay what they are.

    Tried as the model is trained, so that dropout keeps it from being used.
    """
    if model.device.type != "cpu" or model.dtype not in _TOLERANCE or not _tells_windows(model):
        return False
    before = model.config._attn_implementation  # noqa: SLF001  transformers has no other name

    def by_products() -> torch.Tensor:
        model.set_attn_implementation(NAME)
        return _logits(model, ids)

    ids = _some_ids(model)
    difference = _difference(model, lambda: _logits(model, ids), by_products)
    is_same = difference <= _TOLERANCE[model.dtype]
    if not is_same:
        model.set_attn_implementation(before)
    return is_same


def sees_parts(model: Any) -> bool:
    """Whether a model of several examples in one row, see PARTS, gives the logits of each.

    Not so where it attends in another way, where its layers do not hand on what it is given, or
    where a token's place is told by the length of the row.
    """
    config = model.config
    if config._attn_implementation != NAME:  # noqa: SLF001  as above
        return False
    if depends_on_length(config.get_text_config()):
        return False
    ids, n_shared, n_own = _some_ids(model), 20, 14  # 20 shared, then 14 of each example
    places = torch.arange(ids.shape[1], device=ids.device)[None]
    places[:, n_shared + n_own :] -= n_own

    def apart() -> torch.Tensor:
        second = torch.cat([ids[:, :n_shared], ids[:, n_shared + n_own :]], 1)
        first = _logits(model, ids[:, : n_shared + n_own])
        return torch.cat([first, _logits(model, second)[:, n_shared:]], 1)

    def together(**parts: Any) -> torch.Tensor:
        return _logits(model, ids, position_ids=places, **parts)

    told = _difference(model, apart, lambda: together(**{PARTS: [n_shared, n_own, n_own]}))
    untold = _difference(model, apart, together)
    return told <= _TOLERANCE[model.dtype] and told < _LEAK * untold


def _some_ids(model: Any) -> torch.Tensor:
    n_tokens: int = model.config.get_text_config().vocab_size
    return torch.arange(2, 50, device=model.device)[None] % n_tokens


def _logits(model: Any, ids: torch.Tensor, **given: Any) -> torch.Tensor:
    logits: torch.Tensor = model(ids, use_cache=False, **given).logits.float()
    return logits


def _difference(
    model: Any, one: Callable[[], torch.Tensor], other: Callable[[], torch.Tensor]
) -> float:
    """Return how far two ways to the same logits are apart in training, of the largest logit.

    Infinite where one of them fails.
    """
    was_training = model.training
    model.train()
    try:
        with torch.no_grad():
            expected = one()
            return ((other() - expected).abs().max() / expected.abs().max()).item()
    # The boundary to code of any model: what does not go through the interface fails its own way.
    except Exception:  # noqa: BLE001
        return float("inf")
    finally:
        model.train(was_training)
