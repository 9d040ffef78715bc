"""The folder of one run as it is read: run.json, prompts.jsonl and the append-only samples.jsonl.

Whoever reads needs no lock: run.json and prompts.jsonl are whole or not there, and of a log that is
being written the whole lines are read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fcbench.errors import RunError, nearest
from fcbench.formats._numbers import read_writable_integer
from fcbench.paths import within
from fcbench.runs._log import Log, read_log
from fcbench.runs._version import refuse_newer

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from pathlib import Path

    from fcbench.types import Json, Sample

MANIFEST, SAMPLES, PROMPTS = "run.json", "samples.jsonl", "prompts.jsonl"
TORN, UNANSWERED = "samples.torn", "samples.unanswered"
MOST_MANIFEST_BYTES = 2**24
"""No manifest is larger. It has some 2,000 bytes."""


def make_folder(path: Path) -> None:
    """Make a folder for runs. RunError if it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from error


class RunFolder:
    """One run on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse_links(self, names: Iterable[str]) -> None:
        """Raise RunError if one of these files is a pipe, or a link that leads out."""
        for name in names:
            self._file(name)

    def exists(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / MANIFEST).is_file()

    def manifest(self) -> dict[str, Json]:
        """Return the manifest. RunError if there is none, or it is not one."""
        path = self._file(MANIFEST)
        try:
            with path.open("rb") as file:
                content = file.read(MOST_MANIFEST_BYTES + 1)
            if len(content) > MOST_MANIFEST_BYTES:
                raise RunError(f"{path}: longer than {MOST_MANIFEST_BYTES:,} bytes")
            manifest = json.loads(content, parse_int=read_writable_integer)
        except (FileNotFoundError, NotADirectoryError):
            runs = self.path.parent.glob(f"*/{MANIFEST}")
            near = nearest(self.path.name, [found.parent.name for found in runs])
            raise RunError(f"{self.path}: no run stands here", near) from None
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path}: not JSON: {error}") from error
        if not isinstance(manifest, dict):
            raise RunError(f"{path}: $: expected object")
        refuse_newer(manifest, path)
        return manifest

    def samples(self) -> Iterator[Sample]:
        """Yield the samples in the order of the log, without a torn last line.

        Errors that were asked again are among them. RunError names the line of any other that is
        not a sample.
        """
        return (sample for _, sample in read_log(self._file(SAMPLES)))

    def has_answers(self) -> bool:
        """Whether there is a sample that is no error. RunError as above."""
        return any(sample.error is None for sample in self.samples())

    def log(self, case_ids: Iterable[str] = ()) -> Log:
        """Return the last sample of each case and repeat, in the order of the cases.

        RunError as above.
        """
        return Log(self._file(SAMPLES), case_ids)

    def prompts(self, wanted: Container[str] | None = None) -> dict[str, str]:
        """Return the prompts by their hash, none where they were not kept. RunError if broken.

        With `wanted` only those of these hashes.
        """
        path = self._file(PROMPTS)
        if not path.is_file():
            return {}
        found = {}
        try:
            with path.open("rb") as file:
                for line in file:
                    row = json.loads(line)
                    if wanted is None or row["sha256"] in wanted:
                        found[row["sha256"]] = row["prompt"]
        except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
            raise RunError(f"{path}: cannot be read: {error}") from error
        return found

    def _file(self, name: str) -> Path:
        """Return the path of one of its files. RunError for a pipe, or a link that leads out."""
        try:
            return within(self.path, name)
        except ValueError as error:
            raise RunError(
                f"{self.path}: {error}", "a run's files stand in its own folder"
            ) from error
        except OSError as error:
            raise RunError(f"{self.path / name}: cannot be read: {error.strerror}") from error
