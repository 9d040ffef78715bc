"""Interval estimates of proportions."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple


class Estimate(NamedTuple):
    """A proportion in [0, 1] with its 95 % interval and the number of cases it is over.

    `value`, `low` and `high` are None when n is 0: nothing was measured, which is not 0.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


def wilson(successes: float, n: int, confidence: float = 0.95) -> Estimate:
    """Return a proportion with Wilson's score interval.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 22 (1927). Unlike the normal approximation it stays inside [0, 1] and is not empty at
    0 of n. ValueError for more successes than trials.

    >>> [round(bound, 4) for bound in wilson(8, 10)]
    [0.8, 0.4902, 0.9433, 10]
    >>> wilson(0, 0)
    Estimate(value=None, low=None, high=None, n=0)
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if n == 0:
        return Estimate(None, None, None, 0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At 0 of n and n of n the bound is exact; rounding must not push the value out of it.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Estimate(p, low, high, n)
