"""Comparisons of runs for people: tables, tests and the cases that flipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.report.leaderboard import cell
from fcbench.stats import smallest_significant
from fcbench.text import shorten, visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.runs import Comparison, Side

Pairs = dict[tuple[int, int], "Comparison"]

SHOWN_TEXT = 400
FOOTNOTE = (
    "difference: second - first, with its 95 % interval over paired cases (bootstrap and Tango).\n"
    "p: exact McNemar test; of repeats, partial credit and amounts a sign-flip permutation test."
)


def as_text(names: Sequence[str], found: Mapping[str, Pairs], n_flips: int) -> str:
    """Return the comparison of runs, by metric and pair; the flips are those of the first metric.

    `n_flips` is how many flipped cases are shown of each pair.
    """
    letters = [letter(i) for i in range(len(names))]
    width = max(map(len, letters))
    parts = [
        "\n".join(
            f"{called:{width}}  {visible(name)}"
            for called, name in zip(letters, names, strict=True)
        )
    ]
    for metric, pairs in found.items():
        parts += [_metric(metric, pairs, letters)]
    parts += [FOOTNOTE]
    for pair, comparison in next(iter(found.values())).items():
        a, b = (letters[i] for i in pair)
        parts += [_flips(a, b, comparison, n_flips)]
    return "\n\n".join(part for part in parts if part) + "\n"


def letter(index: int) -> str:
    """Return what a row is called.

    >>> letter(0), letter(26)
    ('A', 'R27')
    """
    return chr(ord("A") + index) if index < 26 else f"R{index + 1}"  # noqa: PLR2004  letters


def _metric(metric: str, pairs: Pairs, letters: Sequence[str]) -> str:
    from tabulate import tabulate

    head, body = table_of(pairs, letters)
    title = metric.replace("_", " ")
    table = tabulate(body, head, disable_numparse=True)
    notes = [line for pair, c in pairs.items() for line in _notes(pair, c, letters)]
    return "\n".join([title, "", table, *(["", *notes] if notes else [])]).rstrip()


def table_of(pairs: Pairs, letters: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return the table of one metric, its head and a row a pair."""
    several = len(pairs) > 1
    head = ["pair", "n", "first", "second", "difference", "p", *(["p, Holm"] if several else [])]
    body = []
    for (i, j), c in pairs.items():
        row = [
            f"{letters[i]}, {letters[j]}",
            str(c.n),
            cell(c.a) if c.unit is None else _amount(c.a.value),
            cell(c.b) if c.unit is None else _amount(c.b.value),
            _difference(c),
            p_text(c.p_value),
            *([p_text(c.p_adjusted)] if several else []),
        ]
        body.append(row)
    return head, body


def _notes(pair: tuple[int, int], c: Comparison, letters: Sequence[str]) -> list[str]:
    """Return the 2x2 table of a pair, what n could have shown, and what was left out."""
    from tabulate import tabulate

    a, b = (letters[i] for i in pair)
    if not c.n:
        return [f"{a}, {b}: no case has a value in both"]
    lines = []
    square = square_of(a, b, c)
    if square is not None:
        head, body = square
        lines += tabulate(body, head).splitlines()
    return [*lines, *remarks(c), ""]


def square_of(a: str, b: str, c: Comparison) -> tuple[list[str], list[list[str]]] | None:
    """Return the 2x2 table of a pair, its head and two rows; None where there is none."""
    t = c.table
    if t is None:
        return None
    body = [[f"{a} yes", f"{t.both}", f"{t.only_a}"], [f"{a} no", f"{t.only_b}", f"{t.neither}"]]
    return ["", f"{b} yes", f"{b} no"], body


def remarks(c: Comparison) -> list[str]:
    """Return what n could have shown, and what was left out."""
    lines = [] if c.table is None else [_power(c)]
    if c.n_left_out:
        failed = f" ({c.n_errors} because of errors)" if c.n_errors else ""
        cases = "1 case is" if c.n_left_out == 1 else f"{c.n_left_out} cases are"
        lines += [f"{cases} not in this comparison{failed}"]
    return lines


def _power(c: Comparison) -> str:
    least = least_shown(c.n)
    if c.smallest_significant is None or c.detectable is None:
        return least
    return f"{least}; with 80 % power and as many flips: {_points(c.detectable)}"


def least_shown(n: int, n_tests: int = 1) -> str:
    """Say what n cases that are right or wrong can show at best, as one of so many tests.

    >>> least_shown(40, 6)
    'the least difference that 40 cases can show at 5 %, as one of 6 tests: 20.0 points'
    """
    # Holm's first step: whatever is not significant there never is.
    least = smallest_significant(n, 0.05 / n_tests)
    among = f", as one of {n_tests} tests" if n_tests > 1 else ""
    if least is None:
        return f"{n} cases are too few to show any difference at the 5 % level{among}"
    return f"the least difference that {n} cases can show at 5 %{among}: {_points(least)}"


def _difference(c: Comparison) -> str:
    d = c.difference
    if d.value is None:
        return "—"
    if d.low is None or d.high is None:
        return f"{d.value:+.3g}"
    if c.unit is not None:
        return f"{d.value:+.3g} [{d.low:+.3g}, {d.high:+.3g}]"
    low, high = (f"{100 * bound:+.1f}" for bound in (d.low, d.high))
    return f"{100 * d.value:+.1f} points [{low}, {high}]"


def _amount(value: float | None) -> str:
    return "—" if value is None else f"{value:.3g}"


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


def p_text(value: float | None) -> str:
    """Return a p value as a table shows it."""
    if value is None:
        return "—"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"  # noqa: PLR2004  three digits


def _flips(a: str, b: str, comparison: Comparison, n_flips: int) -> str:
    flips = comparison.flips
    if not flips or not n_flips:
        return ""
    title = f"{a}, {b}: {len(flips)} flipped cases of {comparison.metric.replace('_', ' ')}"
    lines = [title]
    for flip in flips[:n_flips]:
        lines += ["", f"  {visible(flip.case_id)}", *_side(a, flip.a), *_side(b, flip.b)]
    if len(flips) > n_flips:
        lines += ["", f"  … and {len(flips) - n_flips} more (--flips {len(flips)})"]
    return "\n".join(lines)


def _side(called: str, side: Side) -> list[str]:
    why = "right" if side.reason is None else visible(side.reason)
    return [
        f"    {called} {value_text(side)}: {why}",
        f"      {visible(shorten(side.text, SHOWN_TEXT))}",
    ]


def value_text(side: Side) -> str:
    """Return what a metric says of one run's answer."""
    return {0.0: "no", 1.0: "yes"}.get(side.value, f"{side.value:.3g}")
