"""Exact match of calls after JSON normalisation.

Source: FunctionGemma mobile-actions evaluation, model card of google/functiongemma-270m-it, with
accepted-value lists and optional arguments added. Parallel calls that may come in any order are
paired by optimal assignment, ordered ones by optimal alignment, never greedily.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.matching import Match
from fcbench.matching._assignment import align, assign
from fcbench.matching._pairs import gain, is_equal, lay_out, nearness, table_of
from fcbench.matching._values import compare_objects, rules_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.matching._pairs import Compare
    from fcbench.types import ArgumentVerdict, Call, Case, Matching


def match(case: Case, calls: Sequence[Call], matching: Matching) -> Match:
    """Return how the calls compare with the accepted answer that they meet best.

    A malformed turn has no calls, so it meets none.
    """
    if not case.expected:
        return Match(None, None, [])
    rules = rules_of(matching)
    schemas = {tool.name: tool.parameters for tool in case.tools} if rules.schema_defaults else {}

    def compare(wanted: Call, made: Call) -> list[ArgumentVerdict]:
        return compare_objects(wanted.arguments, made.arguments, rules, schemas.get(wanted.name))

    answers = [_compare(answer, calls, compare, ordered=case.ordered) for answer in case.expected]
    if len(answers) == 1:
        return answers[0]
    return max(answers, key=lambda found: (found.name, found.arguments, nearness(found.pairs)))


def _compare(
    answer: Sequence[Call], calls: Sequence[Call], compare: Compare, *, ordered: bool
) -> Match:
    if not calls:  # an answer holds calls: nothing is met
        return Match(
            name=False, arguments=False, pairs=lay_out([], [None] * len(answer), answer, [])
        )
    table = table_of(answer, calls, compare)
    if len(calls) == len(answer) and all(is_equal(row[i]) for i, row in enumerate(table)):
        # Most right answers come in the order in which they are listed.
        return Match(name=True, arguments=True, pairs=[row[i] for i, row in enumerate(table)])
    gains = [[gain(pair) for pair in row] for row in table]
    chosen = align(gains) if ordered else assign(gains)
    pairs = lay_out(table, chosen, answer, calls)
    expected_names, called_names = [c.name for c in answer], [c.name for c in calls]
    if ordered:
        names_equal = expected_names == called_names
    else:
        names_equal = sorted(expected_names) == sorted(called_names)
    return Match(names_equal, names_equal and all(map(is_equal, pairs)), pairs)
