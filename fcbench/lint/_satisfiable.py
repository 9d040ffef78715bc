"""Whether each accepted answer scores 1 when a model gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fcbench.errors import FormatError
from fcbench.formats import parse, render
from fcbench.lint._finding import Finding
from fcbench.lint._values import is_optional, plain_values
from fcbench.matching import judge
from fcbench.text import show
from fcbench.types import Call, Parse, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.types import ArgumentResult, Case, Json, Matching

EMPTY: tuple[Json, ...] = ("", [], {})


def lint_satisfiable(case: Case, matching: Matching, format: str) -> Iterator[Finding]:
    """Yield the accepted answers that no output satisfies, and values that none may have."""
    if not case.expected and not case.tools:
        yield Finding("unsatisfiable", case.id, "$.tools", "a call is right, and no tool is there")
    declared = {tool.name for tool in case.tools}
    for i, answer in enumerate(case.expected):
        where = f"$.expected[{i}]"
        unknown = [call.name for call in answer if call.name not in declared]
        if unknown:
            yield Finding("unsatisfiable", case.id, where, f"no tool declares {unknown[0]}")
            continue
        alone = msgspec.structs.replace(case, expected=[answer])
        calls = []
        for j, call in enumerate(answer):
            found, dead = _solve(alone, call, matching)
            calls.append(found)
            yield from (
                Finding("dead_value", case.id, f"{where}[{j}].arguments.{path}", show(value))
                for path, value in dead
            )
        if not answer:
            continue
        if not _is_right(alone, Parse("calls", calls), matching):
            yield Finding("unsatisfiable", case.id, where, f"not even by {_words(calls)}")
            continue
        try:
            text = render(calls, format)
        except FormatError as error:
            yield Finding("inexpressible", case.id, where, f"{format}: {error.message}")
            continue
        if not _is_right(alone, parse(text, format), matching):
            yield Finding("unsatisfiable", case.id, where, f"not when {format} writes it: {text}")


def _solve(case: Case, expected: Call, matching: Matching) -> tuple[Call, list[tuple[str, Json]]]:
    """Return a call that satisfies an expected one, if any does, and values that never do.

    Matchers judge each argument of a call by itself, so the values are found one by one.
    """
    alone = msgspec.structs.replace(case, expected=[[expected]])
    choices = {key: plain_values(value) for key, value in expected.arguments.items()}
    first = {key: values[0] for key, values in choices.items() if values}

    def is_right(key: str, value: Json) -> bool:
        called = Call(expected.name, {**first, key: value})
        return _result(alone, called, key, matching) == "equal"

    arguments, dead = dict(first), []
    for key, values in choices.items():
        judged = [(value, is_right(key, value)) for value in values]
        right = [value for value, accepted in judged if accepted]
        dead += [(key, value) for value, accepted in judged if not accepted]
        # A matcher may accept what no list holds, as BFCL's accepts "" for what may be left out.
        found = right or [value for value in EMPTY if is_right(key, value)]
        required = key in _required(case, expected.name)
        if right or (required and found):
            arguments[key] = found[0]
        elif is_optional(expected.arguments[key]):
            arguments.pop(key, None)
    return Call(expected.name, arguments), dead


def _required(case: Case, name: str) -> Sequence[str]:
    found: Sequence[str] = next(
        (tool.parameters.get("required", ()) for tool in case.tools if tool.name == name), ()
    )
    return found


def _result(case: Case, call: Call, key: str, matching: Matching) -> ArgumentResult | None:
    """Return how the matcher judges one argument of a call."""
    verdict = judge(case, Sample(case.id), Parse("calls", [call]), matching)
    results = (a.result for pair in verdict.pairs for a in pair.arguments if a.path == key)
    return next(results, None)


def _is_right(case: Case, parsed: Parse, matching: Matching) -> bool:
    return judge(case, Sample(case.id, text="…"), parsed, matching).arguments is True


def _words(calls: Sequence[Call]) -> str:
    return ", ".join(f"{call.name}({show(call.arguments)})" for call in calls)
