"""Which requests a worker is handed next, and what becomes of those whose worker was lost."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Request

MOST, LEAST = 256, 16
"""Requests handed over together. A transformers model answers up to 128 at a time, and begins on
others as some are finished; with fewer, workers are done at about the same time."""

ALONE, HOPELESS = 2, 3
"""After so many lost workers a request is handed over alone, and after so many given up."""


class Queue:
    """The requests of one run that no worker has, in their order.

    It reads `requests` as far as workers are, so that a sequence that is made as it is read stays
    small. What a lost worker left goes before everything else.
    """

    def __init__(self, requests: Sequence[Request], n_workers: int, batch_size: int | None) -> None:
        self._fresh = iter(requests)
        self._n_fresh = len(requests)
        self._n_workers = n_workers
        self._least = max(LEAST, batch_size or 0)
        self._again: deque[Request] = deque()
        self._n_losses: dict[tuple[str, int], int] = {}

    def __bool__(self) -> bool:
        return bool(self._again) or self._n_fresh > 0

    def take(self) -> list[Request]:
        """Return what one worker is to answer next: nothing where the run is being ended."""
        if self._again:
            return self._take_again()
        # Half of an even share: those who are quick come back for more.
        n = max(self._least, min(MOST, self._n_fresh // (2 * self._n_workers)))
        n = min(n, -(-self._n_fresh // self._n_workers))
        taken = list(islice(self._fresh, n))
        # The requests of a run that somebody ends are fewer than they were to be.
        self._n_fresh = self._n_fresh - n if len(taken) == n else 0
        return taken

    def _take_again(self) -> list[Request]:
        taken = [self._again.popleft()]
        if self._losses_of(taken[0]) < ALONE:
            while self._again and len(taken) < MOST and self._losses_of(self._again[0]) < ALONE:
                taken.append(self._again.popleft())
        return taken

    def give_back(self, requests: Sequence[Request]) -> None:
        """Take back what a worker did not answer, and is not to blame for."""
        self._again.extendleft(reversed(requests))

    def lose(self, requests: Sequence[Request]) -> list[Request]:
        """Take back what a lost worker had, and return those that are given up.

        One of them may be what ended the worker. So they are handed over alone when it happens
        again, and then the guilty one is the only one that is lost a third time.
        """
        hopeless = []
        for request in requests:
            key = request.case.id, request.repeat
            self._n_losses[key] = self._losses_of(request) + 1
            if self._n_losses[key] >= HOPELESS:
                hopeless.append(request)
            else:
                self._again.append(request)
        return hopeless

    def clear(self) -> None:
        """Hand over nothing more."""
        self._again.clear()
        self._n_fresh = 0

    def _losses_of(self, request: Request) -> int:
        return self._n_losses.get((request.case.id, request.repeat), 0)
