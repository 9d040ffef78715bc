"""How often an interval holds what it should."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING

from fcbench.stats._binomial import binomial_mass
from fcbench.stats._proportion import BOUNDS, Method

if TYPE_CHECKING:
    from collections.abc import Sequence


def coverage(method: Method, n: int, p: float, confidence: float = 0.95) -> float:
    """Return the probability that the interval of n coin tosses holds p, 0 <= p <= 1.

    Exact: the sum of the probabilities of all outcomes whose interval holds p. It jumps where an
    interval ends, so that the least coverage of all is found beside those ends.

    Source: Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", Statistical
    Science 16 (2001).

    >>> round(coverage("wilson", 1, 0.5), 12)  # [0, 0.79] and [0.21, 1] both hold it
    1.0
    >>> round(coverage("wilson", 1, 0.1), 12)  # only the first does
    0.9
    """
    bounds = ends(method, n, confidence)
    # Both bounds rise with the successes.
    first = bisect_left(bounds, p, key=itemgetter(1))
    last = bisect_right(bounds, p, key=itemgetter(0))
    if p in (0, 1) or first == last:
        return float(first < last)
    # From one probability to the next: what is covered is likely, so that none underflows.
    masses = [binomial_mass(first, n, p)]
    for k in range(first, last - 1):
        masses.append(masses[-1] * (n - k) / (k + 1) * p / (1 - p))
    return math.fsum(masses)


@lru_cache(maxsize=16)
def ends(method: Method, n: int, confidence: float = 0.95) -> Sequence[tuple[float, float]]:
    """Return the ends of the intervals of 0 to n successes."""
    return [BOUNDS[method](successes, n, confidence) for successes in range(n + 1)]
