"""Match of the called functions' names.

Source: FunctionGemma mobile-actions evaluation, model card of google/functiongemma-270m-it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcbench.types import Verdict


def name_match(verdict: Verdict) -> float | None:
    """Return 1.0 if the called names equal an accepted answer's names, else 0.0.

    As a list where the case is ordered, else as a multiset. None when the case expects no call.

    >>> name_match(verdict_of(expected=call("f", x=1), called=call("f", x=2)))
    1.0
    >>> name_match(verdict_of(expected=call("f"), called=call("g")))
    0.0
    """
    return None if verdict.name is None else float(verdict.name)
