"""Exact match of calls after lenient repairs.

Source: this project's definition; what lenient parsing repairs stands in fcbench.parse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.metrics.argument_exact_match import argument_exact_match

if TYPE_CHECKING:
    from fcbench.types import Verdict


def argument_exact_match_lenient(verdict: Verdict) -> float | None:
    """Return argument_exact_match of the calls that lenient parsing finds.

    >>> text = render([call("f", x=1)]) + " Done."
    >>> argument_exact_match_lenient(verdict_of(expected=call("f", x=1), text=text))
    1.0
    >>> argument_exact_match_lenient(verdict_of(expected=call("f", x=2), text=text))
    0.0
    """
    return argument_exact_match(verdict.lenient or verdict)
