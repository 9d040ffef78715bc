"""Tests of two models on the same cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# 2^16 sums take a twentieth of a second.
MOST_ENUMERATED = 16
# Sums of signed differences that are equal in theory differ in their last digits.
ROUNDING = 1e-9


def mcnemar(b: int, c: int) -> float:
    """Return the exact two-sided p-value of b cases that flip one way and c the other.

    Under the null hypothesis each of them is a toss of a fair coin; cases on which the models
    agree say nothing. 1.0 where nothing flips.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions
    or percentages", Psychometrika 12 (1947), with binomial instead of normal probabilities.

    >>> mcnemar(6, 0)  # 2 / 2^6
    0.03125
    >>> mcnemar(3, 1)  # 2 (1 + 4) / 2^4
    0.625
    """
    if min(b, c) < 0:
        raise ValueError(f"counts of discordant pairs cannot be negative: {b}, {c}")
    n, ways, total = b + c, 1, 0
    for k in range(min(b, c) + 1):
        total += ways
        ways = ways * (n - k) // (k + 1)
    return min(1.0, 2 * total / (1 << n))  # whole numbers: no rounding before the division


def sign_flip(differences: Sequence[float], seed: int = 0, resamples: int = 100_000) -> float:
    """Return the two-sided p-value of paired differences, one a case, under flips of their signs.

    Under the null hypothesis the two models are exchangeable on every case. Differences of one
    size, such as -1, 0 and 1, give mcnemar's value. Others are enumerated while at most 16 are
    not 0; beyond that so many random flips are drawn, and the p-value is (k + 1) / (m + 1) where k
    of m are at least as far from 0 as what was seen, which is never 0 and never too small.

    Sources: Fisher, "The Design of Experiments" (1935); Phipson and Smyth, "Permutation p-values
    should never be zero", Statistical Applications in Genetics and Molecular Biology 9 (2010).

    >>> sign_flip([1, 0, 1, 1, -1]) == mcnemar(3, 1)
    True
    >>> sign_flip([1, 2, 4])  # of 8 ways, +++ and --- are as far from 0
    0.25
    """
    sizes = [abs(difference) for difference in differences if difference != 0]
    if len(set(sizes)) <= 1:
        above = sum(difference > 0 for difference in differences)
        return mcnemar(above, len(sizes) - above)
    seen = abs(sum(differences)) - ROUNDING * sum(sizes)
    if len(sizes) <= MOST_ENUMERATED:
        # Each way has its mirror image: the first sign can stay as it is.
        sums = [sizes[0]]
        for size in sizes[1:]:
            sums = [x + sign * size for x in sums for sign in (1, -1)]
        return sum(abs(x) >= seen for x in sums) / len(sums)
    return (_flipped(sizes, seen, seed, resamples) + 1) / (resamples + 1)


def _flipped(sizes: Sequence[float], seen: float, seed: int, resamples: int) -> int:
    """Return how many random flips have a sum at least as far from 0 as what was seen."""
    import numpy as np

    rng = np.random.default_rng(seed)
    sums = np.zeros(resamples)
    # All flips of one size at once: graded differences take few values.
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        sums += size * (2.0 * rng.binomial(count, 0.5, size=resamples) - count)
    return int((abs(sums) >= seen).sum())
