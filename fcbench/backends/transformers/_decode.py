"""The decoding loop: sequences come and go one by one, and each step reads what all have new."""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch

from fcbench.backends.transformers._choose import UnanswerableError, View
from fcbench.backends.transformers._draft import Lookup
from fcbench.backends.transformers._kept import Work
from fcbench.backends.transformers._memory import is_out_of_memory
from fcbench.backends.transformers._prefixes import n_alike, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from fcbench.backends.transformers._choose import Chooser, Chosen, Few
    from fcbench.backends.transformers._kept import Held
    from fcbench.backends.transformers._prefixes import Prefix
    from fcbench.backends.transformers._read import Outlook, Reader
    from fcbench.types import Stop

log = logging.getLogger("fcbench")

STEP_TOKENS = 1024
"""New tokens that a step reads at most, or a few more: enough for products at full speed."""
LEAST_STEP_TOKENS = 64
DRAFTED = 3
"""Tokens of a draft at most: with 7 a lone sequence is hardly faster, and four are slower."""
DRAFTING = 4
"""Sequences up to which drafts pay: with 8, their places cost what they save in steps."""


class Job(NamedTuple):
    """A prompt to go on from, what chooses the tokens, and how many may be written."""

    prompt: Sequence[int]
    choose: Chooser
    limit: int


class Written(NamedTuple):
    """What was written after one prompt, the stop token too.

    `seconds` is its share of the time; `was_asked` is whether the model had a part in it.
    """

    tokens: list[int]
    stop: Stop | None
    error: str | None
    seconds: float
    was_asked: bool


@dataclass(eq=False, slots=True)
class _Row:
    """One job: what the model has not read yet, and what was written so far."""

    index: int
    job: Job
    prefix: Prefix | None
    unread: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    held: Held | None = None
    lookup: Lookup | None = None
    draft: list[int] = field(default_factory=list)  # the last of `unread`, or of what was just read
    has_started: bool = False
    was_asked: bool = False
    n_reading: int = 0
    stop: Stop | None = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def is_done(self) -> bool:
        return self.stop is not None or self.error is not None

    @property
    def n_left(self) -> int:
        return self.job.limit - len(self.written)

    def begin(self) -> None:
        """Put all that comes after the shared prefix before the model, again if need be."""
        shared = 0 if self.prefix is None else self.prefix.end
        self.held = None
        self.draft = []
        self.unread = [*self.job.prompt[shared:], *self.written]

    def start(self) -> None:
        """Write what stands before the model is asked, once."""
        if self.has_started:
            return
        self.has_started = True
        try:
            self.take(self.job.choose.first(self.job.limit))
        except UnanswerableError as error:
            self.error = str(error)

    def guess(self) -> None:
        """Let the model read a draft together with the token before it."""
        if self.lookup is None:
            self.lookup = Lookup([*self.job.prompt, *self.written])
        self.draft = self.lookup.draft(min(DRAFTED, self.n_left - 1))
        self.unread += self.draft

    def take(self, chosen: Chosen) -> None:
        self.written += chosen.tokens
        self.unread += chosen.tokens
        if self.lookup is not None:
            self.lookup.add(chosen.tokens)
        if chosen.ends_turn:
            self.stop = "token"
        elif self.n_left <= 0:
            self.stop = "limit"


@dataclass(eq=False, slots=True)
class _Kept:
    """A shared prefix that is being read or was, and its tokens that are still to be read."""

    held: Held
    unread: list[int]


class Loop:
    """Answers jobs with a reader, at most `n_slots` at a time.

    `prefix_bytes` is what shared prefixes may hold at a time. While `goes_on` returns False no job
    is begun; those that are at work are finished. `n_read` counts the tokens that the
    model read, `n_given` those that it would have read one job at a time.
    """

    def __init__(
        self,
        reader: Reader,
        jobs: Sequence[Job],
        n_slots: int,
        prefix_bytes: int,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self._reader = reader
        self._goes_on = goes_on
        self._prefix_bytes = prefix_bytes
        self._step_tokens = STEP_TOKENS
        self.n_slots = self._most = max(1, min(n_slots, len(jobs)))
        self.n_read = self.n_given = 0
        self.peak_prefix_bytes = 0
        self._uncharged = 0.0  # seconds of steps that read nothing but prefixes
        most = prefix_bytes // max(1, reader.bytes_per_token) if reader.can_share else 0
        shared = share([job.prompt for job in jobs], most)
        rows = [_Row(i, jobs[i], shared.innermost[i]) for i in shared.order]
        self._kept: dict[Prefix, _Kept] = {}
        self._n_needing: dict[Prefix, int] = {}
        for row in rows:
            row.begin()
            for prefix in _path(row):
                self._n_needing[prefix] = prefix.n_prompts
        self._waiting = deque(rows)
        self._active: list[_Row] = []
        self._capacity = max((len(row.unread) + row.job.limit for row in rows), default=0)

    @torch.inference_mode()
    def run(self) -> Iterator[tuple[int, Written]]:
        """Yield each job's index and what was written, as soon as it is finished."""
        self._reader.start()
        try:
            with ThreadPoolExecutor(1) as beside:
                yield from self._run(beside)
        finally:
            self._reader.stop()

    def _run(self, beside: ThreadPoolExecutor) -> Iterator[tuple[int, Written]]:
        looked: Future[None] | None = None
        self._reader.reserve(self.n_slots, self._capacity)
        while self._active or (self._waiting and self._goes_on()):
            started = time.perf_counter()
            try:
                work = self._next_step()
                outlook = self._reader.read(work) if work else None
                asking = [row for row in self._active if row.held and not row.unread]
                places = [row for row in asking for _ in range(1 + len(row.draft))]
                pending, looked = looked, None
                if pending is not None:
                    pending.result()
                views = [] if outlook is None else _views(places, outlook)
            # Whatever goes wrong in a model's own code, for want of memory or for the tokens of one
            # sequence, is tried again with fewer; alone it is an error of that sequence.
            except (RuntimeError, IndexError, MemoryError) as error:
                self._retreat(error)
            else:
                self.n_read += sum(len(w.tokens) for w in work)
                if outlook is not None:
                    self._choose(asking, iter(views), outlook.dtype)
                looked = _look_ahead(asking, beside)
            self._charge(time.perf_counter() - started)
            yield from self._leave()

    # What is read next

    def _next_step(self) -> list[Work]:
        """Return what to read: of all sequences at work, and of those that now begin."""
        work: list[Work] = []
        room = self._step_tokens
        is_drafting = self._reader.can_share and len(self._active) <= min(DRAFTING, self.n_slots)
        for row in self._active:
            # A draft is read whole: its places are asked for in the step that reads it.
            if (
                is_drafting
                and room > DRAFTED
                and row.written
                and len(row.unread) == 1
                and row.job.choose.wants_drafts
            ):
                row.guess()
            if row.held is not None:
                room -= _read_some(work, row, row.held, max(1, room))
        while room > 0 and self._may_begin():
            row = self._waiting[0]
            row.start()
            if row.is_done:  # before the model is asked: it leaves without reading
                self._active.append(self._waiting.popleft())
                continue
            above: list[Held] = []
            for prefix in reversed(_path(row)):
                kept = self._kept_of(prefix, above)
                if kept is None:  # no memory for it before others leave
                    return work
                tokens, kept.unread = kept.unread[:room], kept.unread[room:]
                if tokens:
                    work.append(Work(kept.held, tokens, 0))
                    room -= len(tokens)
                if kept.unread or room <= 0:
                    return work
                above.append(kept.held)
            self._waiting.popleft()
            row.held = self._reader.open(tuple(above))
            row.was_asked = True
            self._active.append(row)
            room -= _read_some(work, row, row.held, room)
        return work

    def _may_begin(self) -> bool:
        return bool(self._waiting) and len(self._active) < self.n_slots and self._goes_on()

    def _kept_of(self, prefix: Prefix, above: Sequence[Held]) -> _Kept | None:
        """Return what is kept of a prefix, or a new place for it if there is memory."""
        if prefix not in self._kept:
            n_tokens = len(prefix.tokens) + sum(len(p.tokens) for p in self._kept)
            n_bytes = n_tokens * self._reader.bytes_per_token
            if n_bytes > self._prefix_bytes:
                return None
            self.peak_prefix_bytes = max(self.peak_prefix_bytes, n_bytes)
            held = self._reader.share(tuple(above), len(prefix.tokens))
            self._kept[prefix] = _Kept(held, list(prefix.tokens))
        return self._kept[prefix]

    def _choose(
        self, rows: Sequence[_Row], views: Iterator[View | None], dtype: torch.dtype
    ) -> None:
        """Let each sequence take its next tokens: one, and those of its draft that are right."""
        for row in rows:
            n_right = 0
            own = [next(views) for _ in [*row.draft, None]]
            while not row.unread and not row.is_done:
                view = own[n_right]
                if view is None:
                    what = f"the logits of new token {len(row.written) + 1} are not finite"
                    row.error = f"{what} in {str(dtype).removeprefix('torch.')}"
                    break
                chosen = row.job.choose.next(view, row.n_left)
                row.take(chosen)
                n_guessed = n_alike(row.draft[n_right:], chosen.tokens)
                n_right += n_guessed
                del row.unread[:n_guessed]  # they were read with the draft
            if row.draft and row.held is not None:
                self._reader.forget(row.held, len(row.draft) - n_right)
                row.draft = []

    # What becomes of sequences

    def _leave(self) -> Iterator[tuple[int, Written]]:
        """Let the finished ones go."""
        for row in [row for row in self._active if row.is_done]:
            self._active.remove(row)
            if row.held is not None:
                self._reader.close(row.held)
                row.held = None  # with it go the prefixes that nobody else needs
            for prefix in _path(row):
                self._n_needing[prefix] -= 1
                if not self._n_needing[prefix]:
                    self._kept.pop(prefix, None)
            self.n_given += len(row.job.prompt) + max(0, len(row.written) - 1)
            yield (
                row.index,
                Written(row.written, row.stop, row.error, row.seconds, row.was_asked),
            )

    def _retreat(self, error: Exception) -> None:
        """Begin again with half as much at a time; with the least, the first job is at fault."""
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        self._waiting.extendleft(reversed(self._active))
        self._active.clear()
        self._kept.clear()
        for row in self._waiting:
            row.begin()
        if self.n_slots == 1 and self._step_tokens == LEAST_STEP_TOKENS:
            row = self._waiting.popleft()
            row.error, row.was_asked = what, True
            self._active.append(row)
            if not is_out_of_memory(error):  # it was this one's fault alone
                self.n_slots, self._step_tokens = self._most, STEP_TOKENS
        else:
            self.n_slots = max(1, self.n_slots // 2)
            self._step_tokens = max(LEAST_STEP_TOKENS, self._step_tokens // 2)
            log.warning("%s: going on with %d sequences at a time", what, self.n_slots)
        self._reader.reserve(self.n_slots, self._capacity)

    def _charge(self, seconds: float) -> None:
        """Divide a step's time among the sequences by the tokens that each had in it."""
        n = sum(row.n_reading for row in self._active)
        self._uncharged += seconds
        if n:
            for row in self._active:
                row.seconds += self._uncharged * row.n_reading / n
            self._uncharged = 0.0


def _path(row: _Row) -> list[Prefix]:
    """Return the prefixes that a job shares, innermost first."""
    return [] if row.prefix is None else list(row.prefix.path())


def _read_some(work: list[Work], row: _Row, held: Held, room: int) -> int:
    """Add what the model has not read of a sequence, as far as there is room; return how much."""
    tokens, row.unread = row.unread[:room], row.unread[room:]
    work.append(Work(held, tokens, 0 if row.unread else 1 + len(row.draft)))
    row.n_reading = len(tokens)
    return len(tokens)


def _views(rows: Sequence[_Row], outlook: Outlook) -> list[View | None]:
    """Return what the model says comes next in each sequence, of few tokens where few may come.

    None where that is not finite.
    """
    views: dict[int, View | None] = {}
    for i, row in enumerate(rows):
        # Which may come after a draft's first token is not known yet.
        ids = None if row.draft else row.job.choose.few()
        if ids is not None and (few := outlook.few(ids)) is not None:
            views[i] = _view(outlook.logits_of(i, few), few)
    rest = [i for i in range(len(rows)) if i not in views]
    if rest:
        logits = outlook.logits(rest)
        # NaN counts as the largest of all, so one look at the largest finds it anywhere.
        largest, likeliest = logits.max(-1)
        finite = largest.isfinite().tolist()
        for i, own, is_finite, token in zip(rest, logits, finite, likeliest.tolist(), strict=True):
            views[i] = View(own, token) if is_finite else None
    return [views[i] for i in range(len(rows))]


def _view(logits: torch.Tensor, few: Few) -> View | None:
    largest, place = logits.max(-1)
    return View(logits, int(place), few) if largest.isfinite() else None


def _look_ahead(rows: Sequence[_Row], beside: ThreadPoolExecutor) -> Future[None] | None:
    """Let what can be known of the next tokens be found out while the model runs."""
    ahead = [row.job.choose.ahead() for row in rows if not row.is_done]
    todo = [look for look in ahead if look is not None]

    def look() -> None:
        for each in todo:
            each()

    return beside.submit(look) if todo else None
