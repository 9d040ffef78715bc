"""The numbers of one run, and the verdicts that they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import msgspec

from fcbench.errors import RunError, UsageError
from fcbench.metrics import check_gate, metric
from fcbench.runs._estimate import describe, estimate
from fcbench.runs._reason import outcome_of, reason
from fcbench.runs._tally import Tallies  # noqa: TC001  pydoc and typing.get_type_hints want it
from fcbench.stats import Estimate  # noqa: TC001  likewise
from fcbench.text import shorten
from fcbench.types import Json, Matching, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from fcbench.stats import Method

SHOWN_FAILURES = 5


class NotKept(list[Verdict]):
    """In the place of verdicts that were not kept: UsageError for whoever wants to see one."""

    def _refuse(self, *_: object) -> NoReturn:
        raise UsageError(
            "the verdicts were not kept", hint="score(…, keep_verdicts=True) keeps them"
        )

    __iter__ = __len__ = __getitem__ = __contains__ = __reversed__ = _refuse


class Scores(msgspec.Struct, frozen=True):
    """The numbers of one run, and the verdicts that they come from.

    `metrics` maps each metric to its estimate; one over no case has value None. `by_tag` holds
    the same for the cases of each tag. `outcomes` counts what the turns were: calls, abstained,
    each kind of failure, and error. `n_errors` counts samples without an answer, which are in no
    metric: the machinery failed there, not the model. `passes` holds pass@k and pass^k by name
    where each case was asked more than once. `verdicts` are in the order of the cases and
    repeats; where they were not to be kept, UsageError comes of looking at them. `tallies` are
    what the numbers are made of.
    """

    suite: str
    suite_sha256: str
    metrics: dict[str, Estimate]
    by_tag: dict[str, dict[str, Estimate]]
    passes: dict[str, Estimate]
    outcomes: dict[str, int]
    n_cases: int
    n_errors: int
    verdicts: list[Verdict]
    tallies: Tallies
    matching: Matching = Matching()
    manifest: dict[str, Json] = {}

    @property
    def n_samples(self) -> int:
        """How many samples there are, errors included."""
        return self.tallies.n_samples

    @property
    def label(self) -> str:
        """The model and the prompt, or "outputs" for outputs made elsewhere."""
        if not self.manifest:
            return "outputs"
        prompt = self.manifest["prompt"]
        examples = f"+{prompt['few_shot']}" if prompt["few_shot"] else ""
        return f"{self.manifest['model']['name']}, {prompt['mode']}{examples}"

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a sample: what was asked and written, why it is wrong, every metric."""
        import pandas as pd

        judged = {name: metric(name) for name, found in self.metrics.items() if found.n}
        rows = [
            {
                "case_id": verdict.case.id,
                "repeat": verdict.sample.repeat,
                "tags": list(verdict.case.tags),
                "text": verdict.sample.text,
                "outcome": outcome_of(verdict),
                "offset": _offset(verdict),
                "reason": None if verdict.is_right else reason(verdict),
                "error": verdict.sample.error,
                **{
                    name: judged[name](verdict) if name in judged else None for name in self.metrics
                },
            }
            for verdict in self.verdicts
        ]
        frame = pd.DataFrame(rows, dtype=object)
        # Not the texts: pandas' own strings hold no lone surrogate, which a model may write.
        kinds = dict.fromkeys(self.metrics, float) | {"repeat": int}
        return frame.astype({name: kind for name, kind in kinds.items() if name in frame})

    def assert_at_least(self, interval: Method = "wilson", **thresholds: float) -> None:
        """Raise AssertionError unless each metric's lower bound reaches its threshold.

        `interval` is "wilson", or "clopper-pearson" for bounds that never promise too much. The
        message holds the metric, its interval, n, and the first failing cases. RunError when
        some cases have no answer, because then the machinery failed and not the model; UsageError
        for an unknown metric, one of which less is better, and one that is no share.
        """
        __tracebackhide__ = True  # pytest shows the caller's line, not ours
        if self.tallies.first_error is not None:
            _, first = self.tallies.first_error
            raise RunError(f"{self.n_errors} of {self.n_samples} samples have no answer: {first}")
        missed = self.missed(thresholds, interval)
        if missed:
            raise AssertionError("\n".join([*missed, *self._failing(thresholds)]))

    def missed(self, thresholds: Mapping[str, float], interval: Method = "wilson") -> list[str]:
        """Return a line for each metric whose interval's lower bound is below its threshold."""
        lines = []
        for name, threshold in thresholds.items():
            check_gate(name)
            if not 0 <= threshold <= 1:  # NaN is not either
                raise UsageError(f"a threshold is a share from 0 to 1, got {name}={threshold:g}")
            found = estimate(name, self.tallies, interval)
            if found.low is None or found.low < threshold:
                line = f"{name} {describe(found)} is not at least {threshold:g} (lower bound)"
                reach = reachable(found.n, interval)
                unreachable = f"; {found.n} cases cannot prove more than {reach:.1%}"
                lines.append(line + (unreachable if reach < threshold else ""))
        return lines

    def _failing(self, thresholds: Mapping[str, float]) -> list[str]:
        """Return lines on the first cases that score 0 in one of the metrics, where known."""
        if isinstance(self.verdicts, NotKept):
            return ["  (which cases failed is not known: the verdicts were not kept)"]
        judged = [metric(name) for name in thresholds]
        lines = [
            f"  {v.case.id}: {reason(v)}\n    got: {shorten(v.sample.text)!r}"
            for v in self.verdicts
            if any(function(v) == 0 for function in judged)
        ]
        rest = len(lines) - SHOWN_FAILURES
        return lines[:SHOWN_FAILURES] + ([f"  … and {rest} more"] if rest > 0 else [])


def reachable(n: int, interval: Method) -> float:
    """Return the lower bound of n right answers of n."""
    from fcbench.stats import clustered

    return clustered([[1.0]] * n, method=interval).low or 0.0


def _offset(verdict: Verdict) -> int | None:
    failure = verdict.parse.failure
    return None if failure is None or verdict.sample.error is not None else failure.offset
