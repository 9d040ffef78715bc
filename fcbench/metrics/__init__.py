"""Verdicts -> numbers. One file a metric, one function of its name in it.

A metric takes a verdict and returns a share from 0 to 1, or None where it does not apply. One whose
module names a `UNIT` returns a quantity of that unit instead. `LOWER_IS_BETTER` in the module says
that a model is the better the less it has of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fcbench import registry
from fcbench.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from fcbench.types import Verdict

HEADLINE = ("syntax_validity", "name_match", "argument_exact_match")
"""The three metrics of every leaderboard, over cases that expect a call."""


def metric(name: str) -> Callable[[Verdict], float | None]:
    """Return a metric by name. UsageError for an unknown one names the nearest."""
    function = getattr(registry.load("metrics", name), name)
    return cast("Callable[[Verdict], float | None]", function)


def metric_names() -> list[str]:
    """Return the names of all metrics, the headline ones first."""
    others = [name for name in registry.names("metrics") if name not in HEADLINE]
    return [*HEADLINE, *others]


def unit_of(name: str) -> str | None:
    """Return the unit of a metric that is a quantity, None for a share of cases."""
    return getattr(registry.load("metrics", name), "UNIT", None)


def check_gate(name: str) -> None:
    """Raise UsageError unless a model can be asked to reach so much of a metric."""
    if name not in metric_names():
        raise UsageError(f"no such metric: {name}", hint=nearest(name, metric_names()))
    if unit_of(name) is not None:
        raise UsageError(f"{name} is no share of cases: it has no threshold")
    if getattr(registry.load("metrics", name), "LOWER_IS_BETTER", False):
        raise UsageError(f"of {name} less is better: a threshold would pass the worst models")
