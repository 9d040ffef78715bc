"""One writer a folder: a lock that the system lets go of when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fcbench.errors import RunError
from fcbench.text import visible

if TYPE_CHECKING:
    from pathlib import Path

LOCK, HOLDER = "run.lock", "run.lock.json"
HINT = "wait for it or end it; without --resume a new run begins beside it"
MOST_TRIES = 1000
"""How often somebody may take a folder away between two steps; one that is a file stays one."""


class HeldError(RunError):
    """A folder that another process is writing to."""


class Lock:
    """The right to write to a run's folder, which is made. HeldError says who has it.

    RunError if none can. Who has it stands in a file beside the lock, which is believed only while
    the lock is held. filelock is not enough: where a lock's file may be taken away, as it is here
    so that nothing is left, some of its versions let two have the lock, and where a file system has
    no locks, it makes a file that a killed process leaves behind.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = _locked(folder)
        with contextlib.suppress(OSError):  # a courtesy, which a full disk does not allow
            (folder / HOLDER).write_text(json.dumps(_this_process()), encoding="utf-8")

    def release(self) -> None:
        """Let go of the folder and leave nothing in it, nor itself if it holds no run."""
        # While it is held still: another that finds these would lose its own.
        for name in (HOLDER, LOCK):
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()
        with contextlib.suppress(OSError):  # it is not empty
            self._folder.rmdir()
        os.close(self._file)


def _locked(folder: Path) -> int:
    """Return the open file that holds the lock of a folder."""
    path = folder / LOCK
    gone: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for _ in range(MOST_TRIES):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except (FileNotFoundError, FileExistsError) as error:
            gone = error  # its last writer has just taken the folder along
            continue
        except OSError as error:
            raise _cannot_write(folder, error) from error
        try:
            _lock(file)
            # The last writer may have taken the file away while this process waited to open it;
            # its number of links would not say so over NFS, where one that is open is renamed.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), path.stat()):
                    return file
        except (BlockingIOError, PermissionError) as error:
            os.close(file)
            what = f"{folder}: is being written to by {_holder(folder)}"
            raise HeldError(what, hint=HINT) from error
        except OSError as error:
            os.close(file)
            raise RunError(
                f"{folder}: its file system has no locks: {error.strerror}",
                hint="--results on another one; nothing tells two processes apart there",
            ) from error
        os.close(file)
    if folder.is_file():
        raise RunError(f"{folder}: is a file, not a folder") from gone
    raise _cannot_write(folder, gone) from gone


def _lock(file: int) -> None:
    """Lock an open file until it is closed. BlockingIOError or PermissionError if it is locked."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _cannot_write(folder: Path, error: OSError) -> RunError:
    return RunError(f"{folder}: cannot be written: {error.strerror}")


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
