"""What is wrong with going on with a run, as far as no model is needed to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.runs._manifest import known_of, refuse_other_run
from fcbench.runs._place import place_of

if TYPE_CHECKING:
    from fcbench.runs._plan import Plan


def check_resume(plan: Plan) -> None:
    """Raise RunError if a plan is to go on with a run that is another, or whose log is broken."""
    if plan.results is None:
        return
    place = place_of(plan)
    # One without an answer begins again, whatever it was to be.
    if place.goes_on and place.folder.has_answers():
        known = known_of(plan)
        refuse_other_run(place.folder, known, tuple(known))
