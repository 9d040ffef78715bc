"""Verdicts -> numbers. One file a metric, one function of its name in it.

A metric takes a verdict and returns a share from 0 to 1, or None where it does not apply. One whose
module names a `UNIT` returns an amount of that instead. `LOWER_IS_BETTER` in the module says that a
model is the better the less it has of it. Another package adds one of its own with an entry point,
which names such a module: then every score has it.

    [project.entry-points."fcbench.metrics"]
    polite = "my_package.polite"

`score(run, metrics=[…])` takes functions for that score alone, and Metric says the same of them.
"""

from __future__ import annotations

from fcbench import registry
from fcbench.errors import UsageError, nearest
from fcbench.metrics._metric import Function, Metric, own_metrics

__all__ = [
    "HEADLINE",
    "Function",
    "Metric",
    "check_gate",
    "metric",
    "metric_names",
    "own_metrics",
    "unit_of",
]

HEADLINE = ("syntax_validity", "name_match", "argument_exact_match")
"""The three metrics of every leaderboard, over cases that expect a call."""


def metric(name: str) -> Metric:
    """Return a metric by name. UsageError for an unknown one names the nearest."""
    module = registry.load("metrics", name)
    function = getattr(module, name, None)
    if function is None:
        raise UsageError(f"{module.__name__} holds no function {name}, which a metric's module has")
    unit, lower_is_better = getattr(module, "UNIT", None), getattr(module, "LOWER_IS_BETTER", False)
    return Metric(function, name, unit, lower_is_better)


def metric_names() -> list[str]:
    """Return the names of all metrics, the headline ones first."""
    others = [name for name in registry.names("metrics") if name not in HEADLINE]
    return [*HEADLINE, *others]


def unit_of(name: str) -> str | None:
    """Return the unit of a metric that is an amount, None for a share of cases."""
    return metric(name).unit


def check_gate(name: str) -> None:
    """Raise UsageError unless a model can be asked to reach so much of a metric."""
    if name not in metric_names():
        raise UsageError(f"no such metric: {name}", hint=nearest(name, metric_names()))
    metric(name).check_floor()
