"""Estimates over cases of which each was answered several times.

Repeats of one case resemble each other, so that 5 repeats of 100 cases say less than 500 cases and
at least as much as 100. How much less is estimated from how much the cases differ.
"""

from __future__ import annotations

import math
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING

from fcbench.stats._beta import t_quantile
from fcbench.stats._estimate import Estimate
from fcbench.stats._proportion import BOUNDS, Method

if TYPE_CHECKING:
    from collections.abc import Sequence


def clustered(
    values: Sequence[Sequence[float]], confidence: float = 0.95, method: Method = "wilson"
) -> Estimate:
    """Return the mean of values in [0, 1], one sequence of repeats for each case.

    Each case counts the same, however often it was answered; n is the number of cases. The
    interval is that of `method` at an effective number of samples, p(1 - p) over the variance of
    the mean of cases. It is held between the number of cases (repeats say nothing new) and the
    number of samples (repeats are independent; where cases differ in repeats, the number of cases
    times the harmonic mean). At 0 and 1, where no variance can be seen, it is the number of
    cases. With one repeat a case the result is that of wilson or clopper_pearson, unless the
    latter rounds fractions. ValueError for a value outside [0, 1] or a case without any.

    Sources: Kish, "Survey Sampling" (1965), for the effective size; Korn and Graubard,
    "Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data", Survey Methodology 24 (1998), for the exact interval and the degrees of
    freedom; Dean and Pagano, "Evaluating confidence interval methods for binomial proportions in
    clustered surveys", J. Survey Statistics and Methodology 3 (2015), for Wilson's.

    >>> same = clustered([[1, 1], [1, 1], [0, 0]])  # 6 samples that say what 3 would
    >>> same[:3] == clustered([[1], [1], [0]])[:3]
    True
    """
    means = _case_means(values)
    if any(not 0 <= value <= 1 for repeats in values for value in repeats):
        raise ValueError("values outside [0, 1]: take mean for those")
    return clustered_means(means, list(map(len, values)), confidence, method)


def clustered_means(
    means: Sequence[float],
    sizes: Sequence[int],
    confidence: float = 0.95,
    method: Method = "wilson",
) -> Estimate:
    """Return what `clustered` does, of the mean and the number of each case's values.

    >>> clustered_means([1, 1, 0], [2, 2, 2]) == clustered([[1, 1], [1, 1], [0, 0]])
    True
    """
    if not means:
        return Estimate(None, None, None, 0)
    n, size = len(means), _effective_size(sizes, means, confidence)
    successes = math.fsum(means) * (size / n)  # of one repeat each, their plain sum to the last bit
    return Estimate(fmean(means), *BOUNDS[method](successes, size, confidence), n)


def mean(values: Sequence[Sequence[float]], confidence: float = 0.95) -> Estimate:
    """Return the mean of unbounded values such as seconds, one sequence of repeats for each case.

    Each case counts the same; n is the number of cases. The interval is Student's t over the
    means of cases: none (low and high None) with a single case, and empty where all are equal.
    ValueError for a case without values.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908).

    >>> [round(bound, 3) for bound in mean([[1], [1, 3], [3]])]  # 2 ± 4.303 / sqrt(3)
    [2.0, -0.484, 4.484, 3]
    >>> mean([[7, 9]])
    Estimate(value=8.0, low=None, high=None, n=1)
    """
    means = _case_means(values)
    if not means:
        return Estimate(None, None, None, 0)
    value, n = fmean(means), len(means)
    if n == 1:
        return Estimate(value, None, None, 1)
    half = t_quantile(0.5 + confidence / 2, n - 1) * stdev(means) / math.sqrt(n)
    return Estimate(value, value - half, value + half, n)


def _case_means(values: Sequence[Sequence[float]]) -> list[float]:
    for i, repeats in enumerate(values):
        if not repeats:
            raise ValueError(f"case {i} of {len(values)} has no value: leave it out")
    return [fmean(repeats) for repeats in values]


def _effective_size(sizes: Sequence[int], means: Sequence[float], confidence: float) -> float:
    """Return how many independent samples would say as much about the mean."""
    n, p = len(means), fmean(means)
    most = n * n / sum(1 / repeats for repeats in sizes)
    if n in (most, 1) or p in (0, 1):
        return n
    variance = stdev(means) ** 2 / n
    if variance == 0:
        return most
    # A variance from few cases is itself uncertain, as t is wider than the normal.
    tail = 0.5 + confidence / 2
    wider = t_quantile(tail, n - 1) / NormalDist().inv_cdf(tail)
    return min(most, max(n, p * (1 - p) / variance / wider**2))
