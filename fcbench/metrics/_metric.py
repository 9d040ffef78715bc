"""A metric: a function of a verdict, its unit, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from fcbench.errors import UsageError
from fcbench.text import shorten, show
from fcbench.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Function = Callable[[Verdict], float | None]


class Metric(msgspec.Struct, frozen=True):
    """A function of a verdict, and what its values are.

    `function` returns a share from 0 to 1, or None for a case that the metric is not over; with a
    `unit` it returns an amount of that. `name` is the function's own unless it is given. Of a
    metric where `lower_is_better`, a model is the better the less it has.

    >>> length = Metric(lambda verdict: len(verdict.sample.text), "length", unit="characters")
    >>> length(verdict_of(expected=call("f"), text="No."))
    3.0
    """

    function: Function
    name: str = ""
    unit: str | None = None
    lower_is_better: bool = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            what = shorten(show(self.function))
            raise UsageError(f"a metric is a function of a verdict, got {what}")
        name = self.name or getattr(self.function, "__name__", "")
        if not name.isidentifier():  # it names a column, and a keyword of assert_at_least
            raise UsageError(
                f"a metric is named as a function is, got {name or 'no name'}",
                hint="Metric(function, name=…)",
            )
        msgspec.structs.force_setattr(self, "name", name)

    def __call__(self, verdict: Verdict) -> float | None:
        """Return the value for one verdict. UsageError for one that is no share, or no number.

        None where the machinery failed, whatever the function would say: that is no answer.
        """
        if verdict.sample.error is not None:
            return None
        value = self.function(verdict)
        return None if value is None else self._number(value, verdict)

    def check_floor(self) -> None:
        """Raise UsageError unless a model can be asked to reach so much of it."""
        if self.unit is not None:
            raise UsageError(f"{self.name} is no share of cases: it has no threshold")
        if self.lower_is_better:
            raise UsageError(
                f"of {self.name} less is better: a threshold would pass the worst models"
            )

    def check_ceiling(self) -> None:
        """Raise UsageError unless a model can be asked to have no more than so much of it."""
        if not self.lower_is_better:
            raise UsageError(
                f"nobody said that of {self.name} less is better: a ceiling would pass bad models"
            )

    def _number(self, value: float, verdict: Verdict) -> float:
        try:
            number = math.nan if isinstance(value, str) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if 0 <= number <= 1 or (self.unit is not None and math.isfinite(number)):
            return number
        wanted = "a share from 0 to 1" if self.unit is None else "a number"
        raise UsageError(
            f"{self.name} returned {shorten(show(value))} for the case {verdict.case.id}: "
            f"expected {wanted} or None",
            hint="an amount has a unit: Metric(function, unit=…)" if self.unit is None else None,
        )


def own_metrics(given: Iterable[Function | Metric], taken: Collection[str]) -> list[Metric]:
    """Return functions as metrics. UsageError for a name that is taken, or given twice."""
    found: dict[str, Metric] = {}
    for one in given:
        metric = one if isinstance(one, Metric) else Metric(one)
        if metric.name in taken or metric.name in found:
            raise UsageError(
                f"{metric.name} is the name of another metric, or of a column of to_pandas",
                hint="Metric(function, name=…)",
            )
        found[metric.name] = metric
    return list(found.values())
