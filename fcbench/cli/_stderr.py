"""Standard error that outlives whoever reads it."""

from __future__ import annotations

import contextlib
import io


class Stderr(io.TextIOWrapper):
    """A stream on which what cannot be said is lost, and no error.

    A terminal is closed, the other end of a pipe ends, a disk is full: a run of hours that only
    says how far it is goes on, and its exit code is what it would have been.
    """

    def write(self, text: str) -> int:
        """Say it, if anybody can be told."""
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Let it be heard, if anybody can be told."""
        with contextlib.suppress(OSError):
            super().flush()
