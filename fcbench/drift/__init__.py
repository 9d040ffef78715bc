"""Say where the same weights, run in several ways, differ, and why.

A model that was trained under one prompt, in one dtype, with its adapter apart is shipped under
another prompt, in another dtype, merged and converted. Each of these steps may cost calls.
"""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import msgspec

from fcbench.drift._flips import compare_rows, flips, same_answers
from fcbench.drift._json import as_json
from fcbench.drift._prompts import disagreements, pairs
from fcbench.drift._records import (
    CAUSES,
    Answer,
    Cause,
    CauseKind,
    Disagreement,
    Drift,
    FlippedCase,
    NotRun,
    PromptPair,
    Row,
    Span,
    Ways,
)
from fcbench.drift._report import as_text
from fcbench.drift._stored import row_of, rows_of
from fcbench.drift._ways import Group, Tools, Way, groups_of, run_all, stored_dtype, ways_of
from fcbench.errors import FcbenchError, ModelError, UsageError
from fcbench.metrics import HEADLINE
from fcbench.suite import Suite, load_suite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.runs import Options
    from fcbench.types import Run

__all__ = [
    "CAUSES",
    "Answer",
    "Cause",
    "CauseKind",
    "Disagreement",
    "Drift",
    "FlippedCase",
    "NotRun",
    "PromptPair",
    "Row",
    "Span",
    "Ways",
    "as_json",
    "as_text",
    "drift",
    "drift_of_runs",
]

METRICS = (*HEADLINE, "abstention")
INACTIVE = "the adapter is not active, it changes no logit; these rows are the base model's"


def drift(
    model: str,
    suite: str | Path | Suite = "mobile_actions",
    ways: Ways | None = None,
    reference: str | None = None,
    results: str | Path | None = None,
    **options: Unpack[Options],
) -> Drift:
    """Run a model's weights in all the ways named, and return where they differ.

    Of backends beside transformers those are run that `ways.also` names. A way that fails when it
    is run is one of `not_run`; the others go on. Where that is the reference, the first row that
    could be run takes its place.
    `reference` names the row that all others are compared with, by its prompt, dtype and weights or
    some of them ("chat,float32,adapter"); by default the first prompt and dtype, with the adapter
    if there is one. Runs are stored under `results` if it is named, as fcbench.run stores them.
    `options` are those of fcbench.run; the dtypes are in `ways`. Each model is loaded once for all
    of its prompts.

    Raises what fcbench.run raises as far as that can be known before a model is loaded; ModelError
    where no way at all could be run.
    """
    ways = ways or Ways()
    loaded = suite if isinstance(suite, Suite) else load_suite(suite)
    if results is not None:
        return _drift(model, loaded, ways, reference, Path(results), options)
    with tempfile.TemporaryDirectory(prefix="fcbench-drift-") as folder:
        return _drift(model, loaded, ways, reference, Path(folder), options).without_folders()


def _drift(  # noqa: PLR0913  drift's own
    model: str, suite: Suite, ways: Ways, reference: str | None, results: Path, options: Options
) -> Drift:
    groups = groups_of(model, suite, ways, results, options)
    planned = ways_of(groups)
    chosen = _place([way for way, _, _ in planned], reference)
    made: dict[tuple[int, int], Run | FcbenchError] = {}
    tools = Tools(None, None)
    for i, outcomes, tools in run_all(groups, planned[chosen][1]):  # noqa: B007  the last are kept
        made |= {(i, k): outcome for k, outcome in enumerate(outcomes)}
    rows: list[Row] = []
    not_run: list[NotRun] = []
    places: dict[int, int] = {}
    for place, (way, i, k) in enumerate(planned):
        outcome = made[i, k]
        if isinstance(outcome, FcbenchError):
            not_run.append(NotRun(way.prompt, way.dtype, way.weights, str(outcome)))
        else:
            places[place] = len(rows)
            rows.append(row_of(outcome, way.weights))
    if not rows:
        raise ModelError(f"none of {len(not_run)} ways could be run: {not_run[0].error}")
    notes = [f"{way.label} could not be run: {way.error}" for way in not_run]
    if chosen not in places:
        tools = Tools(tools.tokenizer, None)  # which would measure with another way's logits
        notes.append(f"compared with {rows[0].label}, because the reference could not be run")
    if ways.adapter is not None and ways.merged is None:
        notes.append(
            f"no merged rows: {merge_command(model, ways.adapter)} makes a folder for --merged"
        )
    if ways.merged is not None:
        notes += _rounded(Path(ways.merged), groups)
    found = _found(rows, places.get(chosen, 0), tools, notes)
    return msgspec.structs.replace(found, not_run=not_run)


def merge_command(model: str, adapter: str) -> str:
    """Return the command that merges an adapter into a folder for --merged DIR."""
    return shlex.join(
        ["python", "-m", "fcbench", "merge", model, "--adapter", adapter, "--out", "DIR"]
    )


def drift_of_runs(
    runs: Sequence[str | Path], reference: str | None = None, merged: str | None = None
) -> Drift:
    """Return where stored runs differ, without any model: gaps and prompt tokens are not known.

    Each of `runs` is a run's folder, or a folder of them, of which the newest of each kind are
    taken. `merged` is the name of the model that is the merged one; others are called by their
    names. UsageError for fewer than two, and for runs over other cases; RunError for one that
    cannot be read.
    """
    rows, notes = rows_of(list(map(Path, runs)), merged)
    ways = [Way(row.prompt, row.dtype, row.weights, row.decoding) for row in rows]
    return _found(rows, _place(ways, reference), Tools(None, None), notes)


def _place(ways: Sequence[Way], reference: str | None) -> int:
    """Return the row that is meant. UsageError if there is none, or it would stand alone."""
    if len(ways) < 2:  # noqa: PLR2004  a difference
        raise UsageError("drift needs two ways to run the weights at least")
    if reference is None:
        return 0
    place = next((i for i, way in enumerate(ways) if way.is_meant_by(reference)), None)
    if place is None:
        known = "; ".join(way.label for way in ways)
        raise UsageError(f"no row is called {reference}", hint=f"some of {known}")
    return place


def _found(rows: list[Row], reference: int, tools: Tools, notes: list[str]) -> Drift:
    asked = [name for name in METRICS if any(row.scores.metrics[name].n for row in rows)]
    metrics = asked or list(HEADLINE)
    comparisons = compare_rows(rows, reference, metrics)
    # The reference's prompts first: they are what others are measured by.
    order = [rows[reference], *rows]
    return Drift(
        suite=rows[0].scores.suite,
        suite_sha256=rows[0].scores.suite_sha256,
        rows=rows,
        reference=reference,
        metrics=metrics,
        comparisons=comparisons,
        same_answers=[same_answers(rows[reference], row) for row in rows],
        flips=flips(rows, reference, comparisons, tools.gauge),
        prompts=pairs(order, tools.tokenizer),
        disagreements=disagreements(rows),
        notes=[*notes, *_inactive(rows)],
    )


def _inactive(rows: Sequence[Row]) -> list[str]:
    labels = [row.label for row in rows if row.adapter_active is False]
    return [f"{INACTIVE}: {'; '.join(labels)}"] if labels else []


def _rounded(merged: Path, groups: Sequence[Group]) -> list[str]:
    """Say if a merged model's weights were rounded when they were stored."""
    stored = stored_dtype(merged)
    used = {group.dtype for group in groups if group.weights == "merged"}
    if stored not in ("bfloat16", "float16") or used <= {stored}:
        return []
    return [f"the merged weights are stored in {stored}: they are rounded in every dtype"]
