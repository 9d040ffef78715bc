"""Verdicts -> estimates: a metric over them, with its interval and n."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.metrics import metric, metric_names, unit_of
from fcbench.stats import clustered, mean, pass_at_k, pass_hat_k

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from fcbench.stats import Estimate, Method
    from fcbench.types import Verdict


def estimate(name: str, verdicts: Iterable[Verdict], interval: Method = "wilson") -> Estimate:
    """Return a metric over the verdicts; the repeats of a case are one cluster."""
    function = metric(name)
    return _estimate(name, ((v.case.id, function(v)) for v in verdicts), interval)


def estimates(
    verdicts: Sequence[Verdict], tags: Iterable[str], moot: Collection[str]
) -> tuple[dict[str, Estimate], dict[str, dict[str, Estimate]]]:
    """Return every metric over the verdicts and over those of each tag; moot ones over none."""
    overall: dict[str, Estimate] = {}
    by_tag: dict[str, dict[str, Estimate]] = {tag: {} for tag in tags}
    for name in metric_names():
        function = metric(name)
        judged = [] if name in moot else [(v, function(v)) for v in verdicts]
        overall[name] = _estimate(name, ((v.case.id, value) for v, value in judged))
        for tag, found in by_tag.items():
            of_tag = ((v.case.id, value) for v, value in judged if tag in v.case.tags)
            found[name] = _estimate(name, of_tag)
    return overall, by_tag


def _estimate(
    name: str, values: Iterable[tuple[str, float | None]], interval: Method = "wilson"
) -> Estimate:
    clusters: dict[str, list[float]] = {}
    for case_id, value in values:
        if value is not None:
            clusters.setdefault(case_id, []).append(value)
    by_case = list(clusters.values())
    if unit_of(name) is None:
        return clustered(by_case, method=interval)
    found = mean(by_case)
    # No quantity here is negative, which Student's t does not know.
    return found if found.low is None else found._replace(low=max(0.0, found.low))


def passes(verdicts: Iterable[Verdict]) -> dict[str, Estimate]:
    """Return pass@k and pass^k for each k up to the number of repeats, if there are several.

    pass@k is the chance that one of k samples of a case is right, pass^k that all are, both
    without bias from the samples there are. A case with an error counts with fewer samples.
    """
    right: dict[str, list[bool]] = {}
    for verdict in verdicts:
        if verdict.sample.error is None:
            right.setdefault(verdict.case.id, []).append(verdict.is_right)
    most = max(map(len, right.values()), default=0)
    found: dict[str, Estimate] = {}
    kinds: dict[str, Callable[[int, int, int], float]] = {"pass@": pass_at_k, "pass^": pass_hat_k}
    for sign, estimator in kinds.items():
        for k in range(1, most + 1) if most > 1 else ():
            chances = [[estimator(len(r), sum(r), k)] for r in right.values() if len(r) >= k]
            found[f"{sign}{k}"] = clustered(chances)
    return found


def describe(estimate: Estimate) -> str:
    """Return a share in words: value, interval and n."""
    if estimate.value is None:
        return "— (over no case)"
    return f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}] of {estimate.n}"
