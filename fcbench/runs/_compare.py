"""Two runs over the same cases: what differs, and whether that is more than chance."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING

import msgspec

from fcbench.errors import UsageError
from fcbench.metrics import metric as metric_of
from fcbench.runs._reason import outcome_of, reason
from fcbench.stats import (
    Estimate,
    clustered_means,
    detectable_difference,
    holm,
    mean,
    paired_bootstrap,
    sign_flip,
    smallest_significant,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.metrics import Metric
    from fcbench.runs._scores import Scores
    from fcbench.types import Verdict

DEFAULT_METRIC = "argument_exact_match"


class Side(msgspec.Struct, frozen=True):
    """What one run did with a case, in its first repeat."""

    value: float
    outcome: str
    reason: str | None
    text: str


class Flip(msgspec.Struct, frozen=True):
    """A case that the two runs do not score the same."""

    case_id: str
    a: Side
    b: Side


class Table(msgspec.Struct, frozen=True):
    """How many cases both runs, only one, or none of them got right."""

    both: int
    only_a: int
    only_b: int
    neither: int


class Comparison(msgspec.Struct, frozen=True):
    """One metric in two runs, a and b, over the n cases where both have a value.

    `difference` is b - a with its 95 % interval, see stats.paired_bootstrap. `p_value` is
    two-sided: of the exact McNemar test where each case is right or wrong, else of a sign-flip
    permutation test over the cases' differences; `p_adjusted` is Holm's over all pairs that were
    compared at once. `table` is None where values are not just 0 and 1.

    `smallest_significant` is the least difference that n cases can show at 5 %, with every flip
    one way; `detectable` the true difference that they show with 80 % power when as large a share
    of cases flips as did here. Both are None where values are not just 0 and 1, or n is too small
    for any. `unit` is the metric's, None for a share of cases. `n_left_out` counts cases that the
    metric is over in one run or none, and `n_errors` those of them where a machinery failed.
    """

    metric: str
    a: Estimate
    b: Estimate
    n: int
    n_left_out: int
    n_errors: int
    difference: Estimate
    p_value: float | None
    p_adjusted: float | None
    table: Table | None
    smallest_significant: float | None
    detectable: float | None
    flips: list[Flip]
    unit: str | None = None


def compare(
    scores_a: Scores, scores_b: Scores, metric: str = DEFAULT_METRIC, *, power: bool = True
) -> Comparison:
    """Return how one metric differs between two runs over the same cases.

    Without `power` what could have been detected, which takes seconds of thousands of cases, is
    None.
    UsageError for runs over other cases or judged by other rules, and for an unknown metric.
    """
    _refuse_other_cases(scores_a, scores_b)
    asked = _metric_of_both(scores_a, scores_b, metric)
    first, second = _by_case(scores_a, asked), _by_case(scores_b, asked)
    shared = [case_id for case_id in first if case_id in second]
    a, b = ({c: values[c][0] for c in shared} for values in (first, second))
    differences = [b[case_id] - a[case_id] for case_id in shared]
    table = _table(a, b) if _is_binary([*a.values(), *b.values()]) else None
    flipped = [case_id for case_id, d in zip(shared, differences, strict=True) if d]
    n = len(shared)
    p_value = sign_flip(differences) if n else None
    failed = {
        case_id
        for scores in (scores_a, scores_b)
        for case_id, case in scores.tallies.cases.items()
        if case.n_failed
    }
    return Comparison(
        metric=metric,
        a=_estimate([first[case_id] for case_id in shared], asked),
        b=_estimate([second[case_id] for case_id in shared], asked),
        n=n,
        n_left_out=len(scores_a.tallies.cases) - n,
        n_errors=len(failed - set(shared)),
        difference=_difference(differences, asked),
        p_value=p_value,
        p_adjusted=p_value,
        table=table,
        smallest_significant=smallest_significant(n) if table and n else None,
        detectable=detectable_difference(n, len(flipped) / n) if power and table and n else None,
        flips=_flips(scores_a, scores_b, flipped, (a, b)),
        unit=asked.unit,
    )


def compare_all(
    scores: Sequence[Scores], metric: str = DEFAULT_METRIC, *, power: bool = True
) -> dict[tuple[int, int], Comparison]:
    """Return the comparison of each pair of runs, by index, with Holm's adjusted p values."""
    pairs = list(combinations(range(len(scores)), 2))
    found = [compare(scores[i], scores[j], metric, power=power) for i, j in pairs]
    tested = [c for c in found if c.p_value is not None]
    adjusted = iter(holm([c.p_value for c in tested if c.p_value is not None]))
    return {
        pair: c if c.p_value is None else msgspec.structs.replace(c, p_adjusted=next(adjusted))
        for pair, c in zip(pairs, found, strict=True)
    }


def _refuse_other_cases(a: Scores, b: Scores) -> None:
    if a.suite_sha256 != b.suite_sha256:
        raise UsageError(
            f"the runs are over different suites: {a.suite} ({a.suite_sha256[:12]}) and "
            f"{b.suite} ({b.suite_sha256[:12]})"
        )
    ids_a, ids_b = (scores.tallies.cases.keys() for scores in (a, b))
    if ids_a != ids_b:
        raise UsageError(
            f"the runs are over different cases: {len(ids_a - ids_b)} are only in the first, "
            f"{len(ids_b - ids_a)} only in the second",
            hint="run both with the same --limit and --tags",
        )
    if a.matching != b.matching:
        raise UsageError(
            "the runs are judged by different rules", hint="name --matcher or --normalise for both"
        )


def _metric_of_both(a: Scores, b: Scores, name: str) -> Metric:
    """Return a metric that both runs were scored with. UsageError if there is none."""
    found = [scores.tallies.metric(name) for scores in (a, b) if name in scores.metrics]
    if len(found) == 1:
        raise UsageError(
            f"only one of the runs was scored with {name}", hint="score both with metrics=[…]"
        )
    if not found:
        return metric_of(name)  # which says what the nearest is
    if found[0] != found[1]:
        raise UsageError(f"the runs were scored with two metrics that are both called {name}")
    return found[0]


def _difference(differences: Sequence[float], metric: Metric) -> Estimate:
    n = len(differences)
    if not n:
        return Estimate(None, None, None, 0)
    # Equal amounts, unlike equal shares, say nothing of how much they could have differed.
    if metric.unit is not None and not any(differences):
        return Estimate(0.0, None, None, n)
    return Estimate(fmean(differences), *paired_bootstrap(differences), n)


def _by_case(scores: Scores, metric: Metric) -> dict[str, tuple[float, int]]:
    """Return the mean of each case's values and their number; a moot metric has none."""
    return dict(scores.tallies.by_case(metric.name))


def _estimate(values: Sequence[tuple[float, int]], metric: Metric) -> Estimate:
    means = [value for value, _ in values]
    if metric.unit is None:
        return clustered_means(means, [n for _, n in values])
    return mean([[value] for value in means])


def _is_binary(values: Sequence[float]) -> bool:
    return all(value in (0, 1) for value in values)


def _table(a: Mapping[str, float], b: Mapping[str, float]) -> Table:
    pairs = [(a[case_id], b[case_id]) for case_id in a]
    return Table(*(pairs.count(cell) for cell in ((1, 1), (1, 0), (0, 1), (0, 0))))


def _flips(
    scores_a: Scores,
    scores_b: Scores,
    flipped: Sequence[str],
    values: tuple[Mapping[str, float], Mapping[str, float]],
) -> list[Flip]:
    a, b = values
    first, second = _first_verdicts(scores_a), _first_verdicts(scores_b)
    return [Flip(c, _side(first.get(c), a[c]), _side(second.get(c), b[c])) for c in flipped]


def _first_verdicts(scores: Scores) -> dict[str, Verdict]:
    """Return the verdict on the first sample of each case that has an answer."""
    answered = [v for v in scores.verdicts if v.sample.error is None]
    return {v.case.id: v for v in reversed(answered)}


def _side(verdict: Verdict | None, value: float) -> Side:
    if verdict is None:  # a report keeps those that it shows
        return Side(value, "", None, "")
    why = None if verdict.is_right else reason(verdict)
    return Side(value, outcome_of(verdict), why, verdict.sample.text)
