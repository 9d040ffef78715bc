"""Comparisons of a group's runs, ready for the template."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fcbench.metrics import HEADLINE
from fcbench.report.comparison import least_shown, p_text
from fcbench.report.html._charts import whisker
from fcbench.report.html._tables import NOTHING, Cell, cell
from fcbench.report.html._text import link_to
from fcbench.runs import compare_all
from fcbench.text import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from fcbench.report.html._subject import Group, Subject
    from fcbench.runs import Comparison, Flip, Side

METRICS = (*reversed(HEADLINE), "abstention")
SHOWN_FLIPS, SHOWN_TEXT = 20, 300
MANY_RUNS = 8
_OF_MANY = (
    f"Of more than {MANY_RUNS} runs one metric is compared; the case browser shows who differs."
)
_SIGNIFICANT = 0.05


class Pair(NamedTuple):
    """One metric of two runs; `is_significant` after Holm's correction for all pairs."""

    a: Subject
    b: Subject
    n: int
    first: Cell
    second: Cell
    difference: str
    bounds: str
    chart: Markup
    only_a: str
    only_b: str
    p: str
    p_holm: str
    is_significant: bool


class Compared(NamedTuple):
    """One metric of all pairs of runs."""

    name: str
    pairs: list[Pair]
    notes: list[str]


class Flipped(NamedTuple):
    """A case that two runs do not score the same."""

    case_id: str
    link: str
    a: Side
    b: Side


class Flips(NamedTuple):
    """The first flips of a pair of runs."""

    a: Subject
    b: Subject
    metric: str
    shown: list[Flipped]
    n: int


def compared(group: Group, metrics: Sequence[str] = METRICS) -> tuple[list[Compared], list[Flips]]:
    """Return the comparisons of a group's runs by metric, and the flips of the first of them."""
    scores = [subject.scores for subject in group.subjects]
    are_many = len(scores) > MANY_RUNS
    chosen = metrics[:1] if are_many else metrics
    found = {name: compare_all(scores, name, power=False) for name in chosen}
    asked = {name: pairs for name, pairs in found.items() if any(c.n for c in pairs.values())}
    tables = [_compared(name, pairs, group) for name, pairs in asked.items()]
    if are_many:
        return [table._replace(notes=[*table.notes, _OF_MANY]) for table in tables], []
    places = {case_id: i for i, case_id in enumerate(group.case_ids)}
    flips = []
    for (i, j), comparison in next(iter(asked.values()), {}).items():
        if comparison.flips:
            known = [flip for flip in comparison.flips if flip.case_id in places]
            shown = [_flipped(flip, group, places) for flip in known[:SHOWN_FLIPS]]
            a, b = group.subjects[i], group.subjects[j]
            metric = comparison.metric.replace("_", " ")
            flips.append(Flips(a, b, metric, shown, len(comparison.flips)))
    return tables, flips


def _compared(name: str, found: Mapping[tuple[int, int], Comparison], group: Group) -> Compared:
    widest = max(_reach(comparison) for comparison in found.values())
    pairs = [
        _pair(comparison, group.subjects[i], group.subjects[j], widest)
        for (i, j), comparison in found.items()
    ]
    return Compared(name.replace("_", " "), pairs, _notes(list(found.values())))


def _reach(comparison: Comparison) -> float:
    d = comparison.difference
    return max((abs(bound) for bound in (d.value, d.low, d.high) if bound is not None), default=0)


def _pair(c: Comparison, a: Subject, b: Subject, widest: float) -> Pair:
    d = c.difference
    value = bounds = ""
    if d.value is not None:
        scale = 100 if c.unit is None else 1
        value = _signed(scale * d.value)
        if d.low is not None and d.high is not None:
            bounds = f"{_signed(scale * d.low)} to {_signed(scale * d.high)}"
    table = c.table
    return Pair(
        a,
        b,
        c.n,
        cell(c.a, a.colour, c.unit),
        cell(c.b, b.colour, c.unit),
        value or NOTHING,
        bounds,
        whisker(d, b.colour, (-widest or -1.0, widest or 1.0)),
        NOTHING if table is None else str(table.only_a),
        NOTHING if table is None else str(table.only_b),
        p_text(c.p_value),
        p_text(c.p_adjusted),
        c.p_adjusted is not None and c.p_adjusted < _SIGNIFICANT,
    )


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _notes(found: Sequence[Comparison]) -> list[str]:
    """Return what so many cases could have shown, and what was left out."""
    n = max(c.n for c in found)
    notes = []
    if any(c.table is not None for c in found):
        said = least_shown(n, len(found))
        notes.append(said[0].upper() + said[1:] + ".")
    left_out = max(c.n_errors for c in found)
    if left_out:
        notes.append(f"{left_out} cases without an answer are not compared.")
    return notes


def _flipped(flip: Flip, group: Group, places: Mapping[str, int]) -> Flipped:
    import msgspec

    link = link_to(flip.case_id, group.number, places[flip.case_id])
    a, b = (
        msgspec.structs.replace(side, text=shorten(side.text, SHOWN_TEXT))
        for side in (flip.a, flip.b)
    )
    return Flipped(flip.case_id, link, a, b)
