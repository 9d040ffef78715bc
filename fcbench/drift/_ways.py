"""Run the same weights every way they can be run, each model loaded once for all of its prompts."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench import registry
from fcbench.backends import check_model, open_model
from fcbench.errors import UsageError
from fcbench.formats import module_of
from fcbench.runs import Options, Plan, execute, make_folder, plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.backends.transformers import Loaded
    from fcbench.drift._gauge import Gauge
    from fcbench.drift._records import Ways
    from fcbench.suite import Suite
    from fcbench.types import Backend, Run


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

    def is_meant_by(self, reference: str) -> bool:
        """Whether "chat,float32,adapter", or a part of it, names this way."""
        parts = {part.strip() for part in reference.split(",")}
        return parts <= {self.prompt, self.dtype, self.weights}


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

    >>> short_name("gguf:/models/tuned-bf16.gguf")
    'gguf:tuned-bf16.gguf'
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


def run_all(groups: Sequence[Group], reference: int) -> Iterator[tuple[int, list[Run], Tools]]:
    """Yield each group's index and its runs; the reference's group comes last, its model kept.

    With it come the tools that are at hand then, so that the last ones are what is left.
    """
    tools = Tools(None, None)
    make_folder(Path(groups[0].plans[0].results or ""))
    order = [i for i in range(len(groups)) if i != reference] + [reference]
    for place, i in enumerate(order, start=1):
        group = groups[i]
        if group.plans[0].progress:
            name = ", ".join(part for part in (group.weights, group.dtype) if part)
            sys.stderr.write(f"{place} of {len(order)}: {name}\n")
        backend, loaded = _open(group.plans[0])
        runs = [execute(made, backend) for made in group.plans]
        if loaded is not None:
            gauge = _gauge(loaded, runs[0]) if i == reference else None
            tools = Tools(loaded.tokenizer, gauge)
        yield i, runs, tools
        del backend, loaded
        gc.collect()  # models hold themselves in circles, and the next one wants their memory


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
