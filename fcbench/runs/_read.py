"""A run folder -> Run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec

from fcbench.errors import RunError, UsageError
from fcbench.runs._folder import RunFolder
from fcbench.runs._plan import MOST_REPEATS, select
from fcbench.suite import load_suite
from fcbench.types import DecodeMode, Matching, Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fcbench.suite import Suite
    from fcbench.types import Case, Json


class _Described(msgspec.Struct):
    name: str
    source: str
    sha256: str
    tags: list[str]
    limit: int | None
    # Runs that began before these could be chosen do not say them.
    sample: int | None = None
    ordered: bool | None = None


class _Named(msgspec.Struct):
    name: str


class _Asked(msgspec.Struct):
    mode: str
    few_shot: int
    file: str | None


class _Drawn(msgspec.Struct):
    mode: DecodeMode
    max_new_tokens: int
    # As above.
    temperature: float = 0.0
    repeats: Annotated[int, msgspec.Meta(ge=1, le=MOST_REPEATS)] = 1


class _Manifest(msgspec.Struct):
    """What scoring a run, and its row in a leaderboard, need of its manifest."""

    suite: _Described
    format: _Named
    prompt: _Asked
    model: _Named
    decoding: _Drawn
    seed: int
    started_at: str


class Begun(NamedTuple):
    """A run as it began: what it was to be, over which suite and which cases of it."""

    manifest: dict[str, Json]
    suite: Suite
    cases: list[Case]


def read_run(path: str | Path, suite: Suite | None = None) -> Run:
    """Return the run in a folder, finished or not, with the cases that it is over.

    `suite` is the run's own where it is at hand; else it is loaded from where it was then.
    RunError if it is not a run, or if its suite has changed since or is elsewhere.
    """
    manifest, _, cases = read_begun(path, suite)
    folder = RunFolder(Path(path))
    return Run(manifest, cases, folder.log(case.id for case in cases), str(folder.path))


def read_begun(path: str | Path, suite: Suite | None = None) -> Begun:
    """Return what there is of a run beside its log. As `read_run`."""
    folder = RunFolder(Path(path))
    manifest = folder.manifest()
    try:
        said = msgspec.convert(manifest, _Manifest)
    except ValueError as error:  # msgspec's; it has no words for half a surrogate pair
        raise RunError(f"{folder.path / 'run.json'}: not the manifest of a run: {error}") from error
    described = said.suite
    try:
        suite = suite or load_suite(described.source)
    except UsageError as error:
        raise RunError(
            f"{folder.path}: its suite {described.source} is not here",
            hint="begin where the run did, or say --suite FILE to score or --reproduce it",
        ) from error
    if suite.sha256 != described.sha256:
        raise RunError(
            f"{folder.path}: its suite {suite.name} has another SHA-256 now",
            hint="restore the suite's file that the run was made with, or run again",
        )
    # The hash is of the cases' file; this stands in suite.toml and changes who is right.
    if suite.ordered != described.ordered:
        raise RunError(
            f"{folder.path}: its suite {suite.name} says another `ordered` now",
            hint="restore it in suite.toml, or run again",
        )
    cases = select(suite, described.tags, described.limit, described.sample, said.seed)
    return Begun(manifest, suite, cases)


def matching_of(manifest: Mapping[str, Json]) -> Matching:
    """Return when a call counts as right in a run. RunError if its manifest says it wrongly."""
    try:
        return msgspec.convert(manifest.get("matching", {}), Matching)
    except ValueError as error:  # msgspec's; it has no words for half a surrogate pair
        raise RunError(f"run.json: $.matching: {error}") from error
