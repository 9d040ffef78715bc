"""Whether expected answers fit the tools that the model is shown, and each other."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import msgspec

from fcbench.lint._finding import Finding
from fcbench.lint._values import is_optional, plain_values
from fcbench.matching import judge
from fcbench.schemas import fault, refusals
from fcbench.types import Call, Parse, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fcbench.types import Case, Json, Matching

# What a schema says of the whole set of arguments is asked of the whole call alone.
WHOLE = ("required", "minProperties", "maxProperties", "dependentRequired", "dependentSchemas")


def lint_answers(case: Case, matching: Matching) -> Iterator[Finding]:
    """Yield what a tool's schema says against an expected call, and answers that overlap."""
    schemas = {tool.name: tool.parameters for tool in case.tools}
    faults = {name: fault(schema) for name, schema in schemas.items()}
    for i, tool in enumerate(case.tools):
        wrong = faults[tool.name]
        if wrong is not None:
            where = f"$.tools[{i}].parameters"
            yield Finding("invalid_schema", case.id, where, f"{tool.name}: {wrong}")
    for i, answer in enumerate(case.expected):
        for j, call in enumerate(answer):
            where = f"$.expected[{i}][{j}].arguments"
            if faults[call.name] is None:
                yield from _call(case.id, where, call, schemas[call.name])
            yield from _values(case.id, where, call)
    yield from _answers(case, matching)


def _call(case_id: str, where: str, call: Call, schema: Mapping[str, Json]) -> Iterator[Finding]:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    is_open = schema.get("additionalProperties", False) is not False
    one_by_one = {key: value for key, value in schema.items() if key not in WHOLE}
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


def _values(case_id: str, where: str, call: Call) -> Iterator[Finding]:
    """Yield choices of one argument that stand in its list twice."""
    for key, expected in call.arguments.items():
        values = plain_values(expected)
        for a, b in combinations(values, 2):
            if type(a) is type(b) and a == b:
                yield Finding("overlap", case_id, f"{where}.{key}", f"{a!r} stands there twice")
                break


def _answers(case: Case, matching: Matching) -> Iterator[Finding]:
    """Yield pairs of accepted answers of which one accepts what the other one asks for."""
    for (i, first), (j, second) in combinations(enumerate(case.expected), 2):
        for (m, wide), (n, narrow) in (((i, first), (j, second)), ((j, second), (i, first))):
            alone = msgspec.structs.replace(case, expected=[wide])
            calls = [Call(call.name, plain_values(call.arguments)[0]) for call in narrow]
            verdict = judge(alone, Sample(case.id, text="…"), Parse("calls", calls), matching)
            if verdict.arguments:
                what = f"accepts what $.expected[{n}] asks for"
                yield Finding("overlap", case.id, f"$.expected[{m}]", what)
                break
