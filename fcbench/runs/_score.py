"""Samples -> scores: a pure function, run as often as wanted, without the model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from fcbench.errors import UsageError, nearest
from fcbench.formats import parse, sorts_keys
from fcbench.matching import judge
from fcbench.runs._estimate import estimates, passes
from fcbench.runs._outputs import read_outputs, to_samples
from fcbench.runs._read import matching_of, read_run
from fcbench.runs._reason import outcome_of
from fcbench.runs._scores import Scores
from fcbench.suite import Suite, load_suite
from fcbench.types import Decoding, Json, Matching, Parse, Run, Sample, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fcbench.types import Case

FREE_TO_ABSTAIN = ("abstention", "over_calling")


class _Evidence(NamedTuple):
    """What is judged, and by what."""

    suite: str
    sha256: str
    cases: Sequence[Case]
    samples: Sequence[Sample]
    format: str
    matching: Matching
    manifest: dict[str, Json]


def score(  # noqa: PLR0913  the public name; all but the first are seldom given
    run_or_outputs: Run | str | Path | Mapping[str, str] | Iterable[Mapping[str, Any] | Sample],
    suite: str | Path | Suite | None = None,
    format: str | None = None,
    matcher: str | None = None,
    *,
    normalise: Sequence[str] | None = None,
    schema_defaults: bool | None = None,
) -> Scores:
    """Return the scores of a run, of a run's folder, or of outputs made elsewhere.

    Outputs are a mapping of case id to text, records with `id` (or `case_id`) and `text`, or the
    path of such records as JSON lines; they need `suite`. A Run brings its suite, format and
    matching; naming others judges it by those, see Matching. A case without an output counts as
    an error, not as a wrong answer. UsageError for an output whose id the suite does not have,
    for two of one case and repeat, and for names that do not exist.
    """
    evidence = _evidence(run_or_outputs, suite, format)
    given = {"matcher": matcher, "schema_defaults": schema_defaults}
    if normalise is not None:
        given["normalise"] = tuple(sorted(set(normalise)))  # type: ignore[assignment]
    chosen = {name: value for name, value in given.items() if value is not None}
    matching = msgspec.structs.replace(evidence.matching, **chosen)
    return _score(evidence._replace(matching=matching))


def _evidence(
    run_or_outputs: Run | str | Path | Mapping[str, str] | Iterable[Mapping[str, Any] | Sample],
    suite: str | Path | Suite | None,
    format: str | None,
) -> _Evidence:
    if isinstance(run_or_outputs, str | Path):
        path = Path(run_or_outputs)
        run_or_outputs = read_outputs(path) if path.is_file() else read_run(path)
    loaded = suite if isinstance(suite, Suite) or suite is None else load_suite(suite)
    if not isinstance(run_or_outputs, Run):
        if loaded is None:
            raise UsageError(
                "outputs alone do not say what was asked", hint="score(outputs, suite=…)"
            )
        samples = to_samples(run_or_outputs)
        chosen = format or "functiongemma"
        return _Evidence(
            loaded.name, loaded.sha256, loaded.cases, samples, chosen, loaded.matching, {}
        )
    manifest = run_or_outputs.manifest
    found = _Evidence(
        manifest["suite"]["name"],
        manifest["suite"]["sha256"],
        run_or_outputs.cases,
        run_or_outputs.samples,
        format or manifest["format"]["name"],
        matching_of(manifest),
        manifest,
    )
    if loaded is None:
        return found
    ids = {case.id for case in found.cases}
    return found._replace(
        suite=loaded.name,
        sha256=loaded.sha256,
        cases=[case for case in loaded.cases if case.id in ids],
        matching=loaded.matching,
    )


def _score(evidence: _Evidence) -> Scores:
    cases, manifest = evidence.cases, evidence.manifest
    verdicts = _verdicts(evidence)
    tags = sorted({tag for case in cases for tag in case.tags})
    moot = _moot(evidence)
    metrics, by_tag = estimates(verdicts, tags, moot)
    # Who could not abstain is not asked whether one try in k did.
    tried = [v for v in verdicts if v.case.expects_call or "abstention" not in moot]
    return Scores(
        suite=evidence.suite,
        suite_sha256=evidence.sha256,
        metrics=metrics,
        by_tag=by_tag,
        passes=passes(tried),
        outcomes=dict(Counter(map(outcome_of, verdicts)).most_common()),
        n_cases=len(cases),
        n_errors=sum(verdict.sample.error is not None for verdict in verdicts),
        verdicts=verdicts,
        matching=evidence.matching,
        manifest=manifest,
    )


def _verdicts(evidence: _Evidence) -> list[Verdict]:
    """Return a verdict for each sample, in the order of the cases and repeats."""
    by_id = {case.id: case for case in evidence.cases}
    given: dict[str, list[Sample]] = {}
    for sample in evidence.samples:
        if sample.case_id not in by_id:
            raise UsageError(
                f"the suite {evidence.suite} has no case {sample.case_id}",
                nearest(sample.case_id, by_id),
            )
        given.setdefault(sample.case_id, []).append(sample)
    absent = "not answered yet: go on with --resume" if evidence.manifest else "no output was given"
    repeats = range(int(evidence.manifest.get("decoding", {}).get("repeats", 1)))
    verdicts = []
    for case in evidence.cases:
        samples = sorted(given.get(case.id, []), key=lambda sample: sample.repeat)
        drawn = {sample.repeat for sample in samples}
        if not samples or evidence.manifest:
            samples += [Sample(case.id, r, error=absent) for r in repeats if r not in drawn]
        verdicts += [_judge(case, sample, evidence) for sample in samples]
    return verdicts


def _judge(case: Case, sample: Sample, evidence: _Evidence) -> Verdict:
    if sample.native_calls is not None and not sample.text:
        native = Parse("calls" if sample.native_calls else "abstained", sample.native_calls)
        return judge(case, sample, native, evidence.matching)
    parsed = parse(sample.text, evidence.format, "strict", sample.stop)
    lenient = None
    if parsed.outcome == "malformed":
        lenient = parse(sample.text, evidence.format, "lenient", sample.stop)
    return judge(case, sample, parsed, evidence.matching, lenient)


def _moot(evidence: _Evidence) -> set[str]:
    """Return the metrics that say nothing of this model here."""
    moot = set()
    # A model that was held to calls could not abstain.
    mode = evidence.manifest.get("decoding", {}).get("mode", "greedy")
    if not Decoding(mode).may_abstain:
        moot |= set(FREE_TO_ABSTAIN)
    # A chat template that keeps the order of keys prefers none.
    if not sorts_keys(evidence.format):
        moot.add("canonical_order")
    return moot
