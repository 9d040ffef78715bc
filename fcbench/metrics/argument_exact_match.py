"""Exact match of calls, after JSON normalisation.

Source: FunctionGemma mobile-actions evaluation, model card of google/functiongemma-270m-it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcbench.types import Verdict


def argument_exact_match(verdict: Verdict) -> float | None:
    """Return 1.0 if the calls equal an accepted answer (names, keys, values), else 0.0.

    None when the case expects no call. 1 and 1.0 are equal; True and 1 are not (Python says they
    are, JSON does not).

    >>> argument_exact_match(verdict_of(expected=call("f", x=1), called=call("f", x=1.0)))
    1.0
    >>> argument_exact_match(verdict_of(expected=call("f", x=1), called=call("f", x=True)))
    0.0
    """
    return None if verdict.arguments is None else float(verdict.arguments)
