"""Jobs for the decoding loop, and a stand-in for the model that it reads with."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING
from weakref import WeakSet

import torch

from fcbench.backends.transformers._choose import Chosen, View
from fcbench.backends.transformers._decode import Job, Loop
from fcbench.backends.transformers._kept import Held, after
from fcbench.backends.transformers._read import Outlook

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fcbench.backends.transformers._decode import Written
    from fcbench.backends.transformers._kept import Work
    from fcbench.backends.transformers._read import Reader

N_TOKENS = 40
STOP = 1


def written(
    reader: Reader, jobs: Sequence[Job], n_slots: int = 16, prefix_bytes: int = 0
) -> list[Written]:
    """Return what the loop writes for each job, which it says once."""
    return written_by(Loop(reader, jobs, n_slots, prefix_bytes), len(jobs))


def written_by(loop: Loop, n_jobs: int) -> list[Written]:
    """Return what a loop writes for each of its jobs, which it says once."""
    found = dict(pairs := list(loop.run()))
    assert len(pairs) == len(found) == n_jobs
    return [found[i] for i in range(n_jobs)]


def next_token(text: Sequence[int]) -> int:
    """Return the token that the stand-in finds likeliest, which depends on all before it."""
    return zlib.crc32(bytes(text)) % N_TOKENS


class Watched(Held):
    """A prefix or a sequence of the stand-in, with its tokens; one that a WeakSet can hold."""

    text: list[int]


class StandIn:
    """A reader without a model, that fails where the loop asks for what no reader has to do.

    `fails` is given the number of each step and its work; where it is true, reading fails after a
    part of the work. `steps` are the tokens read in each step that did not fail.
    """

    next_token = staticmethod(next_token)

    can_share = True
    bytes_per_token = 1

    def __init__(
        self, fails: Callable[[int, Sequence[Work]], bool] = lambda n, work: False
    ) -> None:
        self._fails = fails
        self._open: set[Held] = set()
        self._n_slots = self._capacity = 0
        self._prefixes: WeakSet[Watched] = WeakSet()
        self.n_tried = self.n_stopped = 0
        self.steps: list[list[int]] = []
        self.reserved: list[int] = []
        self.peak_prefix_bytes = 0

    @property
    def n_read(self) -> int:
        return sum(map(sum, self.steps))

    def start(self) -> None:
        assert not self._open

    def stop(self) -> None:
        self._open.clear()
        self.n_stopped += 1

    def reserve(self, n_slots: int, capacity: int) -> None:
        self._open.clear()
        self._n_slots, self._capacity = n_slots, capacity
        self.reserved.append(n_slots)

    def open(self, above: tuple[Held, ...]) -> Held:
        assert len(self._open) < self._n_slots
        held = Watched(after(above), above)
        held.text = []
        self._open.add(held)
        return held

    def share(self, above: tuple[Held, ...], n_tokens: int) -> Held:
        held = Watched(after(above), above, capacity=n_tokens)
        held.text = []
        self._prefixes.add(held)
        return held

    def close(self, held: Held) -> None:
        self._open.remove(held)

    def forget(self, held: Held, n_tokens: int) -> None:
        del held.text[-n_tokens:]

    def read(self, work: Sequence[Work]) -> Outlook:
        self.n_tried += 1
        fails = self._fails(self.n_tried, work)
        logits = []
        assert work
        for i, (held, tokens, n_out) in enumerate(work):
            if fails and i == len(work) // 2:
                raise RuntimeError("can't allocate memory")
            assert tokens
            assert n_out <= len(tokens)
            own = held.text
            own += tokens
            if held in self._open:
                assert len(own) <= self._capacity
            else:
                assert len(own) <= held.capacity
                assert not n_out
            assert all(len(prefix.text) == prefix.capacity for prefix in held.above)
            held.length += len(tokens)
            text = [token for each in (*held.above, held) for token in each.text]
            for n_after in reversed(range(n_out)):
                logits.append(torch.zeros(N_TOKENS))
                logits[-1][self.next_token(text[: len(text) - n_after])] = 1
        self.steps.append([len(tokens) for _, tokens, _ in work])
        n_held = sum(prefix.length for prefix in self._prefixes)
        self.peak_prefix_bytes = max(self.peak_prefix_bytes, n_held)
        return Outlook(torch.stack(logits) if logits else torch.zeros(0, N_TOKENS), None)


class Unaware:
    """Knows nothing of the next token before the model is asked, and takes no drafts."""

    wants_drafts = False

    def ahead(self) -> None:
        return None

    def few(self) -> None:
        return None


class Forcing(Unaware):
    """Chooses the likeliest token; `first` come unasked, and so does `after` at a token of 2 or 3.

    A text ends at STOP or, where `ends_first`, before the model is asked.
    """

    def __init__(
        self, first: Sequence[int] = (), after: Sequence[int] = (), *, ends_first: bool = False
    ) -> None:
        self._first, self._after, self._ends_first = list(first), list(after), ends_first

    def first(self, limit: int) -> Chosen:
        return Chosen(self._first[:limit], self._ends_first)

    def next(self, view: View, remaining: int) -> Chosen:
        assert remaining > 0
        token = view.likeliest
        assert view.logits[token] == 1
        forced = self._after if token in (2, 3) else []
        return Chosen([token, *forced][:remaining], token == STOP)


def alone(job: Job) -> tuple[list[int], str]:
    """Return what the stand-in writes for a job, and why it stops: one token after another."""
    tokens, ends = job.choose.first(job.limit)
    tokens = list(tokens)
    while not ends and len(tokens) < job.limit:
        text = [*job.prompt, *tokens]
        logits = torch.zeros(N_TOKENS)
        logits[next_token(text)] = 1
        chosen = job.choose.next(View(logits, next_token(text)), job.limit - len(tokens))
        tokens += chosen.tokens
        ends = chosen.ends_turn
    return tokens, "token" if ends else "limit"
