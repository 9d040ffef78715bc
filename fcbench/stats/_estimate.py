"""What every interval comes back as."""

from __future__ import annotations

from typing import NamedTuple


class Estimate(NamedTuple):
    """A number with its 95 % interval and the number of cases it is over.

    `value`, `low` and `high` are None when n is 0: nothing was measured, which is not 0. The
    mean of a single case has a value but no interval.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
