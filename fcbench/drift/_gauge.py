"""Tokens and logits of a model that transformers has loaded: how near a tie was."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.backends.transformers import Loaded
    from fcbench.types import Sample

NEAR_TIE = 0.2
"""Logits so near each other change places when sums are rounded otherwise, as in bfloat16."""
MOST = 50
"""Gaps measured at most: each is a pass over a prompt."""


class Gap(NamedTuple):
    """Where two answers part: after how many tokens, at which two, and by how much.

    `value` is the logit of the first answer's token minus that of the second's.
    """

    n_alike: int
    first: str
    second: str
    value: float


class Gauge:
    """Measures by how much a loaded model prefers one answer to another where they part."""

    def __init__(self, loaded: Loaded, stops: Sequence[str]) -> None:
        from fcbench.backends.transformers import stop_ids

        self._loaded = loaded
        self._stop_ids = stop_ids(loaded, stops)
        self._known: dict[tuple[int, ...], Any] = {}

    @property
    def dtype(self) -> str:
        """The name of the dtype in which it is computed."""
        return str(self._loaded.manifest["dtype"])

    @property
    def is_tired(self) -> bool:
        """Whether it has measured as many gaps as it does."""
        return len(self._known) >= MOST

    def gap(self, prompt: str, first: Sample, second: Sample) -> Gap | None:
        """Return the gap where two answers to a prompt part.

        None where it cannot be told: an answer was made of other tokens than its text is read as,
        or was cut there, or its logits are not finite.
        """
        asked = encode(self._loaded.tokenizer, prompt)
        own, other = (self._answer(prompt, asked, sample) for sample in (first, second))
        if own is None or other is None:
            return None
        n = n_alike(own, other)
        if any(n == len(ids) and s.stop != "token" for ids, s in ((own, first), (other, second))):
            return None
        logits = self._logits((*asked, *own[:n]))
        tokens = [self._next(ids, n, logits) for ids in (own, other)]
        value = float(logits[tokens[0]] - logits[tokens[1]])
        if not math.isfinite(value):
            return None
        shown = [str(self._loaded.tokenizer.decode([token])) for token in tokens]
        return Gap(n, shown[0], shown[1], value)

    def _answer(self, prompt: str, asked: Sequence[int], sample: Sample) -> list[int] | None:
        """Return the tokens of an answer, read together with its prompt; None if in doubt."""
        ids = encode(self._loaded.tokenizer, prompt + sample.text)
        if ids[: len(asked)] != list(asked):
            return None
        answer = ids[len(asked) :]
        # A stop token may have been written and not be part of the text.
        written = len(answer) if sample.output_tokens is None else sample.output_tokens
        return answer if 0 <= written - len(answer) <= (sample.stop == "token") else None

    def _next(self, ids: Sequence[int], n: int, logits: Any) -> int:
        """Return the token of an answer that comes after n: the likeliest stop where it ends."""
        return ids[n] if n < len(ids) else max(self._stop_ids, key=lambda i: float(logits[i]))

    def _logits(self, ids: tuple[int, ...]) -> Any:
        """Return the logits (V,) float32 of what comes next."""
        if ids not in self._known:
            import torch

            model = self._loaded.model
            tokens = torch.tensor([ids], device=model.device)
            with torch.inference_mode():
                # One row: with a large vocabulary, the logits of all places take a gigabyte.
                out = model(tokens, use_cache=False, logits_to_keep=1)
            self._known[ids] = out.logits[0, -1].float().cpu()
        return self._known[ids]


def encode(tokenizer: Any, text: str) -> list[int]:
    """Return a prompt's tokens. The prompt itself says where it begins: nothing is added."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def n_alike(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Return how many items two sequences have in common at their beginning.

    >>> n_alike("chat", "char")
    3
    """
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
