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
    from collections.abc import Callable, Sequence

    from fcbench.formats.constraint import Session

REFUSALS = 64  # tokens that a mask allows and the session refuses before the shortest way is taken
FEW = 512
"""Tokens up to which it pays to compute the logits of these alone."""
WORD = 64  # bits of a mask that are looked at together


class UnanswerableError(Exception):
    """Why a model cannot be asked for an answer at all."""


class Chosen(NamedTuple):
    """The next tokens of an answer, and whether the turn ends with them."""

    tokens: list[int]
    ends_turn: bool = False


class Few(NamedTuple):
    """Some tokens, `ids` (n,) ascending, of the `n_all` that a model knows."""

    ids: torch.Tensor
    n_all: int


class View(NamedTuple):
    """What the model says of the next token: logits (n,), and the place of the largest of them.

    They are those of all tokens, n = V and a place is a token, or of `few` alone.
    """

    logits: torch.Tensor
    likeliest: int
    few: Few | None = None


class Chooser(Protocol):
    """Chooses the tokens of one answer."""

    @property
    def wants_drafts(self) -> bool:
        """Whether guesses at the next tokens shall be read with the last."""

    def first(self, limit: int) -> Chosen:
        """Return what is written before the model is asked; `limit` tokens may be written.

        UnanswerableError if no answer can be.
        """

    def ahead(self) -> Callable[[], None] | None:
        """Return what can be done for the next token while the model runs; None is nothing."""

    def few(self) -> torch.Tensor | None:
        """Return the ids (n,), ascending, of which the next token is one; None where n is large.

        What `ahead` returned must be done.
        """

    def next(self, view: View, remaining: int) -> Chosen:
        """Return the next tokens, one at least; `remaining` may be written.

        The view may be of those that `few` returned.
        """


class Pick(Protocol):
    """Says which token is wanted most, which is next where that one is refused, and so on."""

    def scores(self, logits: torch.Tensor, few: Few | None = None) -> torch.Tensor:
        """Return scores (n,) by logits (n,), once a step: the highest is wanted most."""


class Likeliest:
    """Wants the likeliest token."""

    def scores(self, logits: torch.Tensor, few: Few | None = None) -> torch.Tensor:
        """Return the logits themselves."""
        del few
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

    def scores(self, logits: torch.Tensor, few: Few | None = None) -> torch.Tensor:
        """Return the logits with fresh noise on them, (n,) float32 on the CPU."""
        # Scaled on the side where it cannot overflow: only the order counts.
        logits = logits.float().cpu() / max(self._temperature, 1.0)
        return logits + self._gumbel(len(logits), few) * min(self._temperature, 1.0)

    def _gumbel(self, n: int, few: Few | None) -> torch.Tensor:
        # In float64 until it is known how close to 0 a number is. The 24 bits of float32 cannot
        # say less than 6e-8, and tokens rarer than that would hardly ever be drawn: a hidden top-p.
        uniform = torch.from_numpy(self._random.random(n if few is None else few.n_all))
        # A token meets the same number whether all are looked at or a few.
        uniform = (uniform if few is None else uniform[few.ids]).float()
        uniform.clamp_(2.0**-54, 1 - 2.0**-24)  # 0 and 1 have no logarithm below
        return uniform.neg_().log1p_().neg_().log_().neg_()


def _ranked(pick: Pick, view: View) -> tuple[torch.Tensor, int]:
    """Return the scores (n,) of a view's logits and the place of the highest."""
    scores = pick.scores(view.logits, view.few)
    return scores, view.likeliest if scores is view.logits else int(scores.argmax())


class Free:
    """Chooses any token until it is one of the stops."""

    wants_drafts = True

    def __init__(self, stops: Sequence[int], pick: Pick) -> None:
        self._stops = set(stops)
        self._pick = pick

    def first(self, limit: int) -> Chosen:
        """Return nothing: the model says it all."""
        del limit
        return Chosen([])

    def ahead(self) -> None:
        """Return None: there is nothing to know about the next token."""

    def few(self) -> None:
        """Return None: it may be any."""

    def next(self, view: View, remaining: int) -> Chosen:
        """Return the token that is wanted most."""
        del remaining
        _, token = _ranked(self._pick, view)
        return Chosen([token], token in self._stops)


class Constrained:
    """Chooses a token that a session allows, and all that its grammar forces after it.

    Near the limit only the shortest way to a complete turn is left. The token that is wanted most
    of all is tried first, which takes no mask; where the grammar says much and few tokens may come,
    or where the model has just wanted what may not, the mask is computed ahead.
    """

    def __init__(self, session: Session, stops: Sequence[int], pick: Pick) -> None:
        self._session = session
        self._stops = sorted(stops)
        self._pick = pick
        self._mask: bytes | None = None
        self._few: torch.Tensor | None = None
        self._was_refused = self._is_narrow = False

    @property
    def wants_drafts(self) -> bool:
        """Whether guesses are worth more than the rows of the output layer that are left out."""
        return not self._is_narrow

    def first(self, limit: int) -> Chosen:
        """Return the tokens that every turn begins with."""
        tokens = self._session.forced(limit)
        if look := self.ahead():
            look()
        return Chosen(tokens)

    def ahead(self) -> Callable[[], None] | None:
        """Return what computes the next mask, where it is likely to be needed."""
        self._is_narrow = self._session.is_narrow
        return self._look if self._was_refused or self._is_narrow else None

    def few(self) -> torch.Tensor | None:
        """Return the ids (n,) of the tokens that may come next where they are few."""
        return self._few

    def next(self, view: View, remaining: int) -> Chosen:
        """Return the allowed token that is wanted most and those that are forced after it."""
        if self._session.is_urgent(remaining):
            return Chosen(self._session.ending() or [])
        scores, best = _ranked(self._pick, view)
        chosen = None
        if view.few is None:
            # No mask is needed to know that it may come, only for what comes in its place.
            chosen = self._taken(best, remaining)
            self._was_refused = chosen is None
        if chosen is None:
            chosen = self._best_allowed(scores, view.few, remaining)
        self._mask = self._few = None
        return chosen

    def _look(self) -> None:
        """Compute the next mask, and note what it allows if that is little."""
        self._mask = self._session.mask()
        ids = _ids_of(self._mask)
        if ids is not None:
            allowed = set(ids).difference(self._stops)
            if self._session.may_end:
                allowed.update(self._stops)
            self._few = torch.tensor(sorted(allowed), dtype=torch.long) if allowed else None

    def _best_allowed(self, scores: torch.Tensor, few: Few | None, remaining: int) -> Chosen:
        allowed = scores.float().cpu()
        # The caller's own, if nothing had to be converted.
        allowed = self._masked(allowed) if few is None else allowed.clone()
        for _ in range(REFUSALS):
            place = int(allowed.argmax())
            chosen = self._taken(place if few is None else int(few.ids[place]), remaining)
            if chosen is not None:
                return chosen
            allowed[place] = -torch.inf
        return self._shortest(allowed, few, remaining)

    def _masked(self, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores (V,), -infinity where the mask is 0."""
        bits = np.frombuffer(self._mask or self._session.mask(), dtype=np.uint8)
        mask = torch.from_numpy(np.unpackbits(bits, bitorder="little")[: len(scores)]).bool()
        # A model may have rows of logits beyond the tokenizer's last token.
        mask = torch.nn.functional.pad(mask, (0, len(scores) - len(mask)))
        mask[self._stops] = self._session.may_end
        return scores.masked_fill(~mask, -torch.inf)

    def _taken(self, token: int, remaining: int) -> Chosen | None:
        """Return a token, if it may come, with those that are forced after it."""
        if token in self._stops:
            return Chosen([token], ends_turn=True) if self._session.may_end else None
        if not self._session.take(token, remaining):
            return None
        tokens = [token, *self._session.forced(remaining - 1)]
        return Chosen(tokens, ends_turn=self._session.must_end)

    def _shortest(self, allowed: torch.Tensor, few: Few | None, remaining: int) -> Chosen:
        ending = self._session.ending()
        if ending == []:
            return Chosen([], ends_turn=True)
        # In the middle of a character there is no way out yet: any token that goes on with it.
        n_allowed = int(torch.isfinite(allowed).sum())
        places = allowed.argsort(descending=True)[:n_allowed]
        likeliest = places if few is None else few.ids[places]
        for token in ending[:1] if ending else likeliest.tolist():
            chosen = self._taken(token, remaining)
            if chosen is not None:
                return chosen
        raise AssertionError("the shortest way to a complete turn is refused")


class Later:
    """Another chooser, made when its turn comes: what it goes by may take much memory."""

    def __init__(self, make: Callable[[int], Chooser]) -> None:
        """Keep how to make it, given how many tokens may be written."""
        self._make = make

    @property
    def wants_drafts(self) -> bool:
        """Whether it wants guesses."""
        return self._chooser.wants_drafts

    def first(self, limit: int) -> Chosen:
        """Make it, and return what it writes before the model is asked."""
        self._chooser = self._make(limit)
        return self._chooser.first(limit)

    def ahead(self) -> Callable[[], None] | None:
        """Return what it does while the model runs."""
        return self._chooser.ahead()

    def few(self) -> torch.Tensor | None:
        """Return the few ids of which the next token is one."""
        return self._chooser.few()

    def next(self, view: View, remaining: int) -> Chosen:
        """Return its next tokens."""
        return self._chooser.next(view, remaining)


def _ids_of(mask: bytes) -> list[int] | None:
    """Return the tokens of a mask, ascending; None if they are more than FEW."""
    n_left = -len(mask) % (WORD // 8)
    words = np.frombuffer(mask + bytes(n_left), dtype="<u8")
    (at,) = words.nonzero()
    if len(at) > FEW:
        return None
    bits = np.unpackbits(words[at].view(np.uint8), bitorder="little").reshape(-1, WORD)
    word, bit = bits.nonzero()
    ids: list[int] = (at[word] * WORD + bit).tolist()
    return ids if len(ids) <= FEW else None
