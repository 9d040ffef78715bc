"""One writer a folder: a lock that the system lets go of when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fcbench.errors import RunError
from fcbench.text import visible

if TYPE_CHECKING:
    from pathlib import Path

LOCK, HOLDER = "run.lock", "run.lock.json"
HINT = "wait for it or end it; without --resume a new run begins beside it"


class HeldError(RunError):
    """A folder that another process is writing to."""


class Lock:
    """The right to write to a run's folder. HeldError says who has it; RunError if none can.

    Who has it stands in a file beside the lock, which is believed only while the lock is held.
    """

    def __init__(self, folder: Path) -> None:
        from filelock import FileLock, Timeout

        self._folder = folder
        # Of this process and all its threads, and not of the one that happens to begin.
        self._lock = FileLock(folder / LOCK, thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            what = f"{folder}: is being written to by {_holder(folder)}"
            raise HeldError(what, hint=HINT) from error
        except OSError as error:
            raise RunError(f"{folder}: cannot be written: {error.strerror}") from error
        except NotImplementedError as error:
            raise RunError(
                f"{folder}: its file system has no locks: {error}",
                hint="--results on another one; nothing tells two processes apart there",
            ) from error
        with contextlib.suppress(OSError):  # a courtesy, which a full disk does not allow
            (folder / HOLDER).write_text(json.dumps(_this_process()), encoding="utf-8")

    def release(self) -> None:
        """Let go of the folder and leave nothing in it."""
        # While it is held still: another that finds these would lose its own.
        for name in (HOLDER, LOCK):
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()
        self._lock.release()


def _this_process() -> dict[str, object]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": platform.node(), "since": since}


def _holder(folder: Path) -> str:
    """Return in words who holds a lock, as far as it said so."""
    try:
        said = json.loads((folder / HOLDER).read_bytes())
        return visible(f"process {said['pid']} on {said['host']}, since {said['since']}")
    except (OSError, ValueError, KeyError, TypeError):
        return "another process, which has not said yet which it is"
