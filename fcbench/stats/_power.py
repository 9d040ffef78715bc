"""What a comparison over so many cases can show at all."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

from fcbench.stats._beta import beta_cdf
from fcbench.stats._binomial import binomial_mass
from fcbench.stats._paired import mcnemar

# Numbers of discordant pairs further out are rarer than one in 10^8.
WINDOW_SDS = 6
# A case at a time is all that can be seen; a hundredth of one is precise.
FRACTION_OF_CASE = 0.01
ROUNDING = 1e-9


def smallest_significant(n: int, alpha: float = 0.05) -> float | None:
    """Return the least difference over n cases that can be significant: all flips go one way.

    None where even n flips one way are not.

    >>> smallest_significant(100)  # 2 / 2^6 = 0.031
    0.06
    >>> smallest_significant(5) is None  # 2 / 2^5 = 0.063
    True
    """
    flips = _least_flips(n, alpha)
    return None if flips is None else flips / n


def detectable_difference(
    n: int, discordant_share: float, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """Return the smallest true difference in accuracy that would have been shown over n cases.

    Shown means that the exact McNemar test over the same cases is significant at `alpha`, in the
    right direction, with probability `power`, while a share of cases flips. A difference larger
    than that share raises it to itself. None where even n flips one way are not significant.

    Source: the exact unconditional power, as in Duffy, "Asymptotic and exact power for the
    McNemar test and its analogue with R controls per case", Biometrics 40 (1984).

    >>> round(detectable_difference(100, 0.2), 3)
    0.128
    """
    if not 0 <= discordant_share <= 1:
        raise ValueError(f"a share lies between 0 and 1: {discordant_share}")
    if _least_flips(n, alpha) is None:
        return None
    low, high = 0.0, 1.0
    while high - low > FRACTION_OF_CASE / n:
        middle = (low + high) / 2
        if _power(n, middle, max(middle, discordant_share), alpha) < power:
            low = middle
        else:
            high = middle
    return high


def _least_flips(n: int, alpha: float) -> int | None:
    return next((flips for flips in range(1, n + 1) if mcnemar(flips, 0) <= alpha), None)


@lru_cache(maxsize=2**16)
def _most_against(flips: int, alpha: float) -> int:
    """Return how many of the flips may go against the others in a significant result, or -1."""
    # The normal approximation is off by one or two: too many to begin with, then down.
    sds = NormalDist().inv_cdf(min(1.0, alpha) / 2)
    k = min((flips - 1) // 2, math.ceil((flips + sds * math.sqrt(flips)) / 2) + 2)
    while k >= 0 and 2 * beta_cdf(0.5, flips - k, k + 1) > alpha * (1 + ROUNDING):
        k -= 1
    return k


def _power(n: int, difference: float, share: float, alpha: float) -> float:
    """Return the probability of a significant difference in the right direction."""
    against = (1 - difference / share) / 2
    reach = WINDOW_SDS * math.sqrt(n * share * (1 - share)) + 1
    flips = range(max(1, math.floor(n * share - reach)), min(n, math.ceil(n * share + reach)) + 1)
    return sum(
        binomial_mass(m, n, share) * beta_cdf(1 - against, m - k, k + 1)
        for m in flips
        if (k := _most_against(m, alpha)) >= 0
    )
