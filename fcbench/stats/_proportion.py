"""Interval estimates of one proportion."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from fcbench.stats._beta import beta_quantile
from fcbench.stats._estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    Bounds = Callable[[float, float, float], tuple[float, float]]

Method = Literal["wilson", "clopper-pearson"]

# With fewer successes than this, the lower bound is below 1e-100.
HAIR = 0.01


def wilson(successes: float, n: int, confidence: float = 0.95) -> Estimate:
    """Return a proportion with Wilson's score interval.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 22 (1927). Unlike the normal approximation it stays inside [0, 1] and is not empty at
    0 of n. Successes may be fractional, a sum of values in [0, 1]: the interval is then
    conservative, since no variable on [0, 1] varies more than a coin of the same mean.
    ValueError for more successes than trials.

    >>> [round(bound, 4) for bound in wilson(8, 10)]
    [0.8, 0.4902, 0.9433, 10]
    >>> wilson(0, 0)
    Estimate(value=None, low=None, high=None, n=0)
    """
    return _estimate(successes, n, confidence, wilson_bounds)


def clopper_pearson(successes: float, n: int, confidence: float = 0.95) -> Estimate:
    """Return a proportion with the exact interval of Clopper and Pearson.

    Source: Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case
    of the binomial", Biometrika 26 (1934). It never covers less than `confidence`, and mostly
    more. Fractional successes are rounded outward, down for the lower bound and up for the upper
    one, so that a gate on a graded metric gets a wider interval and not an exception. ValueError
    for more successes than trials.

    At 0 of n the upper bound is 1 - 0.025^(1/n).

    >>> [round(bound, 4) for bound in clopper_pearson(0, 10)]
    [0.0, 0.0, 0.3085, 10]
    >>> clopper_pearson(7.5, 10)[1:3] == (clopper_pearson(7, 10).low, clopper_pearson(8, 10).high)
    True
    """
    return _estimate(successes, n, confidence, _outward)


def _estimate(successes: float, n: int, confidence: float, bounds: Bounds) -> Estimate:
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if n == 0:
        return Estimate(None, None, None, 0)
    return Estimate(successes / n, *bounds(successes, n, confidence), n)


def wilson_bounds(successes: float, n: float, confidence: float) -> tuple[float, float]:
    """Return Wilson's bounds; both counts may be fractional, n > 0."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At 0 of n and n of n the bound is exact; rounding must not push the value out of it.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def exact_bounds(successes: float, n: float, confidence: float) -> tuple[float, float]:
    """Return the bounds of Clopper and Pearson; fractional counts as in Korn and Graubard."""
    tail = (1 - confidence) / 2
    failures = n - successes
    low = beta_quantile(tail, successes, failures + 1) if successes > HAIR else 0.0
    high = beta_quantile(1 - tail, successes + 1, failures) if failures > HAIR else 1.0
    return low, high


def _outward(successes: float, n: float, confidence: float) -> tuple[float, float]:
    low, _ = exact_bounds(math.floor(successes), n, confidence)
    _, high = exact_bounds(math.ceil(successes), n, confidence)
    return low, high


BOUNDS: dict[Method, Bounds] = {"wilson": wilson_bounds, "clopper-pearson": exact_bounds}
