"""Whether expected answers fit the tools that the model is shown, and each other."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import msgspec

from fcbench.lint._finding import Finding
from fcbench.lint._values import is_optional, plain_values
from fcbench.matching import judge
from fcbench.matching._values import equal, rules_of
from fcbench.schemas import fault, refusals
from fcbench.text import show
from fcbench.types import Call, Parse, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fcbench.matching._values import Rules
    from fcbench.types import Case, Json, Matching

# What is asked of an argument by itself. All else, such as `required`, also within an allOf, is of
# the whole set of arguments, and asked of the whole call.
ALONE = ("properties", "patternProperties", "additionalProperties", "propertyNames", "$id")
# Where else than in its own properties a schema may declare an argument.
ELSEWHERE = ("patternProperties", "$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if")
# What an argument's own schema may refer to.
DEFINITIONS = ("$defs", "definitions", "$anchor")


def lint_answers(case: Case, matching: Matching) -> Iterator[Finding]:
    """Yield what a tool's schema says against an expected call, and answers that overlap."""
    for i, tool in enumerate(case.tools):
        wrong = fault(tool.parameters)
        if wrong is not None:
            where = f"$.tools[{i}].parameters"
            yield Finding("invalid_schema", case.id, where, f"{tool.name}: {wrong}")
        if any(tool.name == earlier.name for earlier in case.tools[:i]):
            yield Finding("twin_tools", case.id, f"$.tools[{i}].name", tool.name)
    yield from refused_calls(case)
    for where, call in _expected(case):
        yield from _values(case.id, where, call, rules_of(matching))
    yield from _answers(case, matching)


def refused_calls(case: Case) -> Iterator[Finding]:
    """Yield what a tool's schema says against an expected call.

    Tools that are not declared, or whose schemas are none, are other findings.
    """
    schemas = {tool.name: tool.parameters for tool in case.tools}
    usable = {name: schema for name, schema in schemas.items() if fault(schema) is None}
    for where, call in _expected(case):
        if call.name in usable:
            yield from _call(case.id, where, call, usable[call.name])


def _expected(case: Case) -> Iterator[tuple[str, Call]]:
    """Yield each expected call and where its arguments stand."""
    for i, answer in enumerate(case.expected):
        for j, call in enumerate(answer):
            yield f"$.expected[{i}][{j}].arguments", call


def _call(case_id: str, where: str, call: Call, schema: Mapping[str, Json]) -> Iterator[Finding]:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    is_open = schema.get("additionalProperties", False) is not False or any(
        name in schema for name in ELSEWHERE
    )
    one_by_one = {key: schema[key] for key in (*ALONE, *DEFINITIONS) if key in schema}
    fits = True
    for key, expected in call.arguments.items():
        if key not in properties and not is_open:
            fits = False
            yield Finding("unknown_argument", case_id, f"{where}.{key}", f"{call.name} has none")
            continue
        if key in required and is_optional(expected):
            yield Finding("required_optional", case_id, f"{where}.{key}", f"{call.name} needs it")
        for value in plain_values(expected):
            for why in refusals(one_by_one, {key: value}):
                fits = False
                yield Finding("schema_refuses", case_id, f"{where}.{key}", f"{call.name}: {why}")
    if fits:
        firsts = {key: plain_values(value)[:1] for key, value in call.arguments.items()}
        whole = {key: values[0] for key, values in firsts.items() if values}
        for why in refusals(schema, whole):
            yield Finding("schema_refuses", case_id, where, f"{call.name}: {why}")


def _values(case_id: str, where: str, call: Call, rules: Rules) -> Iterator[Finding]:
    """Yield choices of one argument of which the matcher takes one for the other.

    1 and 1.0 side by side are no oversight: other people's matchers tell them apart.
    """
    for key, expected in call.arguments.items():
        values = plain_values(expected)
        for a, b in combinations(values, 2):
            if type(a) is type(b) and equal(a, b, rules):
                what = f"{show(a)} stands there twice" if a == b else f"{show(a)} equals {show(b)}"
                yield Finding("overlap", case_id, f"{where}.{key}", what)
                break


def _answers(case: Case, matching: Matching) -> Iterator[Finding]:
    """Yield pairs of accepted answers of which one accepts what the other one asks for."""
    for (i, first), (j, second) in combinations(enumerate(case.expected), 2):
        for (m, wide), (n, narrow) in (((i, first), (j, second)), ((j, second), (i, first))):
            alone = msgspec.structs.replace(case, expected=[wide])
            choices = [plain_values(call.arguments) for call in narrow]
            if not all(choices):  # unsatisfiable: it asks for nothing
                continue
            calls = [Call(c.name, first) for c, (first, *_) in zip(narrow, choices, strict=True)]
            verdict = judge(alone, Sample(case.id, text="…"), Parse("calls", calls), matching)
            if verdict.arguments:
                what = f"accepts what $.expected[{n}] asks for"
                yield Finding("overlap", case.id, f"$.expected[{m}]", what)
                break
