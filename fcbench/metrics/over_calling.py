"""More calls than are right.

Source: this project's definition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcbench.types import Verdict


LOWER_IS_BETTER = True


def over_calling(verdict: Verdict) -> float | None:
    """Return 1.0 if the model called more often than an accepted answer does, else 0.0.

    Lower is better. Over all cases that say which calls are right. Where none is, a malformed
    attempt is one call too many; where some are, it is no call.

    >>> over_calling(verdict_of(expected=call("f"), called=[call("f"), call("f")]))
    1.0
    >>> over_calling(verdict_of(expected=None, text="call:f{"))
    1.0
    >>> over_calling(verdict_of(expected=call("f"), called=call("g")))
    0.0
    """
    if verdict.sample.error is not None or not verdict.case.expected:
        return None
    if not verdict.case.expects_call:
        failure = verdict.parse.failure
        is_empty = failure is not None and failure.kind == "empty_output"
        return float(verdict.parse.outcome != "abstained" and not is_empty)
    return float(len(verdict.parse.calls) > max(map(len, verdict.case.expected)))
