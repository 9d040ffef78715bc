"""Binomial probabilities that stay accurate in the millions.

Source: Loader, "Fast and accurate computation of binomial probabilities" (2000). Differences of
log-gammas of a million lose eight digits of sixteen; Stirling's errors and deviances lose none.
"""

from __future__ import annotations

import math

# From here on the series is exact to the last bit, below it lgamma is.
SERIES_FROM = 10
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
NEAR = 0.5


def binomial_mass(successes: int, n: int, p: float) -> float:
    """Return the probability of so many successes in n trials, 0 <= p <= 1.

    >>> round(binomial_mass(2, 4, 0.5), 12), binomial_mass(0, 3, 0.0)
    (0.375, 1.0)
    """
    if p in (0, 1):
        return float(successes == n * p)
    if successes == 0:
        return math.exp(n * math.log1p(-p))
    if successes == n:
        return math.exp(n * math.log(p))
    return math.exp(log_mass(successes, n - successes, p, 1 - p))


def log_mass(a: float, b: float, x: float, y: float) -> float:
    """Return log(Gamma(a + b + 1) / (Gamma(a + 1) Gamma(b + 1)) x^a y^b) for a, b > 0, x + y = 1.

    With whole a and b it is the binomial probability of a successes and b failures. Both x and y
    are asked for because 1 - x is not known to the last digit where x is near 1.
    """
    n = a + b
    errors = _stirling_error(n) - _stirling_error(a) - _stirling_error(b)
    deviances = _deviance(a, n * x) + _deviance(b, n * y)
    return errors - deviances - 0.5 * math.log(2 * math.pi * a * b / n)


def _stirling_error(x: float) -> float:
    """Return what Stirling's formula for log(x!) falls short by."""
    if x < SERIES_FROM:
        stirling = (x + 0.5) * math.log(x) - x + 0.5 * math.log(2 * math.pi)
        return math.lgamma(x + 1) - stirling
    return sum(term / x ** (2 * i + 1) for i, term in enumerate(STIRLING))


def _deviance(a: float, expected: float) -> float:
    """Return a log(a / expected) + expected - a, which is near 0 where the two are near."""
    if abs(a - expected) < NEAR * expected:
        return a * math.log1p((a - expected) / expected) - (a - expected)
    return a * math.log(a / expected) - (a - expected)
