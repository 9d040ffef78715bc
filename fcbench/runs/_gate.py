"""Thresholds: whether a model reaches them, and what to say where it does not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from fcbench.errors import RunError, UsageError, nearest
from fcbench.metrics import metric as metric_of
from fcbench.metrics import metric_names
from fcbench.runs._estimate import describe, estimate
from fcbench.runs._failures import first_cases, is_failing, kinds, where
from fcbench.stats import Method, clustered
from fcbench.text import shorten, show, visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.metrics import Metric
    from fcbench.runs._scores import Scores
    from fcbench.stats import Estimate
    from fcbench.types import Verdict

Floor = Literal["lower", "point"]
Ceiling = Literal["upper", "point"]
METHODS: tuple[str, ...] = get_args(Method)
LONGEST_ERROR = 400
BOUNDS = {"lower": "lower bound", "upper": "upper bound", "point": "point value"}


class Gate(NamedTuple):
    """What is asked of metrics: a floor where more is better, a ceiling where less is.

    `confidence` is what has to reach the threshold: the interval's "lower" or "upper" bound, or
    the "point" value itself. With `per_tag` the cases of each tag have to reach it as well, or
    those of the tags that are named.
    """

    thresholds: Mapping[str, float]
    confidence: Floor | Ceiling = "lower"
    is_ceiling: bool = False
    interval: Method = "wilson"
    per_tag: bool | Sequence[str] = False


class Miss(NamedTuple):
    """A threshold that was not reached, by all cases or by those of a tag."""

    metric: Metric
    tag: str | None
    line: str


def check(gate: Gate, scores: Scores | None = None) -> None:
    """Raise UsageError for a gate that cannot be tested; without scores, as far as names go."""
    kind = "upper" if gate.is_ceiling else "lower"
    if gate.confidence not in (kind, "point"):
        raise UsageError(f'confidence is "{kind}" or "point" here, got {gate.confidence!r}')
    if gate.interval not in METHODS:
        raise UsageError(
            f"no such interval: {gate.interval}", hint=nearest(str(gate.interval), METHODS)
        )
    if not gate.thresholds:
        raise UsageError("no threshold: name a metric, as in argument_exact_match=0.9")
    for name, threshold in gate.thresholds.items():
        metric = _metric(name, scores)
        if gate.is_ceiling:
            metric.check_ceiling()
        else:
            metric.check_floor()
        _check_number(metric, threshold)
    if scores is not None and not isinstance(gate.per_tag, bool):
        for tag in _tags(gate):
            if tag not in scores.by_tag:
                raise UsageError(
                    f"no case of {scores.suite} has the tag {visible(tag)}",
                    hint=nearest(tag, scores.by_tag),
                )


def misses(scores: Scores, gate: Gate) -> list[Miss]:
    """Return the thresholds that are missed. UsageError for a gate that cannot be tested."""
    check(gate, scores)
    named = _tags(gate)
    found = []
    for name, threshold in gate.thresholds.items():
        metric = scores.tallies.metric(name)
        for tag in (None, *(scores.by_tag if gate.per_tag is True else named)):
            got = estimate(name, scores.tallies, gate.interval, tag)
            # With every tag, those are left out whose cases the metric never asks.
            if tag is not None and not named and not got.n:
                continue
            if not _reaches(got, threshold, gate):
                found.append(Miss(metric, tag, _line(metric, tag, got, threshold, gate)))
    return found


def require(scores: Scores, gates: Sequence[Gate]) -> None:
    """Raise AssertionError unless all thresholds are reached. RunError where answers are absent."""
    __tracebackhide__ = True
    refuse_errors(scores)
    missed = [miss for gate in gates for miss in misses(scores, gate)]
    if missed:
        raise AssertionError("\n".join([*(miss.line for miss in missed), *_why(scores, missed)]))


def refuse_errors(scores: Scores, whose: str = "") -> None:
    """Raise RunError if samples have no answer: then the machinery failed and not the model."""
    __tracebackhide__ = True
    if scores.tallies.first_error is None:
        return
    _, first = scores.tallies.first_error
    kept = f" (the run: {visible(scores.folder)})" if scores.folder else ""
    raise RunError(
        f"{whose}{scores.n_errors} of {scores.n_samples} samples have no answer: "
        f"{visible(shorten(first, LONGEST_ERROR))}{kept}"
    )


def reachable(n: int, interval: Method) -> float:
    """Return the lower bound of n right answers of n."""
    return clustered([[1.0]] * n, method=interval).low or 0.0


def _metric(name: str, scores: Scores | None) -> Metric:
    if scores is not None and name in scores.metrics:
        return scores.tallies.metric(name)
    if name not in metric_names():
        raise UsageError(f"no such metric: {visible(name)}", hint=nearest(name, metric_names()))
    return metric_of(name)


def _check_number(metric: Metric, threshold: float) -> None:
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    most = 1.0 if metric.unit is None else sys.float_info.max
    if not is_number or not 0 <= threshold <= most:  # NaN is not either
        wanted = "a share from 0 to 1" if metric.unit is None else f"{metric.unit} from 0 up"
        given = shorten(show(threshold))
        raise UsageError(f"a threshold is {wanted}, got {metric.name}={given}")


def _tags(gate: Gate) -> Sequence[str]:
    """Return the tags that are named."""
    if isinstance(gate.per_tag, bool):
        return ()
    return [gate.per_tag] if isinstance(gate.per_tag, str) else gate.per_tag


def _reaches(got: Estimate, threshold: float, gate: Gate) -> bool:
    """Whether an estimate is good enough; one over no case never is."""
    by = {"lower": got.low, "upper": got.high, "point": got.value}[gate.confidence]
    return by is not None and (by <= threshold if gate.is_ceiling else by >= threshold)


def _line(metric: Metric, tag: str | None, got: Estimate, threshold: float, gate: Gate) -> str:
    of_tag = "" if tag is None else f" (tag {visible(tag)})"
    sign = "most" if gate.is_ceiling else "least"
    line = (
        f"{metric.name}{of_tag} {in_words(metric, got)} is not at {sign} {threshold:g} "
        f"({BOUNDS[gate.confidence]})"
    )
    if gate.confidence == "point" or metric.unit is not None or not got.n:
        return line
    reach = reachable(got.n, gate.interval)  # that of 0 of n is as far from 0
    if gate.is_ceiling and 1 - reach > threshold:
        return f"{line}; {_cases(got.n)} cannot prove less than {1 - reach:.1%}"
    if not gate.is_ceiling and reach < threshold:
        return f"{line}; {_cases(got.n)} cannot prove more than {reach:.1%}"
    return line


def _cases(n: int) -> str:
    return "1 case" if n == 1 else f"{n} cases"


def in_words(metric: Metric, got: Estimate) -> str:
    """Return a share, or a mean with its unit, in words."""
    if metric.unit is None or got.value is None:
        return describe(got)
    bounds = "" if got.low is None else f" [{got.low:.3g}, {got.high:.3g}]"
    unit = "" if metric.unit == metric.name else f" {metric.unit}"
    return f"{got.value:.3g}{bounds}{unit} of {got.n}"


def _why(scores: Scores, missed: Sequence[Miss]) -> list[str]:
    """Return lines on what failed: kinds, the first cases, and where there is more."""
    title = f"  {scores.label}, over {scores.n_cases} cases of {scores.suite}"
    turns = ", ".join(f"{outcome} {n}" for outcome, n in scores.outcomes.items())
    lines = [visible(title), f"  what the {scores.n_samples} turns were: {turns}"]
    if not scores.keeps_verdicts:
        lines.append("  (which cases failed is not known: the verdicts were not kept)")
        return [*lines, *where(scores, [])]
    shares = [miss for miss in missed if miss.metric.unit is None]
    if shares:
        failing = [v for v in scores.verdicts if any(_is_of(miss, v) for miss in shares)]
        if failing:
            lines.append(f"  {len(failing)} fall short ({kinds(failing)}), the first of them:")
        return [*lines, *first_cases(failing), *where(scores, failing)]
    # Of an amount every case has some: the largest come first.
    amount = missed[0].metric
    most = sorted(scores.verdicts, key=lambda v: -(amount(v) or 0.0))
    lines.append(f"  the cases with the most {amount.unit}:")
    return [*lines, *first_cases(most, amount), *where(scores, most)]


def _is_of(miss: Miss, verdict: Verdict) -> bool:
    in_tag = miss.tag is None or miss.tag in verdict.case.tags
    return in_tag and is_failing(verdict, miss.metric)
