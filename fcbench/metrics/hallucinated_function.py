"""Calls of functions that do not exist.

Source: this project's definition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcbench.types import Verdict


LOWER_IS_BETTER = True


def hallucinated_function(verdict: Verdict) -> float | None:
    """Return 1.0 if a call names a function that no tool of the case declares, else 0.0.

    Lower is better. Over all turns that hold calls; None for all others.

    >>> hallucinated_function(verdict_of(expected=call("f"), called=call("g")))
    1.0
    >>> hallucinated_function(verdict_of(expected=call("f"), called=call("f", x=1)))
    0.0
    """
    if verdict.sample.error is not None or verdict.parse.outcome != "calls":
        return None
    declared = {tool.name for tool in verdict.case.tools}
    return float(any(call.name not in declared for call in verdict.parse.calls))
