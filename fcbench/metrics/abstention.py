"""Abstention where no call is right.

Source: this project's definition; BFCL's irrelevance score also credits malformed calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcbench.types import Verdict


def abstention(verdict: Verdict) -> float | None:
    """Return 1.0 if the model wrote text and attempted no call, else 0.0.

    Over cases that expect no call; None for all others. A malformed attempt is no abstention,
    and neither is an empty answer.

    >>> abstention(verdict_of(expected=None, text="I cannot do that."))
    1.0
    >>> abstention(verdict_of(expected=None, text="call:f{"))
    0.0
    """
    if verdict.case.expects_call or verdict.sample.error is not None:
        return None
    return float(verdict.parse.outcome == "abstained")
