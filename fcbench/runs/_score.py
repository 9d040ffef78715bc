"""Samples -> scores: a pure function, run as often as wanted, without the model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.errors import RunError, UsageError, nearest
from fcbench.formats import parse
from fcbench.matching import judge
from fcbench.metrics import metric, metric_names
from fcbench.runs._outputs import read_outputs, to_samples
from fcbench.runs._read import read_run
from fcbench.stats import Estimate, wilson
from fcbench.suite import Suite, load_suite
from fcbench.types import Decoding, Json, Parse, Run, Sample, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pandas as pd

    from fcbench.types import Case

SHOWN_FAILURES = 5


class Scores(msgspec.Struct, frozen=True):
    """The numbers of one run, and the verdicts that they come from.

    `metrics` maps each metric to its estimate; one over no case has value None. `by_tag` holds
    the same for the cases of each tag. `outcomes` counts what the turns were: calls, abstained,
    each kind of failure, and error. `n_errors` counts cases without an answer, which are in no
    metric: the machinery failed there, not the model.
    """

    suite: str
    metrics: dict[str, Estimate]
    by_tag: dict[str, dict[str, Estimate]]
    outcomes: dict[str, int]
    n_cases: int
    n_errors: int
    verdicts: list[Verdict]
    texts: list[str]
    manifest: dict[str, Json] = {}

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a case: id, tags, text, outcome, why it is wrong, every metric."""
        import pandas as pd

        names = list(self.metrics)
        rows = [
            {
                "case_id": verdict.case_id,
                "repeat": verdict.repeat,
                "tags": list(verdict.tags),
                "text": text,
                "outcome": outcome_of(verdict),
                "offset": _offset(verdict),
                "reason": None if _is_right(verdict) else reason(verdict),
                "error": verdict.error,
                **{name: self._value(name, verdict) for name in names},
            }
            for verdict, text in zip(self.verdicts, self.texts, strict=True)
        ]
        return pd.DataFrame(rows)

    def _value(self, name: str, verdict: Verdict) -> float | None:
        return metric(name)(verdict) if self.metrics[name].n else None

    def assert_at_least(self, **thresholds: float) -> None:
        """Raise AssertionError unless each metric's lower bound reaches its threshold.

        The message holds the metric, its interval, n, and the first failing cases. RunError when
        some cases have no answer, because then the machinery failed and not the model; UsageError
        for an unknown metric.
        """
        __tracebackhide__ = True  # pytest shows the caller's line, not ours
        if self.n_errors:
            raise RunError(
                f"{self.n_errors} of {self.n_cases} cases have no answer: {self._first_error()}"
            )
        missed = self.missed(thresholds)
        if missed:
            raise AssertionError("\n".join([*missed, *self._failing(thresholds)]))

    def missed(self, thresholds: Mapping[str, float]) -> list[str]:
        """Return a line for each metric whose interval's lower bound is below its threshold."""
        lines = []
        for name, threshold in thresholds.items():
            if name not in self.metrics:
                raise UsageError(f"no such metric: {name}", hint=nearest(name, self.metrics))
            found = self.metrics[name]
            if found.low is None or found.low < threshold:
                reach = wilson(found.n, found.n).low or 0.0
                line = f"{name} {describe(found)} is not at least {threshold:g} (lower bound)"
                unreachable = f"; {found.n} cases cannot prove more than {reach:.1%}"
                lines.append(line + (unreachable if reach < threshold else ""))
        return lines

    def _first_error(self) -> str:
        return next(f"{v.case_id}: {v.error}" for v in self.verdicts if v.error is not None)

    def _failing(self, thresholds: Mapping[str, float]) -> list[str]:
        """Return lines on the first cases that score 0 in one of the metrics."""
        judged = [(name, metric(name)) for name in thresholds]
        lines = []
        for verdict, text in zip(self.verdicts, self.texts, strict=True):
            lost = [name for name, function in judged if function(verdict) == 0]
            if lost:
                lines.append(f"  {verdict.case_id}: {reason(verdict)}\n    got: {shorten(text)!r}")
        rest = len(lines) - SHOWN_FAILURES
        return lines[:SHOWN_FAILURES] + ([f"  … and {rest} more"] if rest > 0 else [])


def score(
    run_or_outputs: Run | str | Path | Mapping[str, str] | Iterable[Mapping[str, Any] | Sample],
    suite: str | Path | Suite | None = None,
    format: str | None = None,
    matcher: str = "exact",
) -> Scores:
    """Return the scores of a run, of a run's folder, or of outputs made elsewhere.

    Outputs are a mapping of case id to text, records with `id` (or `case_id`) and `text`, or the
    path of such records as JSON lines; they need `suite`. A Run brings its suite and format;
    naming others judges it by those. A case without an output counts as an error, not as a wrong
    answer. UsageError for an output whose id the suite does not have, and for two of one case.
    """
    if isinstance(run_or_outputs, str | Path):
        path = Path(run_or_outputs)
        run_or_outputs = read_outputs(path) if path.is_file() else read_run(path)
    manifest: dict[str, Json] = {}
    if isinstance(run_or_outputs, Run):
        manifest = run_or_outputs.manifest
        cases, samples = run_or_outputs.cases, run_or_outputs.samples
        name = manifest["suite"]["name"]
        format = format or manifest["format"]["name"]
        if suite is not None:
            other = suite if isinstance(suite, Suite) else load_suite(suite)
            ids = {case.id for case in cases}
            name, cases = other.name, [case for case in other.cases if case.id in ids]
    else:
        if suite is None:
            raise UsageError(
                "outputs alone do not say what was asked", hint="score(outputs, suite=…)"
            )
        loaded = suite if isinstance(suite, Suite) else load_suite(suite)
        name, cases, samples = loaded.name, loaded.cases, to_samples(run_or_outputs)
    return _score(name, cases, samples, format or "functiongemma", matcher, manifest)


def _score(  # noqa: PLR0913
    name: str,
    cases: Sequence[Case],
    samples: Sequence[Sample],
    format: str,
    matcher: str,
    manifest: dict[str, Json],
) -> Scores:
    absent = "not answered yet: go on with --resume" if manifest else "no output was given"
    by_id = {case.id: case for case in cases}
    for sample in samples:
        if sample.case_id not in by_id:
            raise UsageError(
                f"the suite {name} has no case {sample.case_id}", nearest(sample.case_id, by_id)
            )
    given: dict[str, list[Sample]] = {}
    for sample in samples:
        given.setdefault(sample.case_id, []).append(sample)
    verdicts, texts = [], []
    for case in cases:
        for sample in given.get(case.id, [Sample(case.id, error=absent)]):
            verdicts.append(judge(case, sample, _parse(sample, format), matcher))
            texts.append(sample.text)
    tags = sorted({tag for case in cases for tag in case.tags})
    # A model that was held to calls could not abstain: that says nothing of it.
    moot = {"abstention"} if manifest and not _could_abstain(manifest) else set()
    return Scores(
        suite=name,
        metrics=estimates(verdicts, moot),
        by_tag={tag: estimates([v for v in verdicts if tag in v.tags], moot) for tag in tags},
        outcomes=dict(Counter(map(outcome_of, verdicts)).most_common()),
        n_cases=len(cases),
        n_errors=sum(verdict.error is not None for verdict in verdicts),
        verdicts=verdicts,
        texts=texts,
        manifest=manifest,
    )


def _parse(sample: Sample, format: str) -> Parse:
    if sample.native_calls is not None and not sample.text:
        return Parse("calls" if sample.native_calls else "abstained", sample.native_calls)
    return parse(sample.text, format, "strict", sample.stop)


def _could_abstain(manifest: Mapping[str, Json]) -> bool:
    return Decoding(manifest["decoding"]["mode"]).may_abstain


def estimates(verdicts: Sequence[Verdict], moot: Collection[str] = ()) -> dict[str, Estimate]:
    """Return every metric over the verdicts, with its interval and n; a moot one is over none."""
    found = {}
    for name in metric_names():
        function = metric(name)
        judged = [] if name in moot else verdicts
        values = [value for value in map(function, judged) if value is not None]
        found[name] = wilson(sum(values), len(values))
    return found


def outcome_of(verdict: Verdict) -> str:
    """Return calls, abstained, error, or the kind of failure."""
    if verdict.error is not None:
        return "error"
    failure = verdict.parse.failure
    return verdict.parse.outcome if failure is None else failure.kind


def _is_right(verdict: Verdict) -> bool:
    if verdict.expects_call:
        return verdict.arguments is True
    return verdict.parse.outcome == "abstained" and verdict.error is None


def _offset(verdict: Verdict) -> int | None:
    failure = verdict.parse.failure
    return None if failure is None or verdict.error is not None else failure.offset


def describe(estimate: Estimate) -> str:
    """Return an estimate in words: value, interval and n."""
    if estimate.value is None:
        return "— (over no case)"
    return f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}] of {estimate.n}"


def reason(verdict: Verdict) -> str:
    """Return in a line why a verdict is not right."""
    if verdict.error is not None:
        return f"no answer: {verdict.error}"
    failure = verdict.parse.failure
    if failure is not None:
        instead = f"expected {failure.expected}, found {failure.found!r}"
        return f"{failure.kind} at {failure.offset}: {instead}"
    if verdict.parse.outcome == "abstained":
        return "no call was attempted"
    for pair in verdict.pairs:
        if pair.expected_name != pair.called_name:
            called = pair.called_name or "nothing"
            return f"expected {pair.expected_name or 'no further call'}, called {called}"
        for argument in pair.arguments:
            if argument.result != "equal":
                where = f"{pair.expected_name}.{argument.path}: {argument.result}"
                return (
                    f"{where}: expected {_show(argument.expected)}, called {_show(argument.called)}"
                )
    return "calls where none was right"


def _show(value: Json) -> str:
    try:
        return shorten(repr(value))
    except ValueError:  # CPython does not print integers of more than 4,300 digits
        return "a number too long to show"


def shorten(text: str, length: int = 160) -> str:
    """Return a text cut to a length, with … where something is missing."""
    return text if len(text) <= length else text[: length - 1] + "…"
