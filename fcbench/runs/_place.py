"""Where a run is stored: in a new folder, or in that of an earlier run that goes on."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fcbench.errors import RunError
from fcbench.runs._folder import RunFolder
from fcbench.runs._lock import HeldError
from fcbench.runs._manifest import known_of, refuse_other_run
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
    newest = _newest_number(plan)
    earlier = _folder(plan, newest) if newest else None
    if plan.resume and earlier is not None:
        return Place(earlier, earlier, goes_on=True)
    return Place(_folder(plan, newest + 1), earlier, goes_on=False)


def check_resume(plan: Plan) -> None:
    """Raise RunError if a plan is to go on with a run that is another, or whose log is broken.

    As far as no model is needed to know it.
    """
    if plan.results is None or not plan.resume:
        return
    place = place_of(plan)
    if not place.goes_on:
        _refuse_answers(place.folder)
    elif place.folder.has_answers():  # without one it begins again, whatever it was to be
        known = known_of(plan)
        refuse_other_run(place.folder, known, tuple(known))


def open_writer(plan: Plan) -> Writer:
    """Return the writer of a plan's run: of a folder that holds nothing yet, or of an earlier run.

    RunError for an earlier run that another process is writing to.
    """
    newest = _newest_number(plan)
    if plan.resume and newest:
        return Writer(_folder(plan, newest))
    for number in count(newest + 1):
        folder = _folder(plan, number)
        if plan.resume:
            _refuse_answers(folder)
        elif folder.has_answers():
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


def _refuse_answers(folder: RunFolder) -> None:
    """Raise RunError for a folder with answers in which no run stands."""
    if folder.has_answers():
        raise RunError(
            f"{folder.path}: has answers, and its run.json, which says whose, is gone",
            hint="restore it, or move the folder away",
        )


def _folder(plan: Plan, number: int) -> RunFolder:
    name = plan.name if number == 1 else f"{plan.name}-{number}"
    return RunFolder(Path(plan.results or "") / name)


def _newest_number(plan: Plan) -> int:
    """Return the number of the newest run under a plan's name, 0 if there is none.

    Some before it may be missing.
    """
    numbered = re.compile(rf"{re.escape(plan.name)}(?:-([2-9]|[1-9][0-9]+))?")
    root = Path(plan.results or "")
    try:
        names = [path.name for path in root.iterdir()] if root.is_dir() else []
    except OSError as error:
        raise RunError(f"{root}: cannot be read: {error.strerror}") from error
    found = [int(match[1] or 1) for match in map(numbered.fullmatch, names) if match]
    return max((number for number in found if _folder(plan, number).exists()), default=0)
