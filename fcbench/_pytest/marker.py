"""What @pytest.mark.fcbench asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench._pytest.settings import from_root
from fcbench.errors import UsageError, nearest
from fcbench.metrics import metric_names
from fcbench.runs import Options, RunFolder
from fcbench.runs._gate import Ceiling, Gate, check, require
from fcbench.runs._no_worse import Regression, baseline_of, check_regression, require_no_worse
from fcbench.text import show

if TYPE_CHECKING:
    import pytest

    from fcbench.runs import Scores

RUN = {"model", "suite", "prompt", "adapter", "decode", "results", *Options.__annotations__}
GATE = {"confidence", "interval", "per_tag", "no_worse_than", "metric", "alpha", "margin"}
FLOOR, CEILING = "min_", "max_"


class Asked(NamedTuple):
    """The run of a marked test, and what it has to reach."""

    run: dict[str, Any]
    gates: list[Gate]
    regression: Regression | None
    baseline: Any

    def require(self, scores: Scores) -> None:
        """Raise AssertionError unless the scores reach all that is asked."""
        __tracebackhide__ = True
        if self.gates:
            require(scores, self.gates)
        if self.regression is not None:
            baseline = baseline_of(self.baseline, scores, self.regression.metric)
            require_no_worse(scores, baseline, self.regression)


def asked_of(item: pytest.Item) -> Asked:
    """Return what a test's marker asks for; what a nearer one says goes before its class's.

    UsageError for a name that does not exist, and for a marker without any threshold of a test
    that does not look at the scores itself.
    """
    given: dict[str, Any] = {}
    nodes = []
    for node, mark in item.iter_markers_with_node("fcbench"):  # the nearest first
        if mark.args:
            raise UsageError(
                f"the marker fcbench takes names, got {show(mark.args[0])}",
                hint="@pytest.mark.fcbench(model=…, suite=…, min_name_match=0.95)",
            )
        if node in nodes:
            raise UsageError(
                f"{item.name} has two markers fcbench",
                hint="two thresholds of one run stand in one marker; two runs are two tests",
            )
        nodes.append(node)
        given = {**mark.kwargs, **given}
    asked = _split(given, item.config)
    wants_scores = "fcbench_scores" in getattr(item, "_fixtureinfo").argnames  # noqa: B009
    if nodes and not (asked.gates or asked.regression or wants_scores):
        raise UsageError(
            f"the marker of {item.name} asks for nothing",
            hint="min_METRIC=…, max_METRIC=…, no_worse_than=RUN, or the fixture fcbench_scores",
        )
    return asked


def _split(given: dict[str, Any], config: pytest.Config) -> Asked:
    run = {name: value for name, value in given.items() if name in RUN}
    how = {name: value for name, value in given.items() if name in GATE}
    thresholds = {n: value for n, value in given.items() if n not in RUN and n not in GATE}
    floors = _after(FLOOR, thresholds)
    ceilings = _after(CEILING, thresholds)
    for name in thresholds:
        if not name.startswith((FLOOR, CEILING)):
            known = [*RUN, *GATE, *(end + m for m in metric_names() for end in (FLOOR, CEILING))]
            raise UsageError(f"the marker fcbench has no {name}", hint=nearest(name, known))
    confidence = how.get("confidence", "lower")
    if confidence not in ("lower", "point"):
        raise UsageError(f'confidence is "lower" or "point", got {confidence!r}')
    shared = {name: how[name] for name in ("interval", "per_tag") if name in how}
    gates = [Gate(floors, confidence, **shared)] if floors else []
    if ceilings:
        # The careful bound of a ceiling is the upper one.
        bound: Ceiling = "point" if confidence == "point" else "upper"
        gates.append(Gate(ceilings, bound, is_ceiling=True, **shared))
    for gate in gates:
        check(gate)
    baseline = how.get("no_worse_than")
    if baseline is None:
        for name in {"metric", "alpha", "margin"} & set(how):
            raise UsageError(f"{name} is of a comparison", hint="no_worse_than=RUN")
        return Asked(run, gates, None, None)
    fields = {name: how[name] for name in ("metric", "alpha", "margin") if name in how}
    regression = Regression(**fields)
    check_regression(regression)
    if isinstance(baseline, str):
        baseline = from_root(config, baseline)
        if not Path(baseline).is_file():
            RunFolder(Path(baseline)).manifest()  # one that is not there is known before any answer
    return Asked(run, gates, regression, baseline)


def _after(start: str, thresholds: dict[str, Any]) -> dict[str, Any]:
    return {n.removeprefix(start): value for n, value in thresholds.items() if n.startswith(start)}
