"""Decoding of a batch of prompts, freely or under a constraint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch

from fcbench.backends.transformers._attention import Growing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.backends.transformers._choose import Chooser, Chosen
    from fcbench.backends.transformers._load import Loaded
    from fcbench.types import Decoding, Stop


class Decoded(NamedTuple):
    """What the model wrote after one prompt; `n_tokens` counts the stop token too."""

    text: str
    n_tokens: int
    stop: Stop | None
    error: str | None = None


@dataclass
class _Row:
    """One sequence: the tokens that the model has not read yet, and those written so far."""

    pending: list[int]
    choose: Chooser
    written: list[int] = field(default_factory=list)
    stop: Stop | None = None
    error: str | None = None

    @property
    def is_done(self) -> bool:
        return self.stop is not None or self.error is not None

    def take(self, chosen: Chosen, limit: int) -> None:
        self.written += chosen.tokens
        self.pending += chosen.tokens
        if chosen.ends_turn:
            self.stop = "token"
        elif len(self.written) >= limit:
            self.stop = "limit"


@torch.inference_mode()
def decode(
    loaded: Loaded,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    choosers: Sequence[Chooser],
) -> list[Decoded]:
    """Return the continuation of each prompt, up to a stop token or the limit.

    `choosers` choose the tokens of each prompt's answer from the logits. What one writes at once,
    such as tokens that a grammar forces, is read by the model together with the token before, not
    in a pass of its own.

    A loop of our own rather than model.generate, which cannot tell NaN from an answer: the argmax
    of NaN is token 0, so a broken model would write nothing, for ever. In float32 the tokens are
    those that generate gives for one prompt at a time.
    """
    if not prompts:
        return []
    limit = decoding.max_new_tokens
    rows = [_Row(list(p), c) for p, c in zip(prompts, choosers, strict=True)]
    for row in rows:
        row.take(row.choose.first(limit), limit)
    growing = Growing(loaded.model, len(rows), loaded.pad_id)
    while not all(row.is_done for row in rows):
        # Without uneven steps what is pending is read one by one, after a first step for all.
        new = [[] if row.is_done else row.pending for row in rows]
        if not growing.takes_many and growing.has_read:
            new = [pending[:1] for pending in new]
        logits = loaded.model(**growing.step(new)).logits[:, -1]  # (B, V)
        # One NaN or infinity makes the sum one, and a sum is 15 times faster than isfinite here.
        faulty = (~torch.isfinite(logits.sum(-1, dtype=torch.float32))).tolist()
        for index, row in enumerate(rows):
            if row.is_done:
                continue
            row.pending = row.pending[len(new[index]) :]
            if faulty[index]:
                dtype = loaded.manifest["dtype"]
                row.error = (
                    f"the logits of new token {len(row.written) + 1} are not finite in {dtype}"
                )
            elif not row.pending:
                row.take(row.choose.next(logits[index], limit - len(row.written)), limit)
    return [_decoded(loaded, row, decoding) for row in rows]


def stop_ids(loaded: Loaded, stops: Sequence[str]) -> list[int]:
    """Return the ids that end a turn: the format's stop tokens and the model's own."""
    return sorted({*loaded.ids_of(stops), *loaded.eos_ids})


def _decoded(loaded: Loaded, row: _Row, decoding: Decoding) -> Decoded:
    ids = row.written
    if row.error is not None:
        return Decoded("", len(ids), None, row.error)
    stopped = bool(ids) and ids[-1] in stop_ids(loaded, decoding.stops)
    # The format's own stop token is evidence and stays; a foreign one would read as text.
    foreign = stopped and ids[-1] not in loaded.ids_of(decoding.stops)
    text = loaded.tokenizer.decode(
        ids[:-1] if foreign else ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return Decoded(text, len(ids), row.stop)
