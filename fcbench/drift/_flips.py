"""The cases that a row does not score as the reference does, each with its cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fcbench.drift._causes import Pair, cause
from fcbench.drift._records import Answer, FlippedCase
from fcbench.metrics import metric as metric_of
from fcbench.runs import Comparison, compare, outcome_of, reason
from fcbench.stats import holm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.drift._gauge import Gauge
    from fcbench.drift._records import Row
    from fcbench.types import Sample, Verdict

Comparisons = dict[str, dict[int, Comparison]]


def compare_rows(rows: Sequence[Row], reference: int, metrics: Sequence[str]) -> Comparisons:
    """Return by metric and row's index the comparison of the reference with that row.

    p values are adjusted by Holm over all of them, since all are read together. UsageError for rows
    over other cases or judged by other rules.
    """
    found = {
        (metric, i): compare(rows[reference].scores, row.scores, metric)
        for metric in metrics
        for i, row in enumerate(rows)
        if i != reference
    }
    tested = {key: c.p_value for key, c in found.items() if c.p_value is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    by_metric: Comparisons = {metric: {} for metric in metrics}
    for (metric, i), c in found.items():
        replaced = msgspec.structs.replace(c, p_adjusted=adjusted.get((metric, i)))
        by_metric[metric][i] = replaced
    return by_metric


def same_answers(reference: Row, row: Row) -> tuple[int, int]:
    """Return how many answers are the very same words up to their stop, and how many both gave."""
    a, b = _samples(reference), _samples(row)
    both = [key for key in a if key in b and a[key].error is b[key].error is None]
    same = (Pair(reference, row, a[key], b[key]).has_same_words() for key in both)
    return sum(same), len(both)


def _samples(row: Row) -> dict[tuple[str, int], Sample]:
    return {(v.case.id, v.sample.repeat): v.sample for v in row.scores.verdicts}


def flips(
    rows: Sequence[Row], reference: int, comparisons: Comparisons, gauge: Gauge | None
) -> list[FlippedCase]:
    """Return every flip of every row, in the order of the rows and cases.

    A case that only one of the two answered is one of them, though it is in no comparison. Of
    repeats, the first that are not scored the same are shown and explained.
    """
    found = []
    for i, row in enumerate(rows):
        if i != reference:
            of_row = {metric: pairs[i] for metric, pairs in comparisons.items()}
            found += _flips(rows[reference], i, row, of_row, gauge)
    return found


def _flips(
    reference: Row, i: int, row: Row, of_row: Mapping[str, Comparison], gauge: Gauge | None
) -> list[FlippedCase]:
    a, b = _verdicts(reference), _verdicts(row)
    sides = {
        metric: {flip.case_id: (flip.a, flip.b) for flip in comparison.flips}
        for metric, comparison in of_row.items()
    }
    found = []
    for case_id in a:
        flipped = {metric: of[case_id] for metric, of in sides.items() if case_id in of}
        own, other = _telling(a[case_id], b[case_id], list(flipped))
        is_alone = (own.sample.error is None) != (other.sample.error is None)
        if not flipped and not is_alone:
            continue
        found.append(
            FlippedCase(
                row=i,
                case_id=case_id,
                lost=[m for m, (x, y) in flipped.items() if y.value < x.value],
                gained=[m for m, (x, y) in flipped.items() if y.value > x.value],
                reference=_answer(own),
                answer=_answer(other),
                cause=cause(Pair(reference, row, own.sample, other.sample), gauge),
            )
        )
    return found


def _verdicts(row: Row) -> dict[str, list[Verdict]]:
    """Return the verdicts on each case's repeats, those that are no answers last."""
    found: dict[str, list[Verdict]] = {}
    for verdict in sorted(row.scores.verdicts, key=lambda v: v.sample.error is not None):
        found.setdefault(verdict.case.id, []).append(verdict)
    return {v.case.id: found[v.case.id] for v in row.scores.verdicts}


def _telling(
    own: Sequence[Verdict], other: Sequence[Verdict], metrics: Sequence[str]
) -> tuple[Verdict, Verdict]:
    """Return the first repeat of a case that is not scored the same, else the first answers."""
    answered = {v.sample.repeat: v for v in other if v.sample.error is None}
    for verdict in own:
        match = answered.get(verdict.sample.repeat)
        if match is not None and any(metric_of(m)(verdict) != metric_of(m)(match) for m in metrics):
            return verdict, match
    return own[0], other[0]


def _answer(verdict: Verdict) -> Answer:
    if verdict.sample.error is not None:
        return Answer("error", verdict.sample.error, "")
    why = None if verdict.is_right else reason(verdict)
    return Answer(outcome_of(verdict), why, verdict.sample.text)
