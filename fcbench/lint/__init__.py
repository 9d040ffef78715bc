"""Prove that a suite can be satisfied, and find what would make its numbers lie.

>>> from fcbench.suite import load_suite
>>> [(found.kind, found.is_error, found.what) for found in lint(load_suite("original_experiment"))]
[('unmentioned', False, "'2026-01-20T15:00:00'")]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.formats import grammar_of
from fcbench.lint._answers import lint_answers, refused_calls
from fcbench.lint._duplicates import duplicates, leaks
from fcbench.lint._finding import LEVELS, Finding
from fcbench.lint._mentions import unmentioned
from fcbench.lint._satisfiable import lint_satisfiable
from fcbench.matching import check_matching

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.suite import Suite
    from fcbench.types import Case, Matching

__all__ = ["LEVELS", "Finding", "lint", "refused_calls"]


def lint(
    suite: Suite, training: Sequence[Case] = (), format: str = "functiongemma"
) -> list[Finding]:
    """Return what is wrong with a suite, case by case, errors and warnings; see LEVELS.

    Every accepted answer is written in the wire format, parsed and judged under the suite's own
    matching, and must score 1. `training` are cases that none of the suite's may repeat. UsageError
    for a format or a matching that does not exist.
    """
    check_matching(suite.matching)
    grammar_of(format)
    findings = [f for case in suite.cases for f in _of_case(case, suite.matching, format)]
    return [*findings, *duplicates(suite.cases), *leaks(suite.cases, training)]


def _of_case(case: Case, matching: Matching, format: str) -> list[Finding]:
    try:
        return [
            *lint_satisfiable(case, matching, format),
            *lint_answers(case, matching),
            *unmentioned(case),
        ]
    except RecursionError:
        return [Finding("inexpressible", case.id, "$", "nested too deep")]
