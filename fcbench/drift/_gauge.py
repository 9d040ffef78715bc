"""Tokens and logits of a model that transformers has loaded: how near a tie was."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench.formats import until_stop
from fcbench.text import n_alike

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fcbench.backends.transformers import Loaded
    from fcbench.types import Sample

SIGNIFICANT_BITS = {"float32": 24, "float16": 11, "bfloat16": 8}
N_SPACINGS = {"float32": 12.0, "float16": 2.5, "bfloat16": 2.5}
"""By how many of a dtype's steps, at the size of the largest logit, rounding moves a difference.

Measured over the answers of mobile_actions' first cases with gemma3-270m, for the likeliest five
tokens: bfloat16 moves 99 % of differences by less than 2.3 of its steps from float32's. float32,
whose sums are rounded at every step, moves them by less than 10.5 of its own from float64's.
"""
MOST = 50
"""Gaps measured at most: each is a pass over a prompt."""


class Gap(NamedTuple):
    """Where two answers part: after how many tokens, at which two, and by how much.

    `value` is the logit of the first answer's token minus that of the second's, `size` the largest
    absolute logit there.
    """

    n_alike: int
    first: str
    second: str
    value: float
    size: float


def near_tie(size: float, dtypes: Iterable[str | None]) -> float:
    """Return how near logits are that change places when sums are rounded otherwise.

    `size` is the largest absolute logit, `dtypes` those in which it was computed: the coarsest
    counts, and one that is not known may be bfloat16.

    >>> near_tie(20.0, ["float32", "bfloat16"]), near_tie(40.0, ["bfloat16"])  # steps 1/8, 1/4
    (0.3125, 0.625)
    >>> near_tie(20.0, ["float32", "float32"]) < 1e-4
    True
    """
    known = (dtype if dtype in SIGNIFICANT_BITS else "bfloat16" for dtype in dtypes)
    coarsest = min(map(str, known), key=SIGNIFICANT_BITS.__getitem__)
    _, exponent = math.frexp(size)
    return N_SPACINGS[coarsest] * math.ldexp(1.0, exponent - SIGNIFICANT_BITS[coarsest])


class Gauge:
    """Measures by how much a loaded model prefers one answer to another where they part."""

    def __init__(self, loaded: Loaded, stops: Sequence[str]) -> None:
        from fcbench.backends.transformers import stop_ids

        self._loaded = loaded
        self._stops = tuple(stops)
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
        or was cut there, or no token is known to end it, or its logits are not finite.
        """
        asked = encode(self._loaded.tokenizer, prompt)
        own, other = (self._answer(prompt, asked, sample) for sample in (first, second))
        if own is None or other is None:
            return None
        n = n_alike(own, other)
        if any(n == len(ids) and not self._ends(s) for ids, s in ((own, first), (other, second))):
            return None
        logits = self._logits((*asked, *own[:n]))
        a, b = (self._next(ids, n, logits) for ids in (own, other))
        if a is None or b is None:
            return None
        value, size = float(logits[a] - logits[b]), float(logits.abs().max())
        if not math.isfinite(value) or not math.isfinite(size):
            return None
        shown = [str(self._loaded.tokenizer.decode([token])) for token in (a, b)]
        return Gap(n, shown[0], shown[1], value, size)

    def _ends(self, sample: Sample) -> bool:
        """Whether an answer is known to have ended by a stop token, which its text may hold."""
        return sample.stop == "token" or until_stop(self._stops, sample.text) != sample.text

    def _answer(self, prompt: str, asked: Sequence[int], sample: Sample) -> list[int] | None:
        """Return the tokens of an answer up to its stop, read with its prompt; None if in doubt."""
        ids = encode(self._loaded.tokenizer, prompt + until_stop(self._stops, sample.text))
        if ids[: len(asked)] != list(asked):
            return None
        answer = ids[len(asked) :]
        # A stop token is counted by some, and is never part of the answer here.
        written = len(answer) if sample.output_tokens is None else sample.output_tokens
        return answer if 0 <= written - len(answer) <= self._ends(sample) else None

    def _next(self, ids: Sequence[int], n: int, logits: Any) -> int | None:
        """Return the token of an answer that comes after n: the likeliest stop where it ends."""
        if n < len(ids):
            return ids[n]
        return max(self._stop_ids, key=lambda i: float(logits[i]), default=None)

    def _logits(self, ids: tuple[int, ...]) -> Any:
        """Return the logits (V,) float32 of what comes next."""
        if ids not in self._known:
            from fcbench.backends.transformers import logits_at

            self._known[ids] = logits_at(self._loaded.model, ids, [len(ids) - 1])[0]
        return self._known[ids]


def encode(tokenizer: Any, text: str) -> list[int]:
    """Return a prompt's tokens. The prompt itself says where it begins: nothing is added."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids
