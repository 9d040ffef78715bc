"""Tallies -> estimates: a metric over the cases, with its interval and n."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.metrics import metric_names
from fcbench.stats import clustered, clustered_means, mean, pass_at_k, pass_hat_k

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fcbench.runs._tally import CaseTally, Tallies
    from fcbench.stats import Estimate, Method

EVERY_K, FEW_K, MOST_K = 10, (20, 50), 100
"""Of more repeats than ten, not each number of tries makes a line."""


def estimate(
    name: str, tallies: Tallies, interval: Method = "wilson", tag: str | None = None
) -> Estimate:
    """Return a metric over the cases (of a tag); the repeats of a case are one cluster."""
    found = list(tallies.means(name, tag))
    means = [value for value, _ in found]
    if tallies.metric(name).unit is None:
        return clustered_means(means, [n for _, n in found], method=interval)
    amount = mean([[value] for value in means])
    if amount.low is None or min(means) < 0:
        return amount
    # What is never negative has no negative mean, which Student's t does not know.
    return amount._replace(low=max(0.0, amount.low))


def estimates(
    tallies: Tallies, tags: Iterable[str]
) -> tuple[dict[str, Estimate], dict[str, dict[str, Estimate]]]:
    """Return every metric over the cases and over those of each tag; moot ones over none."""
    names = dict.fromkeys([*metric_names(), *tallies.metrics])
    overall = {name: estimate(name, tallies) for name in names}
    return overall, {
        tag: {name: estimate(name, tallies, tag=tag) for name in names} for tag in tags
    }


def passes(cases: Iterable[CaseTally]) -> dict[str, Estimate]:
    """Return pass@k and pass^k for k up to the number of repeats, if there are several.

    pass@k is the chance that one of k samples of a case is right, pass^k that all are, both
    without bias from the samples there are. A case with an error counts with fewer samples. k is
    each number up to 10, then 20, 50, 100, and the number of repeats if it is no more than 100.
    """
    counts = [(case.n_answered, case.n_right) for case in cases if case.n_answered]
    most = max((n for n, _ in counts), default=0)
    tried = [k for k in {*range(1, EVERY_K + 1), *FEW_K, MOST_K, most} if k <= min(most, MOST_K)]
    found: dict[str, Estimate] = {}
    kinds: dict[str, Callable[[int, int, int], float]] = {"pass@": pass_at_k, "pass^": pass_hat_k}
    for sign, estimator in kinds.items():
        for k in sorted(tried) if most > 1 else ():
            chances = [[estimator(n, right, k)] for n, right in counts if n >= k]
            found[f"{sign}{k}"] = clustered(chances)
    return found


def describe(estimate: Estimate) -> str:
    """Return a share in words: value, interval and n."""
    if estimate.value is None:
        return "— (over no case)"
    return f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}] of {estimate.n}"
