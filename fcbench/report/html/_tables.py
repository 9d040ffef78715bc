"""What the report's tables hold: cells with their drawings, ready for the template."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from fcbench.metrics import HEADLINE
from fcbench.report.html._charts import bar, histogram, whisker
from fcbench.report.leaderboard import SHOWN
from fcbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.report.html._subject import Group, Subject

NOTHING = "—"


class Cell(NamedTuple):
    """A number as a table shows it, with its interval, n and drawing."""

    value: str
    bounds: str
    n: int
    chart: Markup


class Line(NamedTuple):
    """What the leaderboard says of one run."""

    subject: Subject
    cells: list[Cell]
    errors: int
    seconds: str


class Named(NamedTuple):
    """A row of cells, one a run, under a name; `note` says how many cases it is over."""

    name: str
    note: str
    cells: list[Cell]


class Count(NamedTuple):
    """How many turns were of a kind. `outcome` and `right` are what the case browser filters by."""

    name: str
    outcome: str
    right: str
    n: int
    share: str
    chart: Markup


class Amounts(NamedTuple):
    """How an amount is distributed over a run's answers."""

    middle: str
    high: str
    most: str
    total: str
    chart: Markup


def cell(estimate: Estimate, colour: int, unit: str | None = None) -> Cell:
    """Return an estimate as a cell; an amount, which has a unit, has no drawing."""
    if estimate.value is None:
        return Cell(NOTHING, "", estimate.n, Markup(""))
    if unit is not None:
        bounds = "" if estimate.low is None else f"{estimate.low:.3g}–{estimate.high:.3g}"
        return Cell(f"{estimate.value:.3g} {unit}", bounds, estimate.n, Markup(""))
    bounds = ""
    if estimate.low is not None and estimate.high is not None:
        bounds = f"{percent(estimate.low)}–{percent(estimate.high)}"
    return Cell(percent(estimate.value), bounds, estimate.n, whisker(estimate, colour))


def percent(share: float) -> str:
    """Return a share in per cent with one decimal, so that a column's decimals stand in line."""
    return f"{100 * share:.1f}"


def leaderboard(group: Group) -> list[Line]:
    """Return a line for each run of a group, best argument_exact_match first."""
    ranked = sorted(group.subjects, key=_rank)
    return [
        Line(
            subject,
            [cell(subject.scores.metrics[name], subject.colour) for name in SHOWN],
            subject.scores.n_errors,
            _seconds(subject.row.seconds_per_case),
        )
        for subject in ranked
    ]


def _rank(subject: Subject) -> tuple[float, ...]:
    best_first = [-(subject.scores.metrics[name].value or 0.0) for name in reversed(HEADLINE)]
    return (*best_first, subject.number)


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def by_tag(group: Group, metric: str) -> list[Named]:
    """Return a row for each tag over whose cases some run has a value of the metric."""
    rows = []
    for tag in group.subjects[0].scores.by_tag:
        found = [subject.scores.by_tag[tag][metric] for subject in group.subjects]
        n = max(estimate.n for estimate in found)
        if n:
            rows.append(Named(tag, f"{n}", _cells(found, group)))
    return rows


def all_metrics(group: Group) -> list[Named]:
    """Return a row for each metric, pass@k and pass^k included, that some run has a value of."""
    rows = []
    for name in dict.fromkeys(name for s in group.subjects for name in s.scores.metrics):
        found = [subject.scores.metrics.get(name, _NONE) for subject in group.subjects]
        if any(estimate.n for estimate in found):
            n = max(estimate.n for estimate in found)
            cells = _cells(found, group, _unit(name, group))
            rows.append(Named(name.replace("_", " "), f"{n}", cells))
    passes = dict.fromkeys(name for s in group.subjects for name in s.scores.passes)
    for name in passes:
        found = [subject.scores.passes.get(name, _NONE) for subject in group.subjects]
        rows.append(Named(name, f"{max(e.n for e in found)}", _cells(found, group)))
    return rows


_NONE = Estimate(None, None, None, 0)


def _cells(found: Sequence[Estimate], group: Group, unit: str | None = None) -> list[Cell]:
    pairs = zip(found, group.subjects, strict=True)
    return [cell(estimate, subject.colour, unit) for estimate, subject in pairs]


def _unit(name: str, group: Group) -> str | None:
    """Return the unit of a metric, which may be the caller's own."""
    asked = (subject.scores.tallies.metrics.get(name) for subject in group.subjects)
    return next((metric.unit for metric in asked if metric is not None), None)


def outcomes(group: Group) -> list[tuple[Subject, list[Count]]]:
    """Return what the turns of each run were, calls and abstentions as right and wrong ones.

    The bars of a group share a scale.
    """
    counted = [(subject, subject.gathered.counts) for subject in group.subjects]
    most = max((n for _, counts in counted for n in counts.values()), default=0)
    found = []
    for subject, counts in counted:
        total = sum(counts.values())
        kinds = [
            Count(
                outcome.replace("_", " ") + {"1": ", right", "0": ", wrong", "": ""}[right],
                outcome,
                right,
                n,
                percent(n / total),
                bar(n, most, _kind(outcome, right)),
            )
            for (outcome, right), n in sorted(counts.items(), key=_order)
        ]
        found.append((subject, kinds))
    return found


def _order(item: tuple[tuple[str, str], int]) -> tuple[object, ...]:
    (outcome, right), n = item
    # Right turns first, errors of the machinery last, between them the most frequent first.
    return right != "1", outcome == "error", -n, outcome


def _kind(outcome: str, right: str) -> str:
    if right == "1":
        return "bar-right"
    return {"calls": "bar-wrong", "abstained": "bar-none", "error": "bar-error"}.get(
        outcome, "bar-malformed"
    )


def amounts(group: Group, field: str) -> list[Amounts]:
    """Return for each run how a field of its samples is distributed, tokens or seconds."""
    known = [subject.gathered.amounts[field] for subject in group.subjects]
    most = max((max(values) for values in known if values), default=0.0)
    return [
        _amounts(values, most, subject.colour)
        for values, subject in zip(known, group.subjects, strict=True)
    ]


def _amounts(values: Sequence[float], most: float, colour: int) -> Amounts:
    if not values:
        return Amounts(NOTHING, NOTHING, NOTHING, NOTHING, Markup(""))
    ranked = sorted(values)
    # The least value that 95 % of the answers do not exceed.
    high = ranked[-(-95 * len(ranked) // 100) - 1]
    chart = histogram(values, most, colour)
    return Amounts(
        _amount(median(ranked)), _amount(high), _amount(ranked[-1]), _amount(sum(ranked)), chart
    )


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.2f}"  # noqa: PLR2004
