"""What c right answers in n say about k tries."""

from __future__ import annotations

import math


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased estimate that at least one of k answers is right, if c of n were.

    Source: Chen et al., "Evaluating large language models trained on code" (2021), pass@k.
    ValueError unless 0 <= c <= n and 1 <= k <= n.

    >>> pass_at_k(4, 1, 2)  # 3 of the 6 pairs hold the right one
    0.5
    """
    _check(n, c, k)
    return (math.comb(n, k) - math.comb(n - c, k)) / math.comb(n, k)


def pass_hat_k(n: int, c: int, k: int) -> float:
    """Return the unbiased estimate that all of k answers are right, if c of n were.

    Source: Yao et al., "tau-bench: a benchmark for tool-agent-user interaction in real-world
    domains" (2024), pass^k. ValueError unless 0 <= c <= n and 1 <= k <= n.

    >>> pass_hat_k(4, 3, 2)  # 3 of the 6 pairs
    0.5
    """
    _check(n, c, k)
    return math.comb(c, k) / math.comb(n, k)


def _check(n: int, c: int, k: int) -> None:
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"{k} answers out of {n} of which {c} are right")
