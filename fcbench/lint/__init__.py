"""Prove that a suite can be satisfied, and find what would make its numbers lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.lint._answers import lint_answers
from fcbench.lint._duplicates import duplicates, leaks
from fcbench.lint._finding import LEVELS, Finding
from fcbench.lint._mentions import unmentioned
from fcbench.lint._satisfiable import lint_satisfiable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.suite import Suite
    from fcbench.types import Case

__all__ = ["LEVELS", "Finding", "lint"]


def lint(
    suite: Suite, training: Sequence[Case] = (), format: str = "functiongemma"
) -> list[Finding]:
    """Return what is wrong with a suite, case by case, errors and warnings; see LEVELS.

    Every accepted answer is written in the wire format, parsed and judged under the suite's own
    matching, and must score 1. `training` are cases that none of the suite's may repeat. UsageError
    for a format or a matching that does not exist.
    """
    findings = [
        finding
        for case in suite.cases
        for finding in (
            *lint_satisfiable(case, suite.matching, format),
            *lint_answers(case, suite.matching),
            *unmentioned(case),
        )
    ]
    return [*findings, *duplicates(suite.cases), *leaks(suite.cases, training)]
