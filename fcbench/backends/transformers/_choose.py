"""Logits -> the next tokens of one answer: the likeliest of all, or of those a grammar allows."""

from __future__ import annotations

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


class Likeliest:
    """Chooses the likeliest token until it is one of the stops."""

    def __init__(self, stops: Sequence[int]) -> None:
        self._stops = set(stops)

    def first(self, limit: int) -> Chosen:
        """Return nothing: the model says it all."""
        del limit
        return Chosen([])

    def next(self, logits: torch.Tensor, remaining: int) -> Chosen:
        """Return the likeliest token."""
        del remaining
        token = int(logits.argmax())
        return Chosen([token], token in self._stops)


class Constrained:
    """Chooses the likeliest token that a session allows, and all that its grammar forces after it.

    Near the limit only the shortest way to a complete turn is left.
    """

    def __init__(self, session: Session, stops: Sequence[int]) -> None:
        self._session = session
        self._stops = torch.tensor(sorted(stops))

    def first(self, limit: int) -> Chosen:
        """Return the tokens that every turn begins with."""
        return Chosen(self._session.forced(limit))

    def next(self, logits: torch.Tensor, remaining: int) -> Chosen:
        """Return the likeliest allowed token and those that are forced after it."""
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
        """Return the logits (V,) float32 on the CPU, -infinity where the mask is 0."""
        bits = np.frombuffer(self._session.mask(), dtype=np.uint8)
        mask = torch.from_numpy(np.unpackbits(bits, bitorder="little")[: len(logits)]).bool()
        # A model may have rows of logits beyond the tokenizer's last token.
        mask = torch.nn.functional.pad(mask, (0, len(logits) - len(mask)))
        mask[self._stops] = self._session.may_end
        return logits.float().cpu().masked_fill(~mask, -torch.inf)

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
