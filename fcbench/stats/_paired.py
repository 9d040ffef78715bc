"""Tests of two models on the same cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

Alternative = Literal["two-sided", "greater", "less"]

# 2^16 sums take a twentieth of a second.
MOST_ENUMERATED = 16
# Sums of signed differences that are equal in theory differ in their last digits.
ROUNDING = 1e-9


def mcnemar(b: int, c: int, alternative: Alternative = "two-sided") -> float:
    """Return the exact p-value of b cases that flip one way and c the other.

    Under the null hypothesis each of them is a toss of a fair coin; cases on which the models
    agree say nothing. 1.0 where nothing flips. With "greater" it is the probability of as many as
    b or more, with "less" of as few as b or fewer.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions
    or percentages", Psychometrika 12 (1947), with binomial instead of normal probabilities.

    >>> mcnemar(6, 0)  # 2 / 2^6
    0.03125
    >>> mcnemar(3, 1)  # 2 (1 + 4) / 2^4
    0.625
    >>> mcnemar(3, 1, "greater"), mcnemar(3, 1, "less")  # (4 + 1) / 2^4, (16 - 1) / 2^4
    (0.3125, 0.9375)
    """
    if min(b, c) < 0:
        raise ValueError(f"counts of discordant pairs cannot be negative: {b}, {c}")
    least = {"two-sided": min(b, c), "greater": c, "less": b}[alternative]
    n, ways, total = b + c, 1, 0
    for k in range(least + 1):
        total += ways
        ways = ways * (n - k) // (k + 1)
    sides = 2 if alternative == "two-sided" else 1
    return min(1.0, sides * total / (1 << n))  # whole numbers: no rounding before the division


def sign_flip(
    differences: Sequence[float],
    seed: int = 0,
    resamples: int = 100_000,
    alternative: Alternative = "two-sided",
) -> float:
    """Return the p-value of paired differences, one a case, under flips of their signs.

    Under the null hypothesis the two models are exchangeable on every case. Differences of one
    size, such as -1, 0 and 1, give mcnemar's value. Others are enumerated while at most 16 are
    not 0; beyond that so many random flips are drawn, and the p-value is (k + 1) / (m + 1) where k
    of m are at least as far from 0 as what was seen, which is never 0 and never too small.
    "greater" counts only sums that are as large, "less" only those that are as small.

    Sources: Fisher, "The Design of Experiments" (1935); Phipson and Smyth, "Permutation p-values
    should never be zero", Statistical Applications in Genetics and Molecular Biology 9 (2010).

    >>> sign_flip([1, 0, 1, 1, -1]) == mcnemar(3, 1)
    True
    >>> sign_flip([1, 2, 4])  # of 8 ways, +++ and --- are as far from 0
    0.25
    >>> sign_flip([1, 2, 4], alternative="greater")  # +++ alone
    0.125
    """
    sizes = [abs(difference) for difference in differences if difference != 0]
    if len(set(sizes)) <= 1:
        above = sum(difference > 0 for difference in differences)
        return mcnemar(above, len(sizes) - above, alternative)
    # The ways are symmetric: as many have a sum as small as -x as have one as large as x.
    seen = -sum(differences) if alternative == "less" else sum(differences)
    two_sided = alternative == "two-sided"
    least = (abs(seen) if two_sided else seen) - ROUNDING * sum(sizes)
    if len(sizes) <= MOST_ENUMERATED:
        # Each way has its mirror image: the first sign can stay as it is.
        sums = [sizes[0]]
        for size in sizes[1:]:
            sums = [x + sign * size for x in sums for sign in (1, -1)]
        if two_sided:
            return sum(abs(x) >= least for x in sums) / len(sums)
        return sum((x >= least) + (-x >= least) for x in sums) / (2 * len(sums))
    drawn = _flipped(sizes, seed, resamples)
    n_as_far = int(((abs(drawn) if two_sided else drawn) >= least).sum())
    return (n_as_far + 1) / (resamples + 1)


def _flipped(sizes: Sequence[float], seed: int, resamples: int) -> NDArray[np.float64]:
    """Return the sums of random flips."""
    import numpy as np

    rng = np.random.default_rng(seed)
    sums = np.zeros(resamples)
    # All flips of one size at once: graded differences take few values.
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        sums += size * (2.0 * rng.binomial(count, 0.5, size=resamples) - count)
    return sums
