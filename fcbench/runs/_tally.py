"""Verdicts, one at a time -> what estimates need of them: counts and sums for each case.

However many verdicts there are, this does not grow: it is as large as the cases are many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fcbench.metrics import Metric, metric, metric_names
from fcbench.runs._reason import outcome_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from fcbench.types import Case, Sample, Verdict

# Every float is a whole number of these, so that integers add them up without rounding: then their
# order makes no difference, and a mean is, to the last bit, that of a list of them all.
UNITS = 2**1074


# Sums of right answers, of which there are many: an integer of these is 170 bytes, and one will do.
_WHOLE = {total: total for total in (n * UNITS for n in range(1025))}


class Marks(NamedTuple):
    """What a verdict adds to the tallies; `values` are metrics by index, in UNITS of 1."""

    outcome: str
    is_right: bool
    values: list[tuple[int, int]]


class CaseTally(msgspec.Struct):
    """What is known of one case: for each metric how many values there are, and their sum.

    `place` is the case's in the suite. `n_right` of the `n_answered` samples without an error are
    right; `n_failed` are errors.
    """

    place: int
    expects_call: bool
    tags: tuple[str, ...]
    counts: list[int]
    sums: list[int]
    n_answered: int = 0
    n_right: int = 0
    n_failed: int = 0


class Tallies(msgspec.Struct):
    """What is known of all verdicts so far."""

    metrics: dict[str, Metric]
    """Those that say something here."""
    cases: dict[str, CaseTally]
    n_samples: int = 0
    n_errors: int = 0
    first_error: tuple[tuple[int, int], str] | None = None
    turns: dict[str, tuple[int, tuple[int, int]]] = {}
    """How often a turn was of each outcome, and which case and repeat was the first."""

    def marks_of(self, verdict: Verdict) -> Marks:
        """Return what a verdict adds. UsageError for a metric's value that is none."""
        values = []
        for i, one in enumerate(self.metrics.values()):
            value = one(verdict)
            if value is None:
                continue
            above, below = value.as_integer_ratio()
            units = above * (UNITS // below)
            values.append((i, _WHOLE.get(units, units)))
        return Marks(outcome_of(verdict), verdict.is_right, values)

    def add(self, sample: Sample, marks: Marks) -> None:
        """Count a sample and what the verdict on it adds."""
        case, place = self.cases[sample.case_id], self.place_of(sample)
        self.n_samples += 1
        n, first = self.turns.get(marks.outcome, (0, place))
        self.turns[marks.outcome] = n + 1, min(first, place)
        if sample.error is None:
            case.n_answered += 1
            case.n_right += marks.is_right
        else:
            self.n_errors += 1
            case.n_failed += 1
            said = place, f"{sample.case_id}: {sample.error}"
            self.first_error = min(self.first_error or said, said)
        for i, value in marks.values:
            case.counts[i] += 1
            total = case.sums[i] + value
            case.sums[i] = _WHOLE.get(total, total)

    def place_of(self, sample: Sample) -> tuple[int, int]:
        """Return a sample's place in the order of the cases and repeats."""
        return self.cases[sample.case_id].place, sample.repeat

    def metric(self, name: str) -> Metric:
        """Return a metric by name: one of these, or one that says nothing here."""
        return self.metrics.get(name) or metric(name)

    def means(self, name: str, tag: str | None = None) -> Iterator[tuple[float, int]]:
        """Yield the mean of a metric's values and their number, for each case that has any."""
        for case_id, found in self.by_case(name):
            if tag is None or tag in self.cases[case_id].tags:
                yield found

    def by_case(self, name: str) -> Iterator[tuple[str, tuple[float, int]]]:
        """Yield each case that has values of a metric, their mean and their number."""
        if name not in self.metrics:
            return
        i = list(self.metrics).index(name)
        for case_id, case in self.cases.items():
            n = case.counts[i]
            if n:
                yield case_id, (case.sums[i] / UNITS / n, n)

    def outcomes(self) -> dict[str, int]:
        """Return what the turns were, the most frequent first."""
        by_number = sorted(self.turns.items(), key=lambda item: (-item[1][0], item[1][1]))
        return {outcome: n for outcome, (n, _) in by_number}


def tallies_of(cases: Iterable[Case], moot: Collection[str], own: Iterable[Metric] = ()) -> Tallies:
    """Return tallies of nothing yet; moot metrics are not asked, the caller's `own` are."""
    metrics = {name: metric(name) for name in metric_names() if name not in moot}
    metrics |= {one.name: one for one in own}
    n = len(metrics)
    empty = {
        case.id: CaseTally(i, case.expects_call, case.tags, [0] * n, [0] * n)
        for i, case in enumerate(cases)
    }
    return Tallies(metrics, empty)
