"""Where a run is stored: in a new folder, or in that of an earlier run that goes on."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fcbench.errors import RunError
from fcbench.runs._folder import RunFolder
from fcbench.runs._lock import HeldError
from fcbench.runs._manifest import refuse_other_run
from fcbench.runs._writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fcbench.runs._plan import Plan
    from fcbench.types import Json, Request


class Place(NamedTuple):
    """The folder of a run; `earlier` is the newest run of its name, with which it may go on."""

    folder: RunFolder
    earlier: RunFolder | None
    goes_on: bool


def place_of(plan: Plan) -> Place:
    """Return where a plan's run is stored; nothing is written. The plan names its results."""
    numbers = _numbers_of_runs(plan)
    if not numbers:
        return Place(_folder(plan, 1), None, goes_on=False)
    earlier = _folder(plan, max(numbers))
    if plan.resume:
        return Place(earlier, earlier, goes_on=True)
    return Place(_folder(plan, max(numbers) + 1), earlier, goes_on=False)


def open_writer(plan: Plan) -> Writer:
    """Return the writer of a plan's run: of a folder that holds nothing yet, or of an earlier run.

    RunError for an earlier run that another process is writing to.
    """
    place = place_of(plan)
    if place.goes_on:
        return Writer(place.folder)
    for number in count(max(_numbers_of_runs(plan), default=0) + 1):
        folder = _folder(plan, number)
        if folder.has_answers():
            if plan.resume:
                raise RunError(
                    f"{folder.path}: has answers, and its run.json, which says whose, is gone",
                    hint="restore it, or move the folder away",
                )
            continue
        try:
            writer = Writer(folder)
        except HeldError:
            if plan.resume:  # it has just begun what this one is to go on with
                raise
            continue
        if not folder.exists():  # still: another process may have begun it, and ended
            break
        writer.close()
    return writer


def settle(
    writer: Writer, describe: Callable[[], dict[str, Json]], requests: Iterable[Request]
) -> dict[str, Json]:
    """Begin a run in its folder, or make ready to go on, and return the manifest that is stored.

    `describe` makes one. RunError for a run that is another.
    """
    folder = writer.folder
    if folder.exists() and folder.has_answers():
        refuse_other_run(folder, describe())
        writer.mend()
        return folder.manifest()
    # Nothing was answered, so nothing can be mixed: of a server that was not there, little was
    # known, and even the prompts may be others now.
    writer.mend()
    return writer.begin(describe, requests)


def _folder(plan: Plan, number: int) -> RunFolder:
    name = plan.name if number == 1 else f"{plan.name}-{number}"
    return RunFolder(Path(plan.results or "") / name)


def _numbers_of_runs(plan: Plan) -> list[int]:
    """Return the numbers of the runs that stand under a plan's name; some may be missing."""
    numbered = re.compile(rf"{re.escape(plan.name)}(?:-([2-9]|[1-9][0-9]+))?")
    root = Path(plan.results or "")
    try:
        names = [path.name for path in root.iterdir()] if root.is_dir() else []
    except OSError as error:
        raise RunError(f"{root}: cannot be read: {error.strerror}") from error
    found = [int(match[1] or 1) for match in map(numbered.fullmatch, names) if match]
    return [number for number in found if _folder(plan, number).exists()]
