"""Where a run is stored: in a new folder, or in that of an earlier run that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fcbench.runs._folder import RunFolder
from fcbench.runs._manifest import refuse_other_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.runs._plan import Plan
    from fcbench.types import Json, Request


class Place(NamedTuple):
    """The folder of a run; `earlier` is the newest run of its name, with which it may go on."""

    folder: RunFolder
    earlier: RunFolder | None
    goes_on: bool

    def open(self, manifest: Mapping[str, Json], requests: Sequence[Request]) -> RunFolder:
        """Return the folder, ready to write to. RunError for an earlier run that is another."""
        if not self.goes_on:
            self.folder.create(manifest, requests)
            return self.folder
        self.folder.set_torn_line_aside()
        if any(sample.error is None for sample in self.folder.samples()):
            refuse_other_run(self.folder, manifest)
        else:
            # Nothing was answered, so nothing can be mixed: of a server that was not there, little
            # was known, and even the prompts may be others now.
            self.folder.create(manifest, requests)
        return self.folder


def place_of(plan: Plan) -> Place:
    """Return where a plan's run is stored; nothing is written. The plan names its results."""
    root = Path(plan.results or "")
    earlier, number = None, 1
    folder = RunFolder(root / plan.name)
    while folder.exists():
        earlier, number = folder, number + 1
        folder = RunFolder(root / f"{plan.name}-{number}")
    if plan.resume and earlier is not None:  # the newest one
        return Place(earlier, earlier, goes_on=True)
    return Place(folder, earlier, goes_on=False)
