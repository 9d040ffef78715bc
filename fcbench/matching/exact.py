"""Exact match of calls after JSON normalisation.

Source: FunctionGemma mobile-actions evaluation, model card of google/functiongemma-270m-it, with
accepted-value lists and optional arguments added. Parallel calls that may come in any order are
paired by optimal assignment, never greedily.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fcbench.matching._assignment import assign
from fcbench.types import ArgumentVerdict, Call, CallPair, Case, Parse, Sample, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Json

ANY, OPTIONAL = "$any", "$optional"


def judge(case: Case, sample: Sample, parsed: Parse) -> Verdict:
    """Return the verdict of a parsed sample against the accepted answer that it meets best."""
    # A server's own calls say nothing about the syntax of a text that nobody saw.
    judged = sample.error is None and (sample.native_calls is None or bool(sample.text))
    syntax = parsed.outcome == "calls" if judged else None
    name = arguments = None
    pairs: list[CallPair] = []
    if sample.error is None and case.expects_call:
        answers = [_compare(answer, parsed.calls, ordered=case.ordered) for answer in case.expected]
        # A malformed turn has no calls, so it can meet none of these; no answer is empty here.
        name, arguments, _, pairs = max(answers, key=lambda answer: answer[:3])
    return Verdict(
        case_id=case.id,
        repeat=sample.repeat,
        expects_call=case.expects_call,
        parse=parsed,
        syntax=syntax,
        name=name,
        arguments=arguments,
        pairs=pairs,
        tags=case.tags,
        error=sample.error,
    )


def equal(expected: Json, called: Json) -> bool:
    """Whether a called value is an expected one: as JSON, with $any at any depth.

    1 equals 1.0, True never equals 1, strings are compared byte for byte.

    >>> equal(1, 1.0), equal(1, True), equal({"$any": ["a", "b"]}, "b")
    (True, False, True)
    """
    if type(expected) is str:  # the commonest by far
        return type(called) is str and expected == called
    if is_choice(expected):
        return any(equal(value, called) for value in expected[ANY])
    if isinstance(expected, dict):
        return isinstance(called, dict) and all(
            result.result == "equal" for result in compare_objects(expected, called, "")
        )
    if isinstance(expected, list):
        return (
            isinstance(called, list)
            and len(expected) == len(called)
            and all(map(equal, expected, called))
        )
    if isinstance(expected, bool) or isinstance(called, bool):
        return expected is called
    return type_name(expected) == type_name(called) and bool(expected == called)


def is_choice(value: Json) -> bool:
    """Whether an expected value is a list of accepted values."""
    return isinstance(value, dict) and ANY in value


def type_name(value: Json) -> str:
    """Return the JSON type of a value; integers and floats are both numbers."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names.get(type(value), type(value).__name__)


def compare_objects(
    expected: dict[str, Any], called: dict[str, Any], path: str
) -> list[ArgumentVerdict]:
    """Return one verdict a key, expected ones first. An absent optional key is equal."""
    verdicts = []
    for key, value in expected.items():
        where = f"{path}.{key}" if path else key
        if key in called:
            result = "equal" if equal(value, called[key]) else "different"
            verdicts.append(ArgumentVerdict(where, result, value, called[key]))  # type: ignore[arg-type]
        elif is_choice(value) and value.get(OPTIONAL, False):
            verdicts.append(ArgumentVerdict(where, "equal", value))
        else:
            verdicts.append(ArgumentVerdict(where, "missing", value))
    verdicts += [
        ArgumentVerdict(f"{path}.{key}" if path else key, "extra", called=value)
        for key, value in called.items()
        if key not in expected
    ]
    return verdicts


def _compare(
    answer: Sequence[Call], calls: Sequence[Call], *, ordered: bool
) -> tuple[bool, bool, float, list[CallPair]]:
    """Return (names equal, calls equal, how near, pairs) of the calls and one accepted answer."""
    table = [[_pair(i, e, j, c) for j, c in enumerate(calls)] for i, e in enumerate(answer)]
    gains = [[_gain(pair) for pair in row] for row in table]
    if ordered:
        chosen: list[int | None] = [i if i < len(calls) else None for i in range(len(answer))]
    else:
        chosen = assign(gains)
    pairs = [
        table[i][j] if j is not None else CallPair(i, None, answer[i].name, None)
        for i, j in enumerate(chosen)
    ]
    spare = [j for j in range(len(calls)) if j not in chosen]
    pairs += [CallPair(None, j, None, calls[j].name) for j in spare]
    expected_names, called_names = [c.name for c in answer], [c.name for c in calls]
    if ordered:
        names_equal = expected_names == called_names
    else:
        names_equal = sorted(expected_names) == sorted(called_names)
    nearness = sum(gains[i][j] for i, j in enumerate(chosen) if j is not None) - len(spare)
    calls_equal = names_equal and all(map(_is_equal, pairs))
    return names_equal, calls_equal, nearness, pairs


def _pair(i: int, expected: Call, j: int, called: Call) -> CallPair:
    same = expected.name == called.name
    arguments = compare_objects(expected.arguments, called.arguments, "") if same else []
    return CallPair(i, j, expected.name, called.name, arguments)


def _is_equal(pair: CallPair) -> bool:
    return pair.expected_name == pair.called_name and all(
        a.result == "equal" for a in pair.arguments
    )


def _gain(pair: CallPair) -> float:
    """Rank pairs: equal calls first, then the same function, then the most equal arguments."""
    if pair.expected_name != pair.called_name:
        return 0
    n_equal = sum(a.result == "equal" for a in pair.arguments)
    return (1e9 if _is_equal(pair) else 0) + 1e6 + n_equal
