"""The cases that fail, as a person reads them: what was written, and where it is wrong.

Texts of models are hostile: every line is made visible, and none is longer than a page.
"""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

from fcbench.runs._reason import outcome_of, reason
from fcbench.text import caret, shorten, show, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.metrics import Metric
    from fcbench.runs._scores import Scores
    from fcbench.types import ArgumentVerdict, Call, Verdict

SHOWN_CASES, SHOWN_ARGUMENTS = 5, 3


def is_failing(verdict: Verdict, metric: Metric) -> bool:
    """Whether a verdict keeps a metric from being as good as it can be."""
    value = metric(verdict)
    return value is not None and value != (0 if metric.lower_is_better else 1)


def kind_of(verdict: Verdict) -> str:
    """Return the kind of a failure, or in what calls that parse are wrong."""
    outcome = outcome_of(verdict)
    if outcome != "calls" or verdict.is_right:
        return outcome
    if not verdict.case.expects_call:
        return "call where none is right"
    return "other arguments" if verdict.name else "other functions"


def kinds(verdicts: Sequence[Verdict]) -> str:
    """Return how many verdicts are of each kind, the most frequent first."""
    counted = Counter(map(kind_of, verdicts))
    return ", ".join(f"{kind} {n}" for kind, n in counted.most_common())


def first_cases(verdicts: Sequence[Verdict], amount: Metric | None = None) -> list[str]:
    """Return lines on the first of these verdicts, with an amount of each, and how many follow."""
    lines = []
    for verdict in verdicts[:SHOWN_CASES]:
        value = None if amount is None else amount(verdict)
        title = "" if amount is None or value is None else f" {value:.3g} {amount.unit},"
        lines += case_lines(verdict, title)
    rest = len(verdicts) - SHOWN_CASES
    return [*lines, f"  … and {rest} more"] if rest > 0 else lines


def case_lines(verdict: Verdict, title: str = "") -> list[str]:
    """Return what is wrong with one verdict, in lines; `title` stands after the case's name."""
    repeat = f" (repeat {verdict.sample.repeat})" if verdict.sample.repeat else ""
    said, *rest = _told(verdict)
    head = f"  {visible(verdict.case.id)}{repeat}:{title} {said}"
    return [head, *(f"    {line}" for line in rest)]


def where(scores: Scores, verdicts: Sequence[Verdict]) -> list[str]:
    """Return where the run is stored and which commands show more of it."""
    lines = []
    if scores.folder is not None:
        folder = shlex.quote(visible(scores.folder))
        lines.append(f"  the run: {visible(scores.folder)}")
        if verdicts:
            case_id = shlex.quote(visible(verdicts[0].case.id))
            lines.append(f"  one case: python -m fcbench inspect {case_id} --run {folder}")
        lines.append(f"  all cases: python -m fcbench report {folder} -o report.html")
    model = scores.manifest.get("model", {})
    if model.get("backend") == "transformers" and not scores.outcomes.get("calls"):
        adapter = model["adapter"]["name"] if model.get("adapter") else None
        with_adapter = f" --adapter {shlex.quote(visible(adapter))}" if adapter else ""
        named = shlex.quote(visible(model["name"]))
        lines.append(f"  why no turn is a call: python -m fcbench doctor {named}{with_adapter}")
    return lines


def _told(verdict: Verdict) -> Iterator[str]:
    """Yield what is wrong, in a line, then what was expected and what came."""
    failure, text = verdict.parse.failure, verdict.sample.text
    if failure is not None and not verdict.server_parser:
        drawn, under, place, *rest = caret(text, failure)
        yield from (place, drawn, under, *rest)
        return
    wrong = list(_arguments(verdict))
    if wrong:
        yield from wrong
    else:
        yield visible(reason(verdict)) if not verdict.is_right else f"{kind_of(verdict)}, and right"
        if verdict.case.expects_call and verdict.case.expected and not verdict.name:
            yield f"expected {_calls(verdict.case.expected[0])}"
    if text or verdict.sample.native_calls is None:
        yield f"text     {visible(shorten(text))}"
    else:
        yield f"called   {_calls(verdict.sample.native_calls)}"


def _arguments(verdict: Verdict) -> Iterator[str]:
    """Yield the arguments that differ: the first as the title, all with what was expected."""
    if verdict.is_right or not verdict.name:
        return
    wrong = [
        (f"{pair.expected_name}.{argument.path}", argument)
        for pair in verdict.pairs
        for argument in pair.arguments
        if argument.result != "equal"
    ]
    for path, argument in wrong[:SHOWN_ARGUMENTS]:
        yield visible(f"{path} is {_RESULTS[argument.result]}")
        yield from _sides(argument)
    if len(wrong) > SHOWN_ARGUMENTS:
        yield f"… and {len(wrong) - SHOWN_ARGUMENTS} more arguments"


_RESULTS = {
    "different": "different",
    "wrong_type": "of another type",
    "missing": "missing",
    "extra": "not asked for",
}


def _sides(argument: ArgumentVerdict) -> Iterator[str]:
    if argument.result != "extra":
        yield f"expected {visible(shorten(show(argument.expected)))}"
    if argument.result != "missing":
        yield f"called   {visible(shorten(show(argument.called)))}"


def _calls(calls: Sequence[Call]) -> str:
    told = ", ".join(f"{call.name} {show(call.arguments)}" for call in calls)
    return visible(shorten(told)) or "no call"
