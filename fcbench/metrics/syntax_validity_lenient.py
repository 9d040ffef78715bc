"""Syntax validity after lenient repairs.

Source: this project's definition; what lenient parsing repairs stands in fcbench.parse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.metrics.syntax_validity import syntax_validity

if TYPE_CHECKING:
    from fcbench.types import Verdict


def syntax_validity_lenient(verdict: Verdict) -> float | None:
    """Return 1.0 if the turn holds a call, perhaps after lenient repairs, else 0.0.

    None where syntax_validity is None. The distance to syntax_validity is what a forgiving parser
    in front of the model would win.

    >>> syntax_validity_lenient(verdict_of(expected=call("f"), text="Sure! " + render([call("f")])))
    1.0
    >>> syntax_validity_lenient(verdict_of(expected=call("f"), text="f()"))
    0.0
    """
    return syntax_validity(verdict.lenient or verdict)
