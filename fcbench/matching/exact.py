"""Exact match of calls after JSON normalisation.

Source: FunctionGemma mobile-actions evaluation, model card of google/functiongemma-270m-it, with
accepted-value lists and optional arguments added. Parallel calls that may come in any order are
paired by optimal assignment, never greedily.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fcbench.matching import Match
from fcbench.matching._assignment import assign
from fcbench.matching._values import Rules, compare_objects, rules_of
from fcbench.types import Call, CallPair

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.types import Case, Json, Matching

Schemas = dict[str, "Mapping[str, Json]"]


class _Answer(NamedTuple):
    """The calls against one accepted answer. They compare by how well it is met."""

    names_equal: bool
    calls_equal: bool
    nearness: float
    pairs: list[CallPair]


def match(case: Case, calls: Sequence[Call], matching: Matching) -> Match:
    """Return how the calls compare with the accepted answer that they meet best.

    A malformed turn has no calls, so it meets none.
    """
    if not case.expected:
        return Match(None, None, [])
    rules = rules_of(matching)
    schemas: Schemas = (
        {tool.name: tool.parameters for tool in case.tools} if rules.schema_defaults else {}
    )
    answers = [
        _compare(answer, calls, rules, schemas, ordered=case.ordered) for answer in case.expected
    ]
    best = max(answers, key=lambda answer: answer[:3])
    return Match(best.names_equal, best.calls_equal, best.pairs)


def _compare(
    answer: Sequence[Call], calls: Sequence[Call], rules: Rules, schemas: Schemas, *, ordered: bool
) -> _Answer:
    table = [
        [_pair((i, e), (j, c), rules, schemas) for j, c in enumerate(calls)]
        for i, e in enumerate(answer)
    ]
    gains = [[_gain(pair) for pair in row] for row in table]
    if ordered:
        chosen: list[int | None] = [i if i < len(calls) else None for i in range(len(answer))]
    else:
        chosen = assign(gains)
    pairs = [
        table[i][j]
        if j is not None
        else CallPair(i, None, wanted.name, None, compare_objects(wanted.arguments, {}))
        for i, (j, wanted) in enumerate(zip(chosen, answer, strict=True))
    ]
    spare = [j for j in range(len(calls)) if j not in chosen]
    pairs += [
        CallPair(None, j, None, calls[j].name, compare_objects({}, calls[j].arguments))
        for j in spare
    ]
    expected_names, called_names = [c.name for c in answer], [c.name for c in calls]
    if ordered:
        names_equal = expected_names == called_names
    else:
        names_equal = sorted(expected_names) == sorted(called_names)
    nearness = sum(gains[i][j] for i, j in enumerate(chosen) if j is not None) - len(spare)
    calls_equal = names_equal and all(map(_is_equal, pairs))
    return _Answer(names_equal, calls_equal, nearness, pairs)


def _pair(
    expected: tuple[int, Call], called: tuple[int, Call], rules: Rules, schemas: Schemas
) -> CallPair:
    (i, wanted), (j, made) = expected, called
    if wanted.name == made.name:
        schema = schemas.get(wanted.name)
        arguments = compare_objects(wanted.arguments, made.arguments, rules, schema)
    else:  # no argument of another function is one that is wanted
        arguments = [
            *compare_objects(wanted.arguments, {}),
            *compare_objects({}, made.arguments),
        ]
    return CallPair(i, j, wanted.name, made.name, arguments)


def _is_equal(pair: CallPair) -> bool:
    return pair.expected_name == pair.called_name and all(
        a.result == "equal" for a in pair.arguments
    )


def _gain(pair: CallPair) -> float:
    """Rank pairs: equal calls first, then the same function, then the most equal arguments."""
    if pair.expected_name != pair.called_name:
        return 0
    n_equal = sum(a.result == "equal" for a in pair.arguments)
    return (1e9 if _is_equal(pair) else 0) + 1e6 + n_equal
