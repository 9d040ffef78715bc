"""What a run would do: its prompts, where it would be stored, and how long it may take."""

from __future__ import annotations

import msgspec

from fcbench.backends import Outline, outline_model
from fcbench.errors import BackendError
from fcbench.runs._forecast import Forecast, forecast
from fcbench.runs._generate import requests_of, with_format
from fcbench.runs._manifest import IDENTITY, manifest_of, refuse_other_run
from fcbench.runs._place import place_of
from fcbench.runs._plan import Plan
from fcbench.types import Request


class Tokens(msgspec.Struct, frozen=True):
    """How many tokens a prompt is, `n` None where that is not known, and who says so, or why."""

    n: int | None
    counted_by: str


class Preview(msgspec.Struct, frozen=True):
    """What a run would do. `plan` has the format that "auto" stands for.

    `first` is the first prompt as it would be sent, `tokens` its length. `n_answered` answers of
    `n_answers` are stored already, `n_errors` others failed and would be asked again; they are in
    `folder` where the run would go on, else it is a new one. `earlier` is the newest run of the
    same name, if there is one.
    """

    plan: Plan
    first: Request
    tokens: Tokens
    n_answers: int
    folder: str | None
    earlier: str | None
    goes_on: bool
    n_answered: int
    n_errors: int
    forecast: Forecast | None


def preview(plan: Plan, outline: Outline | None = None) -> Preview:
    """Return what a plan would do, with no weights loaded and nothing written.

    RunError for an earlier run that could not be resumed, as far as that is known without the
    model; what is wrong with the model is raised as outline_model does.
    """
    outline = outline or outline_model(plan.model, plan.model_options)
    plan = with_format(plan, outline)
    requests = requests_of(plan, outline)
    done, n_errors, goes_on, folder, earlier = 0, 0, False, None, None
    if plan.results is not None:
        place = place_of(plan)
        earlier = None if place.earlier is None else str(place.earlier.path)
        folder, goes_on = str(place.folder.path), place.goes_on
        if goes_on:
            log = place.folder.log(case.id for case in plan.cases)
            n_errors = log.n_errors
            done = len(log) - n_errors
            if done:
                known = [field for field in IDENTITY if field != "model"]
                refuse_other_run(place.folder, manifest_of(plan, {}, requests), known)
    return Preview(
        plan=plan,
        first=requests[0],
        tokens=tokens_of(requests[0], outline),
        n_answers=len(requests),
        folder=folder,
        earlier=earlier,
        goes_on=goes_on,
        n_answered=done,
        n_errors=n_errors,
        forecast=forecast(plan, len(requests) - done),
    )


def tokens_of(request: Request, outline: Outline) -> Tokens:
    """Return how many tokens a request's prompt is, as far as an outline tells."""
    if outline.count is None:
        return Tokens(None, outline.counted_by)
    try:
        return Tokens(outline.count(request), outline.counted_by)
    except BackendError as error:
        return Tokens(None, error.message)
