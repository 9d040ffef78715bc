"""Greedy decoding of a batch of prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from transformers import DynamicCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.backends.transformers._load import Loaded
    from fcbench.types import Decoding, Stop


class Decoded(NamedTuple):
    """What the model wrote after one prompt; `n_tokens` counts the stop token too."""

    text: str
    n_tokens: int
    stop: Stop | None
    error: str | None = None


@torch.inference_mode()
def greedy(loaded: Loaded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Decoded]:
    """Return the likeliest continuation of each prompt, up to a stop token or the limit.

    A loop of our own rather than model.generate, which cannot tell NaN from an answer: the argmax
    of NaN is token 0, so a broken model would write nothing, for ever. In float32 the tokens are
    those that generate gives for one prompt at a time.
    """
    if not prompts:
        return []
    model, device = loaded.model, loaded.model.device
    stops = torch.tensor(stop_ids(loaded, decoding.stops), device=device)
    step, mask = _left_padded(prompts, loaded.pad_id, device)  # (B, T)
    position = (mask.cumsum(-1) - 1).clamp(min=0)  # (B, T)
    cache = DynamicCache(config=model.config.get_text_config())
    written: list[list[int]] = [[] for _ in prompts]
    faults: dict[int, int] = {}
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)  # (B,)
    for n_before in range(decoding.max_new_tokens):
        logits = model(
            input_ids=step,
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]  # (B, V)
        # One NaN or infinity makes the sum one, and a sum is 15 times faster than isfinite here.
        faulty = ~torch.isfinite(logits.sum(-1, dtype=torch.float32)) & ~done
        faults |= dict.fromkeys(faulty.nonzero().flatten().tolist(), n_before)
        done |= faulty
        new = logits.argmax(-1).masked_fill(done, loaded.pad_id)  # (B,)
        for row in (~done).nonzero().flatten().tolist():
            written[row].append(int(new[row]))
        done |= torch.isin(new, stops)
        if done.all():
            break
        step = new[:, None]
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], -1)
        position = position[:, -1:] + 1
    return [_decoded(loaded, ids, faults.get(row), decoding) for row, ids in enumerate(written)]


def stop_ids(loaded: Loaded, stops: Sequence[str]) -> list[int]:
    """Return the ids that end a turn: the format's stop tokens and the model's own."""
    return sorted({*loaded.ids_of(stops), *loaded.eos_ids})


def _left_padded(
    prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and mask, both (B, T) int64; the last column holds every prompt's last token."""
    longest = max(map(len, prompts))
    ids = [[pad_id] * (longest - len(p)) + list(p) for p in prompts]
    mask = [[0] * (longest - len(p)) + [1] * len(p) for p in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _decoded(loaded: Loaded, ids: list[int], fault: int | None, decoding: Decoding) -> Decoded:
    if fault is not None:
        dtype = loaded.manifest["dtype"]
        error = f"the logits of new token {fault + 1} are not finite in {dtype}"
        return Decoded("", len(ids), None, error)
    stopped = bool(ids) and ids[-1] in stop_ids(loaded, decoding.stops)
    # The format's own stop token is evidence and stays; a foreign one would read as text.
    foreign = stopped and ids[-1] not in loaded.ids_of(decoding.stops)
    text = loaded.tokenizer.decode(
        ids[:-1] if foreign else ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return Decoded(text, len(ids), "token" if stopped else "limit")
