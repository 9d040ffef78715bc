"""Logits -> the next tokens of one answer: likeliest or drawn, of all or of those allowed.

A model's generation_config has no say in this: what it holds of temperature, top-k, top-p or
penalties is not used.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.formats.constraint import Session

REFUSALS = 64  # tokens that a mask allows and the session refuses before the shortest way is taken


class Chosen(NamedTuple):
    """The next tokens of an answer, and whether the turn ends with them."""

    tokens: list[int]
    ends_turn: bool = False


class Chooser(Protocol):
    """Chooses the tokens of one answer."""

    def first(self, limit: int) -> Chosen:
        """Return what is written before the model is asked; `limit` tokens may be written."""

    def next(self, logits: torch.Tensor, remaining: int) -> Chosen:
        """Return the next tokens, one at least, by logits (V,); `remaining` may be written."""


class Pick(Protocol):
    """Says which token is wanted most, which is next where that one is refused, and so on."""

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Return scores (V,) by logits (V,), once a step: the highest is wanted most."""


class Likeliest:
    """Wants the likeliest token."""

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits themselves."""
        return logits


class Sampled:
    """Draws from softmax(logits / temperature) over the whole vocabulary: no top-k, no top-p.

    The draws depend on seed, case and repeat alone, so that a sample is the same in any batch and
    after any interruption. Two models, or two prompts, meet the same draws.

    Gumbel's trick (Maddison, Tarlow, Minka, "A* sampling", NIPS 2014): the highest of
    logits / temperature + Gumbel noise is such a draw, and the highest of any subset is one from
    the distribution renormalised over that subset. So a constraint may pass over tokens.
    """

    def __init__(self, temperature: float, seed: int, case_id: str, repeat: int) -> None:
        key = json.dumps([seed, case_id, repeat]).encode()
        # NumPy takes the whole hash; torch's generator on the CPU would take 32 bits of it.
        self._random = np.random.Generator(
            np.random.PCG64(int.from_bytes(hashlib.sha256(key).digest()))
        )
        self._temperature = temperature

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits with fresh noise on them, (V,) float32 on the CPU."""
        # Scaled on the side where it cannot overflow: only the order counts.
        logits = logits.float().cpu() / max(self._temperature, 1.0)
        return logits + self._gumbel(len(logits)) * min(self._temperature, 1.0)

    def _gumbel(self, n: int) -> torch.Tensor:
        # In float64 until it is known how close to 0 a number is. The 24 bits of float32 cannot
        # say less than 6e-8, and tokens rarer than that would hardly ever be drawn: a hidden top-p.
        uniform = torch.from_numpy(self._random.random(n)).float()
        uniform.clamp_(2.0**-54, 1 - 2.0**-24)  # 0 and 1 have no logarithm below
        return uniform.neg_().log1p_().neg_().log_().neg_()


class Free:
    """Chooses any token until it is one of the stops."""

    def __init__(self, stops: Sequence[int], pick: Pick) -> None:
        self._stops = set(stops)
        self._pick = pick

    def first(self, limit: int) -> Chosen:
        """Return nothing: the model says it all."""
        del limit
        return Chosen([])

    def next(self, logits: torch.Tensor, remaining: int) -> Chosen:
        """Return the token that is wanted most."""
        del remaining
        token = int(self._pick.scores(logits).argmax())
        return Chosen([token], token in self._stops)


class Constrained:
    """Chooses a token that a session allows, and all that its grammar forces after it.

    Near the limit only the shortest way to a complete turn is left.
    """

    def __init__(self, session: Session, stops: Sequence[int], pick: Pick) -> None:
        self._session = session
        self._stops = torch.tensor(sorted(stops))
        self._pick = pick

    def first(self, limit: int) -> Chosen:
        """Return the tokens that every turn begins with."""
        return Chosen(self._session.forced(limit))

    def next(self, logits: torch.Tensor, remaining: int) -> Chosen:
        """Return the allowed token that is wanted most and those that are forced after it."""
        session = self._session
        if session.is_urgent(remaining):
            return Chosen(session.ending() or [])
        allowed = self._allowed(logits)
        for _ in range(REFUSALS):
            token = int(allowed.argmax())
            if session.may_end and token in self._stops:
                return Chosen([token], ends_turn=True)
            if session.take(token, remaining):
                return self._with_forced(token, remaining)
            allowed[token] = -torch.inf
        return self._shortest(allowed, remaining)

    def _allowed(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the scores (V,) float32 on the CPU, -infinity where the mask is 0."""
        bits = np.frombuffer(self._session.mask(), dtype=np.uint8)
        mask = torch.from_numpy(np.unpackbits(bits, bitorder="little")[: len(logits)]).bool()
        # A model may have rows of logits beyond the tokenizer's last token.
        mask = torch.nn.functional.pad(mask, (0, len(logits) - len(mask)))
        mask[self._stops] = self._session.may_end
        return self._pick.scores(logits).float().cpu().masked_fill(~mask, -torch.inf)

    def _with_forced(self, token: int, remaining: int) -> Chosen:
        tokens = [token, *self._session.forced(remaining - 1)]
        return Chosen(tokens, ends_turn=self._session.must_end)

    def _shortest(self, allowed: torch.Tensor, remaining: int) -> Chosen:
        ending = self._session.ending()
        if ending == []:
            return Chosen([], ends_turn=True)
        # In the middle of a character there is no way out yet: any token that goes on with it.
        n_allowed = int(torch.isfinite(allowed).sum())
        tried = ending[:1] if ending else allowed.argsort(descending=True)[:n_allowed].tolist()
        for token in tried:
            if self._session.take(token, remaining):
                return self._with_forced(token, remaining)
        raise AssertionError("the shortest way to a complete turn is refused")
