"""Wall time, divided among those that take it together."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Clock:
    """Divides each moment by how many are at work in it. Threads may share it."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._n_at_work = 0
        self._looked_at = 0.0
        self._shares = 0.0  # what one who was at work all the time would have got

    @contextmanager
    def share(self) -> Iterator[Callable[[], float]]:
        """Give a function that returns the seconds that were this work's share so far."""
        begun = self._look(1)
        try:
            yield lambda: self._look(0) - begun
        finally:
            self._look(-1)

    def _look(self, change: int) -> float:
        with self._lock:
            now = self._now()
            if self._n_at_work:
                self._shares += (now - self._looked_at) / self._n_at_work
            self._looked_at = now
            self._n_at_work += change
            return self._shares
