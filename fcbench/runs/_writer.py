"""Who writes a run's folder: begins it, mends it after a kill, and adds samples to its log.

run.json is written once, when the run begins, after everything else: a folder that has one is a run
that can go on. A sample is a whole line, handed to the system as it comes, so that a kill loses
none; what a power cut or a full disk cuts off is a last line without its end, which is set aside
and its sample drawn again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from typing import TYPE_CHECKING, Self

import msgspec

from fcbench.errors import RunError
from fcbench.paths import flush_folder, write_whole
from fcbench.runs._folder import MANIFEST, PROMPTS, SAMPLES, TORN, UNANSWERED
from fcbench.runs._lock import HOLDER, LOCK, Lock
from fcbench.types import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from fcbench.runs._folder import RunFolder
    from fcbench.types import Json, Request

WRITTEN = (MANIFEST, PROMPTS, SAMPLES, TORN, UNANSWERED, LOCK, HOLDER)
"""The files of a folder that a writer may open. Somebody else may have made the folder."""
BLOCK_BYTES = 2**20
"""What is read at a time of the end of a log."""
FLUSH_SECONDS = 0.5
"""Samples that come are flushed to the disk after so long, which a power cut alone can tell."""


class Writer:
    """The only writer of a run's folder, until it is closed. RunError if there is another."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._log: int | None = None
        self._flushed = time.monotonic()
        folder.refuse_links(WRITTEN)
        self._lock = Lock(folder.path)

    def begin(
        self, describe: Callable[[], dict[str, Json]], requests: Iterable[Request]
    ) -> dict[str, Json]:
        """Write each distinct prompt, and then the manifest, which is returned.

        What is in the log, which can be errors alone, is set aside: they may be another suite's.
        RunError if that is impossible.
        """
        path = self.folder.path
        try:
            with contextlib.suppress(FileNotFoundError):
                if (path / SAMPLES).stat().st_size:
                    (path / SAMPLES).replace(path / UNANSWERED)
        except OSError as error:
            raise _cannot_write(path / SAMPLES, error) from error
        self._write(PROMPTS, _prompt_lines(requests))
        manifest = describe()  # it holds the prompts' hashes, which are known by now
        self._write(MANIFEST, [json.dumps(manifest, indent=2, ensure_ascii=False).encode(), b"\n"])
        return manifest

    def _write(self, name: str, content: Iterable[bytes]) -> None:
        """Write a file whole. RunError if it cannot be written."""
        path = self.folder.path / name
        for left in path.parent.glob(f"{name}.*partial"):  # by a kill: nobody else writes here
            with contextlib.suppress(OSError):
                left.unlink()
        try:
            write_whole(path, content)
        except OSError as error:
            raise _cannot_write(path, error) from error

    def mend(self) -> None:
        """Cut off a last line that a kill left unfinished and keep it in samples.torn."""
        path = self.folder.path / SAMPLES
        try:
            n_whole = _whole_bytes(path)
            if n_whole is None:
                return
            with path.open("r+b") as file:
                file.seek(n_whole)
                with (self.folder.path / TORN).open("ab") as aside:
                    aside.write(file.read() + b"\n")
                    aside.flush()
                    os.fsync(aside.fileno())
                file.truncate(n_whole)
                os.fsync(file.fileno())
        except OSError as error:
            raise _cannot_write(path, error) from error

    def append(self, sample: Sample) -> None:
        """Add a sample. RunError if it cannot be written; those before it are kept."""
        path = self.folder.path / SAMPLES
        line = _sample_line(sample)
        try:
            if self._log is None:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
                self._log = os.open(path, flags, 0o666)
                flush_folder(path.parent)
            _add_line(self._log, line)
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                os.fsync(self._log)
                self._flushed = time.monotonic()
        except OSError as error:
            raise _cannot_write(path, error) from error

    def close(self) -> None:
        """Flush the samples to the disk and let go of the folder. RunError if they do not fit."""
        log, self._log = self._log, None
        try:
            if log is not None:
                try:
                    os.fsync(log)
                finally:
                    os.close(log)
        except OSError as error:
            raise _cannot_write(self.folder.path / SAMPLES, error) from error
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _add_line(log: int, line: bytes) -> None:
    """Write a line to the end of a file, whole or not at all. OSError if it does not fit."""
    begin, n_written = os.fstat(log).st_size, 0
    try:
        while n_written < len(line):
            n_written += os.write(log, line[n_written:])
    except OSError:
        with contextlib.suppress(OSError):  # then it is a torn line, which the next run sets aside
            os.ftruncate(log, begin)
            os.fsync(log)
        raise


def _whole_bytes(path: Path) -> int | None:
    """Return where the last whole line of a log ends, None where that is the end of the file."""
    if not path.is_file():
        return None
    size = end = path.stat().st_size
    with path.open("rb") as file:
        while end:
            begin = max(0, end - BLOCK_BYTES)
            file.seek(begin)
            found = file.read(end - begin).rfind(b"\n")
            if found >= 0:
                n_whole = begin + found + 1
                return None if n_whole == size else n_whole
            end = begin
    return 0 if size else None


def _prompt_lines(requests: Iterable[Request]) -> Iterator[bytes]:
    seen: set[str] = set()
    for request in requests:
        if request.prompt_sha256 not in seen:
            seen.add(request.prompt_sha256)
            yield _line({"sha256": request.prompt_sha256, "prompt": request.prompt})


def _sample_line(sample: Sample) -> bytes:
    try:
        row = msgspec.to_builtins(sample)
        line = _line(row)
        msgspec.convert(row, Sample)  # or nobody could read the log
        return line  # noqa: TRY300  what is stored
    # Numbers of a server's, calls of a Backend of one's own.
    except (ValueError, TypeError, RecursionError) as error:
        what = f"cannot be stored: {error}"
        return _line(msgspec.to_builtins(Sample(sample.case_id, sample.repeat, error=what)))


def _line(row: Mapping[str, Json]) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8; JSON can escape it
        return json.dumps(row).encode() + b"\n"


def _cannot_write(path: Path, error: OSError) -> RunError:
    room = "what was answered before is kept: --resume goes on with it once there is room"
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    said = f"{path}: cannot be written: {error.strerror or error}"
    return RunError(said, hint=room if is_full else None)
