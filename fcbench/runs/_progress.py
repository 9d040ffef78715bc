"""How far a run is, how long it will yet take, and how good its answers are so far."""

from __future__ import annotations

import sys
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
        self._values: dict[str, dict[int, float]] = {}
        self._errors: set[tuple[str, int]] = set()

    @property
    def n_errors(self) -> int:
        """The samples that are errors, and were not answered since."""
        return len(self._errors)

    @property
    def n_cases(self) -> int:
        """The cases that the metric is over."""
        return len(self._values)

    @property
    def value(self) -> float | None:
        """The mean of the cases, each the mean of its repeats; None over no case."""
        means = [sum(of_case.values()) / len(of_case) for of_case in self._values.values()]
        return sum(means) / len(means) if means else None

    def add(self, samples: Iterable[Sample]) -> None:
        """Count samples; of one case and repeat the later takes the place of the earlier."""
        for sample in samples:
            key = sample.case_id, sample.repeat
            self._errors.discard(key)
            value = None
            if sample.error is not None:
                self._errors.add(key)
            else:
                case, plan = self._cases[sample.case_id], self._plan
                verdict = judge_sample(
                    case, sample, plan.format, plan.suite.matching, lenient=False
                )
                value = self._metric(verdict)
            of_case = self._values.setdefault(sample.case_id, {})
            of_case.pop(sample.repeat, None)
            if value is not None:
                of_case[sample.repeat] = value
            if not of_case:
                del self._values[sample.case_id]

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
    """A line on stderr, if the plan wants one; `samples` are those of an earlier half."""

    def __init__(self, plan: Plan, total: int, samples: Iterable[Sample]) -> None:
        self._live = Live(plan) if plan.progress else None
        self._bar: Any = None
        if self._live is None:
            return
        from tqdm import tqdm

        known = list(samples)
        self._live.add(known)
        keys = {(sample.case_id, sample.repeat) for sample in known}
        examples = f"+{plan.few_shot}" if plan.few_shot else ""
        prompt = f"{plan.prompt_file or plan.prompt}{examples}"
        adapter = f" + {Path(plan.adapter).name}" if plan.adapter else ""
        self._bar = tqdm(
            desc=visible(f"{plan.model}{adapter} {prompt} {plan.suite.name}"),
            total=total,
            # What was answered before took none of this run's time.
            initial=len(keys) - self._live.n_errors,
            # All answers since the beginning: they come in bursts, of which the last says little.
            smoothing=0,
            unit="sample",
            delay=1e-9,  # not before it says what was answered already
            mininterval=REDRAWN_SECONDS if sys.stderr.isatty() else LOGGED_SECONDS,
        )
        self._show(at_once=True)

    def add(self, samples: list[Sample]) -> None:
        """Count fresh samples."""
        if self._live is not None:
            self._live.add(samples)
            self._show()
            self._bar.update(len(samples))

    def _show(self, *, at_once: bool = False) -> None:
        self._bar.set_postfix_str(str(self._live), refresh=at_once)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
