"""Intervals of the difference between two models on the same cases."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from fcbench.stats._proportion import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHUNK = 2**20  # cases drawn at a time: 8 MB
BISECTIONS = 60


def paired_bootstrap(
    differences: Sequence[float],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return an interval of the mean of paired differences, one a case, cases resampled.

    The percentile interval alone claims too much where few cases differ: if all of them point one
    way, it has no room for those of the other way that happened not to be drawn. What comes back
    is therefore the hull of it and the score interval of Tango. That one is for differences of
    -1, 0 and 1; for others it is taken in a unit that keeps their mean and their mean square, so
    that many small differences widen it as little as they should. How often all three hold the
    truth is in results/benchmarks/coverage.md; of a few very skewed differences it is less.

    Where no case differs, nothing is known of the size of a difference. Taken as one of accuracy,
    its share of cases is below the upper bound of Clopper and Pearson for 0 of n, and so is the
    difference, either way. ValueError without differences.

    The interval and the exact test may disagree: of four or five flips one way it excludes 0 and
    mcnemar's p is above 0.05. The test never errs more often than it says, the interval on the
    whole. Decide by the test, and read the size from the interval.

    Sources: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7
    (1979); Tango, "Equivalence test and confidence interval for the difference in proportions for
    the paired-sample design", Statistics in Medicine 17 (1998).

    >>> low, high = paired_bootstrap([0] * 100)
    >>> round(low, 3), round(high, 3)
    (-0.036, 0.036)
    >>> low, high = paired_bootstrap([1] * 5 + [0] * 95)  # flips of five cases one way
    >>> round(low, 2), round(high, 2)
    (0.01, 0.11)
    """
    if not differences:
        raise ValueError("no differences")
    if not any(differences):
        bound = clopper_pearson(0, len(differences), confidence).high or 0.0
        return -bound, bound
    low, high = _percentiles(differences, confidence, resamples, seed)
    score_low, score_high = score_interval(differences, confidence)
    return min(low, score_low), max(high, score_high)


def non_inferiority(
    differences: Sequence[float], margin: float, resamples: int = 10_000, seed: int = 0
) -> float:
    """Return the one-sided p-value of the hypothesis that the mean is -margin or less.

    Where it is at most alpha, the mean is shown to be above -margin, and so is the lower bound of
    paired_bootstrap at confidence 1 - 2 alpha. Like that interval it is the more careful of two:
    Tango's score test, and the share of resampled means that are as low. Where no case differs it
    is the chance that none of so many would if a share of `margin` did. ValueError without
    differences, and for a margin that is not above 0.

    Sources: as of paired_bootstrap. In Tango's own example one of 44 cases differs, Z = 1.709.

    >>> round(non_inferiority([0] * 43 + [-1], 0.1), 3)
    0.044
    >>> round(non_inferiority([0] * 59, 0.05), 4)  # 0.95^59
    0.0485
    """
    if not differences:
        raise ValueError("no differences")
    if not 0 < margin < math.inf:  # NaN is not either
        raise ValueError(f"a margin is above 0, got {margin}")
    if not any(differences):
        return max(0.0, 1 - margin) ** len(differences)
    n, unit, gains, losses = _counted(differences)
    score = _score(gains, losses, n, max(-1.0, -margin / unit))
    means = _resampled(differences, resamples, seed)
    as_low = (sum(mean <= -margin for mean in means) + 1) / (resamples + 1)
    return max(1 - NormalDist().cdf(score), as_low)


def _percentiles(
    differences: Sequence[float], confidence: float, resamples: int, seed: int
) -> tuple[float, float]:
    import numpy as np

    tail = (1 - confidence) / 2
    low, high = np.quantile(_resampled(differences, resamples, seed), [tail, 1 - tail])
    return float(low), float(high)


def _resampled(differences: Sequence[float], resamples: int, seed: int) -> list[float]:
    """Return the means of so many draws of the cases."""
    import numpy as np

    rng = np.random.default_rng(seed)
    values = np.asarray(differences, dtype=float)
    n, rows = len(values), max(1, CHUNK // len(values))
    means = [
        values[rng.integers(n, size=(min(rows, resamples - done), n))].mean(axis=1)
        for done in range(0, resamples, rows)
    ]
    drawn: list[float] = np.concatenate(means).tolist()
    return drawn


def score_interval(differences: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return Tango's interval of the mean; differences of a size other than 1 are taken in a unit.

    The unit is the sum of squares over the sum of sizes, so that gains and losses counted in it
    have the mean and the mean square of the differences themselves.
    """
    n, unit, gains, losses = _counted(differences)
    z, seen = NormalDist().inv_cdf(0.5 + confidence / 2), (gains - losses) / n

    def is_low(delta: float) -> bool:
        return _score(gains, losses, n, delta) > z

    def is_not_high(delta: float) -> bool:
        return _score(gains, losses, n, delta) >= -z

    return unit * _last(is_low, -1, seen), unit * _last(is_not_high, seen, 1)


def _counted(differences: Sequence[float]) -> tuple[int, float, float, float]:
    """Return how many differences there are, their unit, and gains and losses counted in it."""
    largest = max(map(abs, differences))
    # Of the largest, so that no square overflows or vanishes.
    sizes = [abs(d) / largest for d in differences]
    unit = largest * math.fsum(size * size for size in sizes) / math.fsum(sizes)
    gains = math.fsum(d for d in differences if d > 0) / unit
    losses = math.fsum(-d for d in differences if d < 0) / unit
    return len(differences), unit, gains, losses


def _score(gains: float, losses: float, n: int, delta: float) -> float:
    """Return how many standard deviations the difference is above delta, if delta is true."""
    # The likeliest share of losses under a difference of delta solves 2 n q^2 + B q + C = 0.
    linear = (2 * n - gains + losses) * delta - gains - losses
    constant = -losses * delta * (1 - delta)
    losing = (math.sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * losing + delta * (1 - delta))
    distance = gains - losses - n * delta
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)


def _last(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return where between low and high a condition that holds at first stops holding."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2
