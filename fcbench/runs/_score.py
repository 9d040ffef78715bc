"""Samples -> scores: a pure function, run as often as wanted, without the model.

Samples are judged one at a time and tallied; only the verdicts that are wanted are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from fcbench.backends._recorded import Answered
from fcbench.errors import RunError, UsageError, nearest
from fcbench.formats import sorts_keys
from fcbench.metrics import metric_names, own_metrics
from fcbench.runs._estimate import estimates, passes
from fcbench.runs._frames import SAMPLE
from fcbench.runs._judge import judge_sample
from fcbench.runs._outputs import read_outputs, to_samples
from fcbench.runs._read import matching_of, read_run
from fcbench.runs._scores import NotKept, Scores
from fcbench.runs._tally import tallies_of
from fcbench.suite import Suite, load_suite
from fcbench.types import Decoding, Json, Matching, Run, Sample, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from fcbench.metrics import Function, Metric
    from fcbench.runs._tally import Marks
    from fcbench.types import Case

FREE_TO_ABSTAIN = ("abstention", "over_calling")
MOST_REMEMBERED, LONGEST_REMEMBERED = 4096, 2048


class _Evidence(NamedTuple):
    """What is judged, and by what. Each sample comes with where it stands, and comes once."""

    suite: str
    sha256: str
    cases: Sequence[Case]
    samples: Iterable[tuple[str, Sample]]
    format: str
    matching: Matching
    manifest: dict[str, Json]
    folder: str | None = None


def score(  # noqa: PLR0913  the public name; all but the first are seldom given
    run_or_outputs: Run | str | Path | Mapping[str, str] | Iterable[Mapping[str, Any] | Sample],
    suite: str | Path | Suite | None = None,
    format: str | None = None,
    matcher: str | None = None,
    *,
    normalise: Sequence[str] | None = None,
    schema_defaults: bool | None = None,
    keep_verdicts: bool = True,
    watch: Callable[[Verdict], object] | None = None,
    metrics: Sequence[Function | Metric] = (),
) -> Scores:
    """Return the scores of a run, of a run's folder, or of outputs made elsewhere.

    Outputs are a mapping of case id to text, records with `id` (or `case_id`) and `text` or
    `tool_calls` in OpenAI's shape, or the path of such records as JSON lines; they need `suite`.
    With both, `text` is what the model wrote and `tool_calls` what its server read in it, which
    decides. A Run brings its suite, format and matching; naming others judges it by those, see
    Matching. A case without an output counts as an error, not as a wrong answer.

    `metrics` are more of your own: functions that take a Verdict and return a share from 0 to 1, or
    None for a case that they are not over; see fcbench.metrics.Metric for amounts, and for shares
    of which less is better. They stand under their names beside the others, and are not asked
    where the machinery failed.

    Without `keep_verdicts` an output is forgotten as soon as it is judged: the numbers are the
    same, in memory that does not grow with the outputs; what needs verdicts raises UsageError.
    `watch` is called with each verdict, kept or not, in whatever order they come.

    UsageError for an output whose id the suite does not have, for two of one case and repeat, and
    for names that do not exist.
    """
    evidence = _evidence(run_or_outputs, suite, format)
    given = {"matcher": matcher, "schema_defaults": schema_defaults}
    if normalise is not None:
        given["normalise"] = tuple(sorted(set(normalise)))  # type: ignore[assignment]
    chosen = {name: value for name, value in given.items() if value is not None}
    matching = msgspec.structs.replace(evidence.matching, **chosen)
    own = own_metrics(metrics, [*metric_names(), *SAMPLE])
    evidence = evidence._replace(matching=matching)
    return _score(evidence, own, watch, keep_verdicts=keep_verdicts)


def verdicts_of(
    run_or_outputs: str | Path,
    case_ids: Collection[str],
    suite: str | Path | Suite | None = None,
    format: str | None = None,
    matching: Matching | None = None,
) -> Iterator[Verdict]:
    """Yield the verdicts on some of the cases, one by one; nothing else is judged.

    A run's folder or a file of outputs is read as `score` reads it, and what it raises is raised.
    """
    found = _evidence(run_or_outputs, suite, format)
    part = found._replace(
        cases=[case for case in found.cases if case.id in case_ids],
        samples=(pair for pair in found.samples if pair[1].case_id in case_ids),
    )
    for case, sample in _answers(part):
        yield judge_sample(case, sample, found.format, matching or found.matching)


def _evidence(
    given: Run | str | Path | Mapping[str, str] | Iterable[Mapping[str, Any] | Sample],
    suite: str | Path | Suite | None,
    format: str | None,
) -> _Evidence:
    path = Path(given) if isinstance(given, str | Path) else None
    loaded = suite if isinstance(suite, Suite) or suite is None else load_suite(suite)
    if path is not None and not path.is_file():
        given = _stored(path, loaded)
    if not isinstance(given, Run):
        if loaded is None:
            raise UsageError(
                "outputs alone do not say what was asked", hint="score(outputs, suite=…)"
            )
        samples = to_samples(given) if path is None else read_outputs(path)  # type: ignore[arg-type]  # no path then
        chosen = format or "functiongemma"
        return _Evidence(
            loaded.name, loaded.sha256, loaded.cases, samples, chosen, loaded.matching, {}
        )
    manifest = given.manifest
    found = _Evidence(
        manifest["suite"]["name"],
        manifest["suite"]["sha256"],
        given.cases,
        (("the run", sample) for sample in given.samples),
        format or manifest["format"]["name"],
        matching_of(manifest),
        manifest,
        given.folder,
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


def _stored(path: Path, suite: Suite | None) -> Run:
    """Return a stored run; `suite` may be its own, where that has moved."""
    try:
        return read_run(path)
    except RunError:
        if suite is None:
            raise
        return read_run(path, suite)


def _score(
    evidence: _Evidence,
    own: Sequence[Metric],
    watch: Callable[[Verdict], object] | None,
    *,
    keep_verdicts: bool,
) -> Scores:
    cases = evidence.cases
    moot = _moot(evidence)
    tallies = tallies_of(cases, moot, own)
    verdicts: list[Verdict] = []
    remembered: dict[str, Marks] = {}
    for case, sample in _answers(evidence):
        if keep_verdicts or watch is not None:
            verdict = judge_sample(case, sample, evidence.format, evidence.matching)
            marks = tallies.marks_of(verdict)
            if keep_verdicts:
                verdicts.append(verdict)
            if watch is not None:
                watch(verdict)
        else:
            # Of a case's recorded outputs many are the same, and what is the same is judged the
            # same. Answers of a run never are: each took its own time, which is a metric. (Of the
            # caller's own metrics nobody knows: they might look at the repeat's number.)
            may_be_known = sample.seconds is None and not own
            key = repr(msgspec.structs.replace(sample, repeat=0)) if may_be_known else ""
            found = remembered.get(key)
            marks = found or tallies.marks_of(
                judge_sample(case, sample, evidence.format, evidence.matching)
            )
            if found is None and 0 < len(key) < LONGEST_REMEMBERED:
                if len(remembered) == MOST_REMEMBERED:
                    remembered.clear()
                remembered[key] = marks
        tallies.add(sample, marks)
    tags = sorted({tag for case in cases for tag in case.tags})
    metrics, by_tag = estimates(tallies, tags)
    # Who could not abstain is not asked whether one try in k did.
    tried = [c for c in tallies.cases.values() if c.expects_call or "abstention" not in moot]
    verdicts.sort(key=lambda verdict: tallies.place_of(verdict.sample))
    return Scores(
        suite=evidence.suite,
        suite_sha256=evidence.sha256,
        metrics=metrics,
        by_tag=by_tag,
        passes=passes(tried),
        outcomes=tallies.outcomes(),
        n_cases=len(cases),
        n_errors=tallies.n_errors,
        verdicts=verdicts if keep_verdicts else NotKept(),
        tallies=tallies,
        matching=evidence.matching,
        manifest=evidence.manifest,
        folder=evidence.folder,
    )


def _answers(evidence: _Evidence) -> Iterator[tuple[Case, Sample]]:
    """Yield each sample as it comes, with its case, then errors for the answers that are absent."""
    by_id = {case.id: case for case in evidence.cases}
    # Of outputs made elsewhere nobody knows how many there were to be: one is enough.
    repeats = range(int(evidence.manifest.get("decoding", {}).get("repeats", 1)))
    drawn = Answered()
    for where, sample in evidence.samples:
        case = by_id.get(sample.case_id)
        if case is None:
            raise UsageError(
                f"{where}: the suite {evidence.suite} has no case {sample.case_id}",
                nearest(sample.case_id, by_id),
            )
        drawn.add(case.id, sample.repeat if evidence.manifest else 0)
        yield case, sample
    absent = "not answered yet: go on with --resume" if evidence.manifest else "no output was given"
    for case in evidence.cases:
        for repeat in repeats:
            if not drawn.has(case.id, repeat):
                yield case, Sample(case.id, repeat, error=absent)


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
