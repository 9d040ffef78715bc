"""The folder of one run: run.json, prompts.jsonl and the append-only samples.jsonl.

run.json is written once, when the run begins. A sample is a line; a batch is appended and flushed
to the disk whole. A line that a kill cut in two is set aside and its sample drawn again.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import msgspec

from fcbench.errors import RunError, nearest
from fcbench.types import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from fcbench.types import Json, Request

MANIFEST, SAMPLES, PROMPTS, TORN = "run.json", "samples.jsonl", "prompts.jsonl", "samples.torn"


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

    def exists(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / MANIFEST).is_file()

    def create(self, manifest: Mapping[str, Json], requests: Iterable[Request]) -> None:
        """Begin a run with its manifest and each distinct prompt. RunError if it cannot."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            prompts = {request.prompt_sha256: request.prompt for request in requests}
            lines = (_line({"sha256": sha, "prompt": text}) for sha, text in prompts.items())
            _write_whole(self.path / PROMPTS, b"".join(lines))
            # The manifest comes last: a folder that has one is a run that can go on.
            _write_whole(
                self.path / MANIFEST,
                json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n",
            )
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error.strerror}") from error

    def append(self, samples: Iterable[Sample]) -> None:
        """Add samples and flush them to the disk. RunError if they cannot be written."""
        block = b"".join(_line(msgspec.to_builtins(sample)) for sample in samples)
        try:
            with (self.path / SAMPLES).open("ab") as file:
                file.write(block)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunError(f"{self.path / SAMPLES}: cannot be written: {error.strerror}") from error

    def manifest(self) -> dict[str, Json]:
        """Return the manifest. RunError if there is none, or it is not one."""
        path = self.path / MANIFEST
        try:
            manifest = json.loads(path.read_bytes())
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
        return manifest

    def samples(self) -> list[Sample]:
        """Return the samples in the order of the log, without a torn last line.

        RunError names the line of any other that is not a sample.
        """
        path = self.path / SAMPLES
        if not path.is_file():
            return []
        try:
            lines = path.read_bytes().split(b"\n")
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from error
        return [_sample(path, number, line) for number, line in enumerate(lines[:-1], start=1)]

    def prompts(self) -> dict[str, str]:
        """Return the prompts by their hash, none where they were not kept. RunError if broken."""
        path = self.path / PROMPTS
        if not path.is_file():
            return {}
        try:
            rows = [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
            return {row["sha256"]: row["prompt"] for row in rows}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}: cannot be read: {error}") from error

    def set_torn_line_aside(self) -> None:
        """Cut off a last line that a kill left unfinished and keep it in samples.torn."""
        path = self.path / SAMPLES
        if not path.is_file():
            return
        content = path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end == len(content):
            return
        with (self.path / TORN).open("ab") as file:
            file.write(content[end:] + b"\n")
        os.truncate(path, end)


def _sample(path: Path, number: int, line: bytes) -> Sample:
    try:
        return msgspec.convert(json.loads(line), Sample)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise RunError(f"{path}:{number}: not a sample: {error}") from error


def _line(row: Mapping[str, Json]) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8; JSON can escape it
        return json.dumps(row).encode() + b"\n"


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole or not there."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
