"""Run the same weights every way they can be run, each model loaded once for all of its prompts."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench import registry
from fcbench.backends import check_model, open_model
from fcbench.errors import FcbenchError, UsageError
from fcbench.formats import module_of
from fcbench.runs import Options, Plan, execute, make_folder, plan
from fcbench.types import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.backends.transformers import Loaded
    from fcbench.drift._gauge import Gauge
    from fcbench.drift._records import Ways
    from fcbench.suite import Suite
    from fcbench.types import Backend

Outcome = Run | FcbenchError


class Group(NamedTuple):
    """What is loaded once: a model in a dtype, and a plan for each prompt."""

    weights: str
    dtype: str | None
    plans: list[Plan]


class Way(NamedTuple):
    """One row that is to be: what it is called, and its place in the table."""

    prompt: str
    dtype: str | None
    weights: str
    decoding: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What --reference takes."""
        return ",".join(filter(None, (self.prompt, self.dtype, self.weights, *self.decoding)))

    def is_meant_by(self, reference: str) -> bool:
        """Whether "chat,float32,adapter", or a part of it, names this way."""
        parts = {part.strip() for part in reference.split(",")}
        return parts <= {self.prompt, self.dtype, self.weights, *self.decoding}


class Tools(NamedTuple):
    """What is left of the models when all ran: a tokenizer, and the reference to measure with."""

    tokenizer: Any | None
    gauge: Gauge | None


def groups_of(model: str, suite: Suite, ways: Ways, results: Path, options: Options) -> list[Group]:
    """Return what is to be loaded and asked, each checked as far as that goes without loading."""
    if "dtype" in options:
        raise UsageError("dtype is one of the ways", hint="Ways(dtypes=(…,))")
    named: list[tuple[str, str, str | None]] = [("base", model, None)]
    if ways.merged is not None:
        named.append(("merged", ways.merged, None))
    if ways.adapter is not None:  # what was trained is what the others are measured by
        named = [("adapter", model, ways.adapter), *reversed(named)]
    named += [(short_name(also), also, None) for also in ways.also]
    prompts, dtypes = _distinct("prompts", ways.prompts), _distinct("dtypes", ways.dtypes)
    groups = []
    for weights, name, adapter in named:
        for dtype in dtypes if is_transformers(name) else (None,):
            given: Options = {**options, "dtype": dtype or "auto"}
            plans = [
                plan(name, suite, prompt, adapter, None, results, **given) for prompt in prompts
            ]
            check_model(name, plans[0].model_options)
            groups.append(Group(weights, dtype, plans))
    return groups


def _distinct(what: str, names: tuple[str, ...]) -> list[str]:
    found = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not found:
        raise UsageError(f"no {what} are named")
    return found


def short_name(model: str) -> str:
    """Return a model's name without the folders that it lies in.

    >>> short_name("/models/tuned-bf16"), short_name("python:server:answer")
    ('tuned-bf16', 'python:server:answer')
    """
    prefix, colon, rest = model.rpartition(":")
    return f"{prefix}{colon}{Path(rest).name or rest}"


def is_transformers(model: str) -> bool:
    """Whether a model's name is of a hub, a folder or the packaged model, see fcbench.backends."""
    prefix, colon, _ = model.partition(":")
    return not colon or Path(model).exists() or prefix not in registry.names("backends")


def stored_dtype(folder: Path) -> str | None:
    """Return the dtype in which a model's folder says that its weights are stored, if it does."""
    try:
        config = json.loads((folder.expanduser() / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(config.get("dtype") or config.get("torch_dtype") or "") or None


def ways_of(groups: Sequence[Group]) -> list[tuple[Way, int, int]]:
    """Return each row that is to be, in the order of the table, with its group and plan's index."""
    rows = [
        (Way(_prompt_of(made), group.dtype, group.weights), i, k)
        for i, group in enumerate(groups)
        for k, made in enumerate(group.plans)
    ]
    return sorted(rows, key=lambda row: (row[2], row[1]))


def _prompt_of(made: Plan) -> str:
    return f"{made.prompt}+{made.few_shot}" if made.few_shot else made.prompt


def run_all(groups: Sequence[Group], reference: int) -> Iterator[tuple[int, list[Outcome], Tools]]:
    """Yield each group's index and a run for each of its plans, or the error that it ended with.

    The reference's group comes last, its model kept. With each come the tools that are at hand
    then, so that the last ones are what is left.
    """
    tools = Tools(None, None)
    make_folder(Path(groups[0].plans[0].results or ""))
    order = [i for i in range(len(groups)) if i != reference] + [reference]
    for place, i in enumerate(order, start=1):
        group = groups[i]
        if group.plans[0].progress:
            name = ", ".join(part for part in (group.weights, group.dtype) if part)
            sys.stderr.write(f"{place} of {len(order)}: {name}\n")
        outcomes, found = _run_group(group, measures=i == reference)
        tools = found or tools
        yield i, outcomes, tools
        gc.collect()  # models hold themselves in circles, and the next one wants their memory


def _run_group(group: Group, *, measures: bool) -> tuple[list[Outcome], Tools | None]:
    """Return what each plan of a group came to, and the tools of its model if it has any."""
    try:
        backend, loaded = _open(group.plans[0])
    except FcbenchError as error:  # hours of other ways must not be lost for it
        return [_without_frames(error)] * len(group.plans), None
    outcomes = [_run(made, backend) for made in group.plans]
    runs = [outcome for outcome in outcomes if not isinstance(outcome, FcbenchError)]
    if loaded is None:
        return outcomes, None
    return outcomes, Tools(loaded.tokenizer, _gauge(loaded, runs[0]) if measures and runs else None)


def _run(made: Plan, backend: Backend) -> Outcome:
    try:
        return execute(made, backend)
    except FcbenchError as error:
        return _without_frames(error)


def _without_frames(error: FcbenchError) -> FcbenchError:
    """Return an error that does not hold on to a model through its traceback."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _open(made: Plan) -> tuple[Backend, Loaded | None]:
    """Return a plan's model and, where transformers runs it, what was loaded."""
    if not is_transformers(made.model):
        return open_model(made.model, made.model_options), None
    from fcbench.backends.transformers import TransformersBackend, load

    loaded = load(made.model, made.model_options)
    return TransformersBackend(loaded, made.model_options), loaded


def _gauge(loaded: Loaded, run: Run) -> Gauge:
    from fcbench.drift._gauge import Gauge

    return Gauge(loaded, module_of(run.manifest["format"]["name"]).STOP_TOKENS)
