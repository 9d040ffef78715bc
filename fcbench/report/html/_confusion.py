"""Which function was called where another was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fcbench.report.html._tables import percent

if TYPE_CHECKING:
    from collections import Counter

    from fcbench.report.html._subject import Subject
    from fcbench.types import Verdict

MOST_NAMES = 12
MOST_CONFUSIONS = 20
NO_CALL, MALFORMED = "no call", "malformed"
_SHADES = 6


class Square(NamedTuple):
    """One cell: how often, its shade from 0 to 6, and whether it is where right calls are."""

    n: int
    shade: int
    is_right: bool


class Confusion(NamedTuple):
    """Expected functions (rows) by called ones (columns), or the commonest confusions.

    `n_called` and `n_right` count pairs of an expected and a called function. Where there are too
    many functions for a table, `rows` is empty. `confusions` are (expected, called, how often).
    """

    n_called: int
    n_right: int
    share: str
    columns: list[str]
    rows: list[tuple[str, list[Square]]]
    confusions: list[tuple[str, str, int]]
    n_more: int


def confusion(subject: Subject) -> Confusion:
    """Return how a run's calls are spread over the functions."""
    pairs = subject.gathered.pairs
    names = sorted({name for pair in pairs for name in pair} - {NO_CALL, MALFORMED})
    wrong = [(pair, n) for pair, n in pairs.most_common() if pair[0] != pair[1]]
    confused = [(*pair, n) for pair, n in wrong if MALFORMED not in pair and NO_CALL not in pair]
    n_called = sum(n for (_, called), n in pairs.items() if called not in (NO_CALL, MALFORMED))
    n_right = sum(n for (expected, called), n in pairs.items() if expected == called != NO_CALL)
    fits = len(names) <= MOST_NAMES
    expected = [name for name in names if any(pair[0] == name for pair in pairs)]
    if any(pair[0] == NO_CALL for pair in pairs):
        expected.append(NO_CALL)
    columns = [*names, NO_CALL, MALFORMED] if fits else []
    return Confusion(
        n_called,
        n_right,
        percent(n_right / n_called) if n_called else "",
        columns,
        [(row, _squares(row, columns, pairs)) for row in expected] if fits else [],
        confused[:MOST_CONFUSIONS],
        max(0, len(confused) - MOST_CONFUSIONS),
    )


def _squares(row: str, columns: list[str], pairs: Counter[tuple[str, str]]) -> list[Square]:
    total = sum(pairs[row, column] for column in columns)
    return [
        Square(n, -(-_SHADES * n // total) if n else 0, row == column)
        for column in columns
        for n in [pairs[row, column]]
    ]


def pairs_of(verdict: Verdict) -> list[tuple[str, str]]:
    """Return (expected, called) for each function of a judged answer."""
    case, parsed = verdict.case, verdict.parse
    # Where no answer is named, any call is right: there is nothing to confuse.
    if verdict.sample.error is not None or not case.expected:
        return []
    if parsed.outcome == "malformed":
        wanted = case.expected[0] if case.expects_call else []
        return [(call.name, MALFORMED) for call in wanted] or [(NO_CALL, MALFORMED)]
    if not case.expects_call and not parsed.calls:
        return [(NO_CALL, NO_CALL)]
    return [(pair.expected_name or NO_CALL, pair.called_name or NO_CALL) for pair in verdict.pairs]
