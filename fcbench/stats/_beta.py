"""The beta distribution: where exact binomial intervals and Student's t come from.

Sources: the continued fraction is that of Didonato and Morris, "Algorithm 708: significant digit
computation of the incomplete beta function ratios", ACM TOMS 18 (1992), which does not cancel where
x is near 1 as the usual one does, evaluated from the front as by Lentz (1976); the quantile is
Newton's method on log F over the log odds. scipy has both, and weighs more than fcbench.
"""

from __future__ import annotations

import math

from fcbench.stats._binomial import log_mass

# It takes some multiple of sqrt(a + b) steps, a few thousand in the millions.
MOST_FRACTIONS = 100_000
FRACTION_PRECISION = 1e-15
MOST_STEPS = 200
# Newton's error is squared in each step: after one this small, nothing is left to mend.
LAST_STEP = 1e-11
TINY = 1e-300
HALF = 0.5


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), for a, b > 0.

    I_x(a, 1) is x^a, and P(Bin(n, p) <= k) is I_{1 - p}(n - k, k + 1).

    >>> round(beta_cdf(0.5, 3, 1), 12)
    0.125
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    return math.exp(_log_cdf(x, 1 - x, a, b))


def beta_quantile(q: float, a: float, b: float) -> float:
    """Return the x with I_x(a, b) = q, for a, b > 0 and 0 < q < 1.

    >>> round(beta_quantile(0.125, 3, 1), 12)
    0.5
    """
    return _expit(_log_odds(q, a, b))


def t_quantile(q: float, degrees: float) -> float:
    """Return the quantile of Student's t, for 1/2 < q < 1; degrees of freedom > 0.

    >>> round(t_quantile(0.75, 1), 12)  # Cauchy's quartile
    1.0
    """
    # P(|T| > t) = I_x(degrees / 2, 1 / 2) at x = degrees / (degrees + t^2).
    return math.sqrt(degrees * math.exp(-_log_odds(2 * (1 - q), degrees / 2, HALF)))


def _log_odds(q: float, a: float, b: float) -> float:
    """Return log(x / (1 - x)) of the q-quantile x.

    The density of the log odds is log-concave, so log F is concave in them: wherever Newton's
    method starts, its first step lands left of the root and all others approach it from there.
    """
    if q > HALF:
        return -_log_odds(1 - q, b, a)
    theta = math.log(a / b)
    for _ in range(MOST_STEPS):
        x, y = _expit(theta), _expit(-theta)
        log_cdf = _log_cdf(x, y, a, b)
        step = (math.log(q) - log_cdf) * math.exp(log_cdf - _log_slope(x, y, a, b))
        theta += step
        if abs(step) < LAST_STEP:
            break
    return theta


def _log_cdf(x: float, y: float, a: float, b: float) -> float:
    # The fraction converges fast below the mean; above it, the other tail is below its own.
    if a * y > b * x:
        return _log_slope(x, y, a, b) - math.log(_fraction(x, y, a, b))
    return math.log1p(-math.exp(_log_slope(x, y, a, b) - math.log(_fraction(y, x, b, a))))


def _log_slope(x: float, y: float, a: float, b: float) -> float:
    """Return log(x^a y^b / B(a, b)): the density of the log odds."""
    return log_mass(a, b, x, y) + math.log(a * b / (a + b))


def _fraction(x: float, y: float, a: float, b: float) -> float:
    """Return x^a y^b / (B(a, b) I_x(a, b)), for x at most the mean."""
    value = c = a * (a * y - b * x + 1) / (a + 1)
    d = 0.0
    for m in range(1, MOST_FRACTIONS):
        over = a + 2 * m
        above = (a + m - 1) * (a + b + m - 1) * m * (b - m) * (x / (over - 1)) ** 2
        below = m + m * (b - m) * x / (over - 1)
        below += (a + m) * (a * y - b * x + 1 + m * (1 + y)) / (over + 1)
        d = 1 / _not_zero(below + above * d)
        c = _not_zero(below + above / c)
        value *= c * d
        if abs(c * d - 1) < FRACTION_PRECISION:
            break
    return value


def _not_zero(x: float) -> float:
    return x if abs(x) > TINY else TINY


def _expit(theta: float) -> float:
    return 1 / (1 + math.exp(-theta)) if theta > 0 else math.exp(theta) / (1 + math.exp(theta))
