"""How far a run is, how long it will yet take, and how good its answers are so far."""

from __future__ import annotations

import math
import sys
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fcbench.metrics import metric
from fcbench.runs._judge import judge_sample
from fcbench.text import visible
from fcbench.types import Decoding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fcbench.runs._plan import Plan
    from fcbench.types import Case, Sample

REDRAWN_SECONDS, LOGGED_SECONDS = 0.1, 10.0
"""How often the line is written anew on a terminal, and in a file, where each stays."""


class Live:
    """A metric over the answers so far: what it would be, were the run to end now.

    Each case and repeat counts with its last answer, as in the scores of the whole run.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._cases = {case.id: case for case in plan.cases}
        self._name = _metric_of(plan.cases, may_abstain=Decoding(plan.decode).may_abstain)
        self._metric = metric(self._name)
        # Of each case the sum of its values, their number, and the value of each repeat or NaN.
        self._values: dict[str, array[float]] = {}
        self._sum_of_means, self._n_cases = 0.0, 0
        self._errors: set[tuple[str, int]] = set()

    @property
    def n_errors(self) -> int:
        """The samples that are errors, and were not answered since."""
        return len(self._errors)

    @property
    def n_cases(self) -> int:
        """The cases that the metric is over."""
        return self._n_cases

    @property
    def value(self) -> float | None:
        """The mean of the cases, each the mean of its repeats; None over no case."""
        return self._sum_of_means / self._n_cases if self._n_cases else None

    def add(self, sample: Sample) -> None:
        """Count a sample; of one case and repeat the later takes the place of the earlier."""
        case, plan = self._cases.get(sample.case_id), self._plan
        if case is None or not 0 <= sample.repeat < plan.repeats:
            return  # somebody else's line in the log
        key = sample.case_id, sample.repeat
        self._errors.discard(key)
        value = None
        if sample.error is not None:
            self._errors.add(key)
        else:
            verdict = judge_sample(case, sample, plan.format, plan.suite.matching, lenient=False)
            value = self._metric(verdict)
        self._put(case.id, sample.repeat, math.nan if value is None else value)

    def _put(self, case_id: str, repeat: int, value: float) -> None:
        """Note the value of a repeat, NaN for none."""
        of_case = self._values.get(case_id)
        if of_case is None:
            of_case = self._values[case_id] = array("d", [0, 0, *[math.nan] * self._plan.repeats])
        for sign, each in ((-1, of_case[2 + repeat]), (1, value)):
            if not math.isnan(each):
                total, n = of_case[:2]
                self._sum_of_means -= total / n if n else 0.0
                self._n_cases -= n > 0
                total, n = total + sign * each, n + sign
                self._sum_of_means += total / n if n else 0.0
                self._n_cases += n > 0
                of_case[0], of_case[1] = total, n
        of_case[2 + repeat] = value

    def __str__(self) -> str:
        parts = []
        if self.value is not None:
            name = self._name.replace("_", " ")
            parts.append(f"{name} {100 * self.value:.1f} % of {self.n_cases}")
        if self._errors:
            parts.append(f"{self.n_errors} error{'s' if self.n_errors > 1 else ''}")
        return ", ".join(parts)


def _metric_of(cases: Iterable[Case], *, may_abstain: bool) -> str:
    """Return the strictest metric that some of the cases have a value of."""
    if any(case.expects_call and case.expected for case in cases):
        return "argument_exact_match"
    if may_abstain and any(not case.expects_call for case in cases):
        return "abstention"
    return "syntax_validity"


class Progress:
    """A line on stderr, if the plan wants one.

    `samples` are those of an earlier half, of each case and repeat the last.
    """

    def __init__(self, plan: Plan, total: int, samples: Iterable[Sample]) -> None:
        self._live = Live(plan) if plan.progress else None
        self._bar: Any = None
        if self._live is None:
            return
        from tqdm import tqdm

        n_known = 0
        for n_known, sample in enumerate(samples, start=1):  # noqa: B007  how many there were
            self._live.add(sample)
        examples = f"+{plan.few_shot}" if plan.few_shot else ""
        prompt = f"{plan.prompt_file or plan.prompt}{examples}"
        adapter = f" + {Path(plan.adapter).name}" if plan.adapter else ""
        self._bar = tqdm(
            desc=visible(f"{plan.model}{adapter} {prompt} {plan.suite.name}"),
            total=total,
            # What was answered before took none of this run's time.
            initial=n_known - self._live.n_errors,
            # All answers since the beginning: they come in bursts, of which the last says little.
            smoothing=0,
            unit="sample",
            delay=1e-9,  # not before it says what was answered already
            mininterval=REDRAWN_SECONDS if sys.stderr.isatty() else LOGGED_SECONDS,
        )
        self._show(at_once=True)

    def add(self, sample: Sample) -> None:
        """Count a fresh sample."""
        if self._live is not None:
            self._live.add(sample)
            self._show()
            self._bar.update()

    def _show(self, *, at_once: bool = False) -> None:
        self._bar.set_postfix_str(str(self._live), refresh=at_once)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
