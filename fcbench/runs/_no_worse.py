"""Whether a run is no worse than an earlier one on the same cases, and what to say if it is.

Two questions, which are not the same. Without a margin: is it shown to be worse? (Few cases show
little, and what is not shown passes.) With one: is it shown to be worse by less than the margin?
(Few cases show little, and what is not shown fails.)
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fcbench.errors import UsageError
from fcbench.metrics import metric_names
from fcbench.runs._compare import compare
from fcbench.runs._failures import SHOWN_CASES, case_lines, is_failing, where
from fcbench.runs._gate import in_words, refuse_errors
from fcbench.runs._read import read_run
from fcbench.runs._score import score
from fcbench.stats import non_inferiority, paired_bootstrap, sign_flip, smallest_significant
from fcbench.text import shorten, visible
from fcbench.types import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.metrics import Metric
    from fcbench.runs._compare import Comparison, Flip
    from fcbench.runs._scores import Scores


class Regression(NamedTuple):
    """By which metric a run is to be no worse, how sure the test is, and by how much it may be."""

    metric: str = "argument_exact_match"
    alpha: float = 0.05
    margin: float | None = None


def baseline_of(baseline: Scores | Run | str | Path, scores: Scores, metric: str) -> Scores:
    """Return the scores of a baseline: of a run, they are by the same rules as those beside it.

    A run may be over more cases of the suite: the others are left aside.
    """
    from fcbench.runs._scores import Scores

    if isinstance(baseline, Scores):
        return baseline
    if isinstance(baseline, Run) or not Path(baseline).is_file():
        made = baseline if isinstance(baseline, Run) else read_run(baseline)
        baseline = _on_cases_of(scores, made)
    rules = scores.matching
    own = [] if metric in metric_names() else [scores.tallies.metric(metric)]
    return score(
        baseline,
        matcher=rules.matcher,
        normalise=rules.normalise,
        schema_defaults=rules.schema_defaults,
        metrics=own,
    )


def _on_cases_of(scores: Scores, made: Run) -> Run:
    asked = scores.tallies.cases
    if not asked.keys() < {case.id for case in made.cases}:
        return made
    return msgspec.structs.replace(
        made,
        cases=[case for case in made.cases if case.id in asked],
        samples=[sample for sample in made.samples if sample.case_id in asked],
    )


def require_no_worse(scores: Scores, baseline: Scores, asked: Regression) -> None:
    """Raise AssertionError where the scores are worse than the baseline's.

    RunError where either has samples without an answer. UsageError for runs over other cases, and
    for a test that no result could fail.
    """
    __tracebackhide__ = True
    check_regression(asked)
    refuse_errors(scores)
    refuse_errors(baseline, "the baseline: ")
    found = compare(baseline, scores, asked.metric)
    metric = scores.tallies.metric(asked.metric)
    if metric.unit is not None and not metric.lower_is_better:
        raise UsageError(f"nobody said whether more or less {metric.name} is better")
    told = _untested(found) if not found.n else _tested(metric, found, asked)
    if told:
        raise AssertionError("\n".join([*told, *_flips(scores, baseline, found, metric)]))


def check_regression(asked: Regression) -> None:
    """Raise UsageError for an alpha or a margin that cannot be."""
    if not 0 < asked.alpha < 0.5:  # noqa: PLR2004  beyond it, chance alone would decide
        raise UsageError(f"alpha is above 0 and below 0.5, got {asked.alpha:g}")
    if asked.margin is not None and not 0 < asked.margin < math.inf:
        raise UsageError(
            f"a margin is above 0, got {asked.margin:g}",
            hint="without a margin, a run fails that is significantly worse",
        )


def _untested(found: Comparison) -> list[str]:
    return [f"{found.metric} is over no case of both runs: nothing shows that it is no worse"]


def _tested(metric: Metric, found: Comparison, asked: Regression) -> list[str]:
    """Return what is wrong, or nothing."""
    gains = _gains(metric, found)
    return (
        _significantly_worse(metric, found, gains, asked.alpha)
        if asked.margin is None
        else _not_shown(metric, found, gains, asked)
    )


def _gains(metric: Metric, found: Comparison) -> list[float]:
    """Return by how much each case is better than in the baseline."""
    sign = -1 if metric.lower_is_better else 1
    flipped = [sign * (flip.b.value - flip.a.value) for flip in found.flips]
    return flipped + [0.0] * (found.n - len(flipped))


def _significantly_worse(
    metric: Metric, found: Comparison, gains: Sequence[float], alpha: float
) -> list[str]:
    # One side of 2 alpha is alpha.
    least = smallest_significant(found.n, 2 * alpha)
    if least is None:
        raise UsageError(
            f"{found.n} cases are too few to show any difference at alpha={alpha:g}: "
            "whatever the model does, it would pass",
            hint="more cases, or a margin",
        )
    p = sign_flip(gains, alternative="less")
    if p > alpha:
        return []
    kind = "sign-flip permutation" if found.table is None else "exact McNemar"
    lines = [
        f"{metric.name} is worse than the baseline's: {_both(metric, found)}",
        f"  p = {p:.2g} is at most {alpha:g} (one-sided {kind} test, n = {found.n})",
    ]
    if found.table is not None:
        shown = f"{100 * least:.1f} points"
        lines.append(f"  the least difference that {found.n} cases could have shown: {shown}")
    return lines


def _not_shown(
    metric: Metric, found: Comparison, gains: Sequence[float], asked: Regression
) -> list[str]:
    margin, alpha = asked.margin or 0.0, asked.alpha
    p = non_inferiority(gains, margin)
    if p <= alpha:
        return []
    low, _ = paired_bootstrap(gains, confidence=1 - 2 * alpha)
    most = _size(metric, max(0.0, -low))
    title = f"{metric.name} is not shown to be less than {_size(metric, margin)} worse"
    lines = [
        f"{title} than the baseline's: {_both(metric, found)}",
        f"  p = {p:.2g} is above {alpha:g} (one-sided non-inferiority test, n = {found.n})",
        f"  with {1 - alpha:.0%} confidence it is less than {most} worse",
    ]
    if metric.unit is None:
        least = _size(metric, 1 - alpha ** (1 / found.n))
        lines.append(f"  the least margin that {found.n} cases without a flip show: {least}")
    return lines


def _size(metric: Metric, size: float) -> str:
    return f"{100 * size:.1f} points" if metric.unit is None else f"{size:.3g} {metric.unit}"


def _both(metric: Metric, found: Comparison) -> str:
    return f"{in_words(metric, found.b)}, the baseline {in_words(metric, found.a)}"


def _flips(scores: Scores, baseline: Scores, found: Comparison, metric: Metric) -> list[str]:
    """Return lines on the cases that the two runs do not score the same, the worse ones first."""
    sign = -1 if metric.lower_is_better else 1
    worse = [flip for flip in found.flips if sign * (flip.b.value - flip.a.value) < 0]
    lines = [f"  {visible(scores.label)}; the baseline: {visible(baseline.label)}"]
    title = f"  {len(worse)} cases got worse, {len(found.flips) - len(worse)} better"
    lines.append(title if not worse else f"{title}; the first that got worse:")
    # Of a case's repeats, the first that is wrong.
    by_rank = sorted(scores.verdicts, key=lambda verdict: not is_failing(verdict, metric))
    shown = {verdict.case.id: verdict for verdict in reversed(by_rank)}
    for flip in worse[:SHOWN_CASES]:
        lines += [*case_lines(shown[flip.case_id]), *_before(flip)]
    if len(worse) > SHOWN_CASES:
        lines.append(f"  … and {len(worse) - SHOWN_CASES} more")
    lines += where(scores, [shown[flip.case_id] for flip in worse])
    if baseline.folder is not None:
        lines.append(f"  the baseline: {visible(baseline.folder)}")
    return lines


def _before(flip: Flip) -> list[str]:
    was = "right" if flip.a.reason is None else shorten(visible(flip.a.reason))
    return [f"    baseline {was}", f"             {visible(shorten(flip.a.text))}"]
