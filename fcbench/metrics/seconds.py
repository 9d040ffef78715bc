"""The seconds that an answer took.

Source: this project's definition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcbench.types import Verdict


UNIT = "seconds"
LOWER_IS_BETTER = True


def seconds(verdict: Verdict) -> float | None:
    """Return the seconds that an answer took, its share of its batch's wall time.

    Over all answers; None where the backend did not say.

    >>> seconds(verdict_of(expected=call("f"), called=call("f"), seconds=0.25))
    0.25
    """
    if verdict.sample.error is not None or verdict.sample.seconds is None:
        return None
    return float(verdict.sample.seconds)
