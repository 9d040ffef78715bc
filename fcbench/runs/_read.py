"""A run folder -> Run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fcbench.errors import RunError
from fcbench.runs._folder import RunFolder
from fcbench.runs._generate import latest
from fcbench.runs._plan import select
from fcbench.suite import load_suite
from fcbench.types import Matching, Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fcbench.types import Json


class _Described(msgspec.Struct):
    """What reading a run needs of its manifest's suite."""

    source: str
    sha256: str
    tags: list[str]
    limit: int | None


def read_run(path: str | Path) -> Run:
    """Return the run in a folder, finished or not, with the cases that it is over.

    RunError if it is not a run, or if its suite has changed since.
    """
    folder = RunFolder(Path(path))
    manifest = folder.manifest()
    try:
        described = msgspec.convert(manifest.get("suite"), _Described)
    except msgspec.ValidationError as error:
        raise RunError(f"{folder.path / 'run.json'}: not the manifest of a run: {error}") from error
    suite = load_suite(described.source)
    if suite.sha256 != described.sha256:
        raise RunError(
            f"{folder.path}: its suite {suite.name} has another SHA-256 now",
            hint="restore the suite's file that the run was made with, or run again",
        )
    cases = select(suite, described.tags, described.limit)
    return Run(manifest, cases, latest(folder.samples()), str(folder.path))


def matching_of(manifest: Mapping[str, Json]) -> Matching:
    """Return when a call counts as right in a run. RunError if its manifest says it wrongly."""
    try:
        return msgspec.convert(manifest.get("matching", {}), Matching)
    except msgspec.ValidationError as error:
        raise RunError(f"run.json: $.matching: {error}") from error
