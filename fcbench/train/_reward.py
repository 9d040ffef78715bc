"""Calls as a reward for reinforcement learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fcbench.runs import score
from fcbench.suite import Suite
from fcbench.types import Call, Case, Sample, Tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Json, Verdict

SHARES = (0.2, 0.3, 0.5)
"""What valid syntax, the right names and the right arguments are worth, in this order."""


def reward(
    completions: Sequence[Any],
    *,
    expected: Sequence[Json],
    format: str = "functiongemma",
    matcher: str = "exact",
    **columns: Any,
) -> list[float]:
    """Return the reward of each completion, from 0 to 1, as GRPO trainers ask for it.

    A completion is a text or a list of chat messages, whose contents are joined. `expected` are as
    many lists of acceptable answers, as a Case has them ([[]]: no call is right), in a column of
    the data set; `ordered`, if there is such a column, says where the order of calls counts. Other
    columns, prompts among them, are not looked at.

    Of calls that are expected, valid syntax is worth 0.2, the right names 0.3 more and the right
    arguments 0.5 more: a reward that is all or nothing is 0 for every completion of a model that
    has yet to learn the syntax. Where no call is right, an answer in words is worth 1, anything
    else 0.

    >>> reward(
    ...     ["<start_function_call>call:f{a:1}<end_function_call>", "f(a=1)"],
    ...     expected=[[[{"name": "f", "arguments": {"a": 1}}]]] * 2,
    ... )
    [1.0, 0.0]
    """
    ordered = columns.get("ordered") or [False] * len(completions)
    cases = [
        _case(f"{i}", answers, is_ordered=bool(is_ordered))
        for i, (answers, is_ordered) in enumerate(zip(expected, ordered, strict=True))
    ]
    texts = [_text(completion) for completion in completions]
    samples = [Sample(case.id, text=text) for case, text in zip(cases, texts, strict=True)]
    suite = Suite("reward", cases, sha256="", source="")
    scores = score(samples, suite=suite, format=format, matcher=matcher)
    of_case = {verdict.case.id: _worth(verdict) for verdict in scores.verdicts}
    return [of_case[case.id] for case in cases]


def _worth(verdict: Verdict) -> float:
    if not verdict.case.expects_call:
        return float(verdict.is_right)
    reached = (verdict.syntax, verdict.name, verdict.arguments)
    return sum(share for share, is_right in zip(SHARES, reached, strict=True) if is_right)


def _case(id: str, answers: Json, *, is_ordered: bool) -> Case:
    calls = [[Call(call["name"], call.get("arguments", {})) for call in a] for a in answers]
    names = sorted({call.name for answer in calls for call in answer})
    messages = [{"role": "user", "content": ""}]
    return Case(id, messages, [Tool(name) for name in names], calls, ordered=is_ordered)


def _text(completion: Any) -> str:
    if isinstance(completion, str):
        return completion
    return "".join(str(message.get("content") or "") for message in completion)
