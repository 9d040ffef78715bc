"""Calls as a reward for reinforcement learning."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fcbench.runs import score
from fcbench.suite import Suite
from fcbench.types import Call, Case, Sample, Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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

    A completion is a text with its control tokens, or a list of chat messages, whose contents are
    joined and whose `tool_calls` count as calls. `expected` are as many lists of acceptable
    answers, as a Case has them ([[]]: no call is right), in a column of the data set: as JSON text,
    for a column of objects fills absent arguments with null. `ordered`, if there is such a column,
    says where the order of calls counts. Other columns, prompts among them, are not looked at.

    Of calls that are expected, valid syntax is worth 0.2, the right names 0.3 more and the right
    arguments 0.5 more: a reward that is all or nothing is 0 for every completion of a model that
    has yet to learn the syntax. Where no call is right, an answer in words is worth 1, anything
    else 0.

    >>> reward(
    ...     ["<start_function_call>call:f{a:1}<end_function_call>", "f(a=1)"],
    ...     expected=['[[{"name": "f", "arguments": {"a": 1}}]]'] * 2,
    ... )
    [1.0, 0.0]
    """
    ordered = columns.get("ordered") or [False] * len(completions)
    cases = [
        _case(f"{i}", answers, is_ordered=bool(is_ordered))
        for i, (answers, is_ordered) in enumerate(zip(expected, ordered, strict=True))
    ]
    samples = [_sample(case.id, said) for case, said in zip(cases, completions, strict=True)]
    suite = Suite("reward", cases, sha256="", source="")
    scores = score(samples, suite=suite, format=format, matcher=matcher)
    of_case = {verdict.case.id: _worth(verdict) for verdict in scores.verdicts}
    return [of_case[case.id] for case in cases]


def reward_for(
    tokenizer: Any, format: str = "functiongemma", matcher: str = "exact"
) -> Callable[..., list[float]]:
    """Return the reward function for a tokenizer whose control tokens are special tokens.

    TRL's GRPOTrainer decodes completions without special tokens, so that a FunctionGemma call
    arrives without its tokens; but it gives their ids too, which this function decodes.
    """

    def calls_reward(
        completions: Sequence[Any], completion_ids: Sequence[Sequence[int]] = (), **columns: Any
    ) -> list[float]:
        texts = [tokenizer.decode(ids, skip_special_tokens=False) for ids in completion_ids]
        columns |= {"format": format, "matcher": matcher}
        return reward(texts or completions, **columns)

    return calls_reward


def _worth(verdict: Verdict) -> float:
    if not verdict.case.expects_call:
        return float(verdict.is_right)
    # Native calls have no syntax to be wrong.
    reached = (verdict.syntax is not False, verdict.name, verdict.arguments)
    if verdict.parse.outcome != "calls":
        return 0.0
    return sum(share for share, is_right in zip(SHARES, reached, strict=True) if is_right)


def _case(id: str, expected: Json, *, is_ordered: bool) -> Case:
    answers = json.loads(expected) if isinstance(expected, str) else expected
    calls = [[Call(call["name"], call.get("arguments") or {}) for call in a] for a in answers]
    names = sorted({call.name for answer in calls for call in answer})
    messages = [{"role": "user", "content": ""}]
    return Case(id, messages, [Tool(name) for name in names], calls, ordered=is_ordered)


def _sample(id: str, completion: Any) -> Sample:
    if isinstance(completion, str):
        return Sample(id, text=completion)
    text = "".join(str(message.get("content") or "") for message in completion)
    calls = [_called(call) for message in completion for call in message.get("tool_calls") or []]
    return Sample(id, text=text, native_calls=calls or None)


def _called(call: Json) -> Call:
    function = call.get("function", call)
    arguments = function.get("arguments") or {}
    return Call(
        function["name"], json.loads(arguments) if isinstance(arguments, str) else arguments
    )
