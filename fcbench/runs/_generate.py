"""Answer the cases of a plan, batch by batch, and keep every answer."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fcbench import prompts
from fcbench.errors import BackendError, ModelError
from fcbench.executors import open_model
from fcbench.formats import detect_format, module_of
from fcbench.runs._asked import Asked
from fcbench.runs._interrupt import Interrupted, Interruptible
from fcbench.runs._manifest import manifest_of
from fcbench.runs._place import open_writer, settle
from fcbench.runs._progress import Progress
from fcbench.types import Decoding, Run, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fcbench.backends import Outline
    from fcbench.prompts import Requests
    from fcbench.runs._log import Log
    from fcbench.runs._plan import Plan
    from fcbench.types import Backend, Case, Request

AUTO, FALLBACK = "auto", "functiongemma"
log = logging.getLogger("fcbench")


def execute(plan: Plan, backend: Backend | None = None, *, finishes: bool = False) -> Run:
    """Carry out a plan; `backend` is its model if that is already loaded.

    With `finishes`, the first signal of _interrupt lets the batch that is being answered come to
    its end, which is then Interrupted; the second ends it at once, as any does without.
    """
    backend = backend or open_model(plan.model, plan.model_options, plan.where)
    plan = with_format(plan, backend)
    requests = requests_of(plan, backend)
    _warn_of_untold_tools(plan, requests)
    describe = partial(manifest_of, plan, backend.manifest, requests)
    if plan.results is None:
        manifest, samples = describe(), list[Sample]()
        _answer(plan, backend, requests, Kept(None, samples.append, finishes))
        return Run(manifest, plan.cases, latest(samples, plan.cases))
    with open_writer(plan) as writer:
        manifest = settle(writer, describe, requests)
        folder, case_ids = writer.folder, [case.id for case in plan.cases]
        _answer(plan, backend, requests, Kept(folder.log(case_ids), writer.append, finishes))
        whole = folder.log(case_ids)
    return Run(manifest, plan.cases, whole, str(folder.path))


class Kept(NamedTuple):
    """What was answered before, where answers go, and whether a signal lets a batch be finished."""

    done: Log | None
    keep: Callable[[Sample], object]
    finishes: bool


def _answer(plan: Plan, backend: Backend, requests: Requests, kept: Kept) -> None:
    """Ask what is not answered yet and keep every answer. Interrupted if that was ended early."""
    stops = module_of(plan.format).STOP_TOKENS
    decoding = Decoding(
        plan.decode, plan.max_new_tokens, stops, plan.format, plan.temperature, plan.seed
    )
    asked = Asked(requests, plan.cases, plan.repeats, kept.done)
    backend.has_answered = backend.has_answered or len(asked) < len(requests)
    interruptible = Interruptible(asked.close) if kept.finishes else nullcontext()
    n_answered = 0
    with Progress(plan, len(requests), kept.done or ()) as progress, interruptible:
        for sample in _answers(backend, asked, decoding):
            kept.keep(sample)
            n_answered += 1
            progress.add(sample)
    if asked.is_closed:
        n_stored = len(requests) - len(asked) + n_answered
        # It ends all the same: other runs may be to follow.
        whole = ": the run is whole, --resume judges it" if n_stored == len(requests) else ""
        raise Interrupted(f"{n_stored} of {len(requests)} answers are stored{whole}")


def with_format(plan: Plan, backend: Backend | Outline) -> Plan:
    """Return the plan with the format that "auto" stands for: what the chat template writes."""
    if plan.format != AUTO:
        return plan
    found = None if backend.template is None else detect_format(backend.template.source)
    if found is None:
        log.info("%s: its chat template writes no known format, %s it is", plan.model, FALLBACK)
    else:
        log.info("%s: its chat template writes the format %s", plan.model, found)
    return msgspec.structs.replace(plan, format=found or FALLBACK)


def _answers(backend: Backend, asked: Asked, decoding: Decoding) -> Iterator[Sample]:
    """Yield a sample for each request, whatever the backend fails at."""
    try:
        for sample in backend.answer(asked, decoding):
            if not asked.settle(sample):
                raise ModelError(
                    f"{backend.manifest['name']} answers what was not asked, or twice: repeat "
                    f"{sample.repeat} of {sample.case_id}",
                    hint="a Backend yields one sample a request, with its case's id and its repeat",
                )
            yield sample
            if asked.has_ended:
                return
    except BackendError as error:
        yield from asked.failures(str(error))


def latest(samples: Sequence[Sample], cases: Sequence[Case]) -> list[Sample]:
    """Return the last sample of each case and repeat, since a resumed run draws its errors again.

    They are in the order of the cases, whatever order they were answered in.
    """
    place = {case.id: i for i, case in enumerate(cases)}
    found = {(sample.case_id, sample.repeat): sample for sample in samples}
    return sorted(found.values(), key=lambda s: (place.get(s.case_id, len(place)), s.repeat))


def requests_of(plan: Plan, backend: Backend | Outline) -> Requests:
    """Return what a plan asks, each case as often as it is to be answered."""
    examples = []
    if plan.few_shot:
        training = plan.suite.training_cases()
        examples = prompts.few_shot(training, plan.suite.cases, plan.few_shot, plan.seed)
    style = prompts.Style(plan.format, backend.template, backend.bos, plan.prompt_file)
    return prompts.requests(plan.cases, plan.prompt, style, examples, plan.repeats)


def _warn_of_untold_tools(plan: Plan, requests: Sequence[Request]) -> None:
    """Warn of a chat template that takes no tools and says nothing, as many do."""
    if plan.prompt != "chat" or plan.prompt_file is not None:
        return
    asked = next((r for r in requests if r.case.tools), None)
    if asked is not None and not any(tool.name in asked.prompt for tool in asked.case.tools):
        log.warning(
            "%s: its chat template writes no tools, so that the model is told of none; "
            "--prompt raw tells it",
            plan.model,
        )
