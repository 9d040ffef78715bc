"""Ctrl-C, SIGTERM, a terminal that is closed: once to come to an end, twice to end at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

SIGNALS = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGHUP"):  # Windows has none
    SIGNALS.append(signal.SIGHUP)
FINISHING = "\ninterrupted: what is being answered is finished and stored; again ends at once\n"


class Interrupted(KeyboardInterrupt):
    """A run that came to an end because somebody wanted it to; what was answered is stored."""


class Interruptible:
    """While it is entered the first signal calls a function, and the second is a KeyboardInterrupt.

    Outside of the main thread, and for signals that this process ignores, nothing changes.
    """

    def __init__(self, on_first: Callable[[], object]) -> None:
        self._on_first = on_first
        self._is_first = True
        self._before: dict[signal.Signals, Callable[..., object] | int] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):
                    self._before[number] = handler
                    signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if not self._is_first:
            raise KeyboardInterrupt(signal.Signals(number).name)
        self._is_first = False
        self._on_first()
        # Not through sys.stderr, which may be in the middle of a write. Whether anybody reads it or
        # not, what is being answered is finished: an error here would fly through the run.
        with contextlib.suppress(OSError):
            os.write(2, FINISHING.encode())
