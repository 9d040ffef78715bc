"""The numbers of one run, and the verdicts that they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import msgspec

from fcbench.errors import UsageError
from fcbench.runs._frames import By, to_datasets, to_pandas
from fcbench.runs._gate import Ceiling, Floor, Gate, misses, require
from fcbench.runs._tally import Tallies
from fcbench.stats import Estimate
from fcbench.types import Json, Matching, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import datasets
    import pandas as pd

    from fcbench.stats import Method
    from fcbench.types import Run


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
    what the numbers are made of. `folder` is where the run is stored, if it is.
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
    folder: str | None = None

    @property
    def n_samples(self) -> int:
        """How many samples there are, errors included."""
        return self.tallies.n_samples

    @property
    def label(self) -> str:
        """The model, its adapter and the prompt, or "outputs" for outputs made elsewhere."""
        if not self.manifest:
            return "outputs"
        prompt, model = self.manifest["prompt"], self.manifest["model"]
        adapter = f" + {model['adapter']['name']}" if model.get("adapter") else ""
        examples = f"+{prompt['few_shot']}" if prompt["few_shot"] else ""
        return f"{model['name']}{adapter}, {prompt['mode']}{examples}"

    def to_pandas(self, by: By = "case") -> pd.DataFrame:
        """Return the verdicts as a frame: one row a sample, or `by="argument"` one an argument.

        A sample's row holds what was asked and written, why it is wrong, and every metric. An
        argument's holds the call that it stands in (`call` counts the pairs of an expected call
        and the called one that it met, `expected_name` and `called_name` are None where there is
        no such call), its JSON path, `result` ("equal", "different", "wrong_type", "missing",
        "extra") and both values. A call without arguments has no row, nor have an
        error and a case that expects no call.
        """
        return to_pandas(self, by)

    def to_datasets(self, by: By = "case") -> datasets.Dataset:
        r"""Return the rows of to_pandas as a datasets.Dataset, with the same types for every run.

        An argument's values are JSON texts, because a column of Arrow has one type; absent ones
        and null are None, which `result` tells apart. A lone surrogate, which Arrow does not hold,
        is written as its escape: \ud800. MissingExtra without the package datasets.
        """
        return to_datasets(self, by)

    @property
    def keeps_verdicts(self) -> bool:
        """Whether `verdicts` can be looked at."""
        return not isinstance(self.verdicts, NotKept)

    def assert_at_least(
        self,
        *,
        confidence: Floor = "lower",
        interval: Method = "wilson",
        per_tag: bool | Sequence[str] = False,
        **thresholds: float,
    ) -> None:
        """Raise AssertionError unless each metric reaches its threshold.

        By default the lower bound of its 95 % interval has to: "point" asks no more than the value
        itself. `interval` is "wilson", or "clopper-pearson" for bounds that never promise too
        much. With `per_tag` the cases of each tag have to reach it as well, but for tags whose
        cases the metric never asks; or those of the tags that are named. A metric over no case
        never passes.

        The message holds the metric, its interval and n, what the turns were, the first failing
        cases with what is wrong in them, and where there is more. RunError when some samples have
        no answer, because then the machinery failed and not the model; UsageError for an unknown
        metric or tag, a metric of which less is better, and one that is no share.
        """
        __tracebackhide__ = True  # pytest shows the caller's line, not ours
        gate = Gate(thresholds, confidence, interval=interval, per_tag=per_tag)
        require(self, [gate])

    def assert_at_most(
        self,
        *,
        confidence: Ceiling = "upper",
        interval: Method = "wilson",
        per_tag: bool | Sequence[str] = False,
        **thresholds: float,
    ) -> None:
        """Raise AssertionError if a metric of which less is better is above its threshold.

        As assert_at_least, with the interval's upper bound: over_calling=0.05 asks for evidence
        that it is at most 5 %. Amounts such as seconds and output_tokens are taken as well, by
        the mean over cases. UsageError for a metric of which more is better.
        """
        __tracebackhide__ = True
        gate = Gate(thresholds, confidence, is_ceiling=True, interval=interval, per_tag=per_tag)
        require(self, [gate])

    def assert_no_worse_than(
        self,
        baseline: Scores | Run | str | Path,
        metric: str = "argument_exact_match",
        alpha: float = 0.05,
        margin: float | None = None,
    ) -> None:
        """Raise AssertionError if a run over the same cases is worse than an earlier one.

        `baseline` is that run: its scores, or it or its folder, judged by the same rules as these.
        The cases are paired. Without a margin it fails when it is significantly worse at `alpha`,
        one-sided: by the exact McNemar test, or with repeats and partial credit by a sign-flip
        permutation test. Over few cases much can be lost before that happens: the message says
        how much. With a margin, a share such as 0.05 or an amount, it fails unless the difference
        is shown to be less than that: the bound of the paired bootstrap and Tango's score test
        (non-inferiority).

        RunError when either run has samples without an answer. UsageError for runs over other
        cases, and for so few that nothing could be significant.
        """
        __tracebackhide__ = True
        from fcbench.runs._no_worse import Regression, baseline_of, require_no_worse

        asked = Regression(metric, alpha, margin)
        require_no_worse(self, baseline_of(baseline, self, metric), asked)

    def missed(self, thresholds: Mapping[str, float], interval: Method = "wilson") -> list[str]:
        """Return a line for each metric whose interval's lower bound is below its threshold."""
        gate = Gate(thresholds, interval=interval)
        return [miss.line for miss in misses(self, gate)] if thresholds else []
