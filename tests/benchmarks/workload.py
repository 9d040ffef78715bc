"""What the benchmark judges: cases, and for each a turn as models write it, right or broken.

Every output is there twice: for fcbench a case and FunctionGemma's notation, for bfcl-eval its
function docs and possible answers and the same calls in Python's notation.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench import Call, Case, Sample, Tool, load_suite
from tests.benchmarks.notations import FUNCTIONGEMMA, PYTHON, broken, tokens_of, written

if TYPE_CHECKING:
    from collections.abc import Sequence

SHAPES = ("one flat call", "parallel flat calls", "nested values")
STATES = ("valid", "broken")
BROKEN, WRONG = (
    0.2,
    0.2,
)  # shares: of outputs that are broken, and of valid ones that answer wrongly


class Output(NamedTuple):
    """A turn and everything that it takes to judge it, in both notations."""

    shape: str
    state: str
    mistake: str
    case: Case
    sample: Sample
    python: str
    functions: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    category: str


def outputs(n: int, seed: int) -> list[Output]:
    """Return n outputs, a third of each shape, of cases from mobile_actions and of made-up ones."""
    choose = random.Random(seed)
    written_cases: dict[str, list[Case]] = {shape: [] for shape in SHAPES}
    suite = load_suite("mobile_actions")
    for case in (*suite.cases, *suite.training_cases()):
        if case.expects_call:
            written_cases[SHAPES[len(case.expected[0]) > 1]].append(case)
    made = []
    for shape, _ in zip(itertools.cycle(SHAPES), range(n)):
        known = written_cases[shape]
        # The suite has no nested values.
        case = choose.choice(known) if known and choose.random() < 0.5 else _case(choose, shape)
        made.append(_output(choose, shape, case))
    choose.shuffle(made)
    return made


def _output(choose: random.Random, shape: str, case: Case) -> Output:
    calls = _answered(choose, case)
    if choose.random() < BROKEN:
        state, (mistake, text, python) = "broken", broken(choose, calls)
    else:
        state, mistake = "valid", ""
        tokens = tokens_of(calls)
        text, python = written(tokens, FUNCTIONGEMMA), written(tokens, PYTHON)
    return Output(
        shape,
        state,
        mistake,
        case,
        Sample(case.id, text=text, stop="token"),
        python,
        [_function_doc(tool) for tool in case.tools],
        [_possible_answer(call) for call in case.expected[0]],
        "parallel_multiple" if len(case.expected[0]) > 1 else "multiple",
    )


def _answered(choose: random.Random, case: Case) -> list[Call]:
    """Return calls that meet a case, or nearly."""
    calls = [
        Call(call.name, {key: _accepted(choose, value) for key, value in call.arguments.items()})
        for call in case.expected[0]
    ]
    if choose.random() < WRONG:
        at = choose.randrange(len(calls))
        name, arguments = calls[at].name, calls[at].arguments
        if arguments:
            # Of the same type, so that the values themselves have to be compared.
            key = choose.choice(list(arguments))
            arguments = {**arguments, key: _another(arguments[key])}
        else:
            name += "_now"
        calls[at] = Call(name, arguments)
    return calls


def _accepted(choose: random.Random, expected: Any) -> Any:
    if isinstance(expected, dict) and "$any" in expected:
        return choose.choice(expected["$any"])
    return expected


def _another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, dict):
        return {key: _another(item) for key, item in value.items()}
    if isinstance(value, list):
        return [*value, value[0]]
    return f"not {value}"


# Cases that are made up

KEYS = ("city", "query", "count", "radius_km", "title", "priority", "enabled", "date", "unit")
WORDS = (
    "Oslo",
    "weekly report",
    "São Paulo",
    "2026-03-14T09:30:00",
    "low",
    "a@example.org",
    "東京",
)
INNER = ("name", "amount", "active", "label")


def _case(choose: random.Random, shape: str) -> Case:
    functions = [
        _function(choose, f"{verb}_{noun}", nested=shape == SHAPES[2])
        for verb, noun in choose.sample(list(itertools.product(VERBS, NOUNS)), choose.randint(2, 5))
    ]
    n_calls = {SHAPES[0]: 1, SHAPES[1]: choose.randint(2, 3), SHAPES[2]: choose.randint(1, 3)}[
        shape
    ]
    called = [choose.choice(functions) for _ in range(n_calls)]
    return Case(
        id=f"made-{choose.randrange(10**9)}",
        messages=[{"role": "user", "content": "…"}],
        tools=[tool for tool, _ in functions],
        expected=[[Call(tool.name, _expected(choose, values)) for tool, values in called]],
    )


VERBS, NOUNS = ("find", "create", "update", "cancel"), ("order", "room", "alarm", "route", "note")


def _function(choose: random.Random, name: str, *, nested: bool) -> tuple[Tool, dict[str, Any]]:
    """Return a function and the arguments that a call of it expects."""
    values = {key: _scalar(choose) for key in choose.sample(KEYS, choose.randint(1, 4))}
    if nested:
        values["filters"] = _object(choose)
        values["items"] = [_object(choose) for _ in range(choose.randint(1, 3))]
        values["tags"] = [choose.choice(WORDS) for _ in range(choose.randint(1, 4))]
    schema = {
        "type": "object",
        "properties": {key: _schema(value) for key, value in values.items()},
        "required": list(values),
    }
    return Tool(name, "Does what its name says.", schema), values


def _object(choose: random.Random) -> dict[str, Any]:
    return {key: _scalar(choose) for key in choose.sample(INNER, choose.randint(1, 3))}


def _scalar(choose: random.Random) -> Any:
    return choose.choice(
        (
            choose.choice(WORDS),
            choose.randint(0, 500),
            choose.randint(1, 99) + 0.5,
            choose.random() < 0.5,
        )
    )


def _schema(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        properties = {key: _schema(item) for key, item in value.items()}
        return {"type": "object", "properties": properties}
    if isinstance(value, list):
        return {"type": "array", "items": _schema(value[0])}
    names = {str: "string", bool: "boolean", int: "integer", float: "number"}
    return {"type": names[type(value)], "description": "A value."}


def _expected(choose: random.Random, values: dict[str, Any]) -> dict[str, Any]:
    """Return expected arguments, some with two accepted values."""
    return {
        key: {"$any": [value, _another(_another(value))]}
        if not isinstance(value, dict | list | bool) and choose.random() < 0.2
        else value
        for key, value in values.items()
    }


# For bfcl-eval

_BFCL_TYPES = {"object": "dict", "number": "float"}


def _function_doc(tool: Tool) -> dict[str, Any]:
    parameters = _doc_of(tool.parameters)
    return {
        "name": tool.name,
        "description": tool.description,
        # Its checker reads both without asking whether they are there.
        "parameters": {"properties": {}, "required": [], **parameters},
    }


def _doc_of(schema: dict[str, Any]) -> dict[str, Any]:
    doc = {**schema, "type": _BFCL_TYPES.get(schema["type"], schema["type"])}
    if "properties" in schema:
        doc["properties"] = {key: _doc_of(inner) for key, inner in schema["properties"].items()}
    if "items" in schema:
        doc["items"] = _doc_of(schema["items"])
    return doc


def _possible_answer(call: Call) -> dict[str, Any]:
    return {call.name: {key: _possible(value) for key, value in call.arguments.items()}}


def _possible(expected: Any) -> list[Any]:
    """Return the accepted values of an argument; inside objects bfcl-eval lists them once more."""
    values: Sequence[Any] = [expected]
    if isinstance(expected, dict) and "$any" in expected:
        values = expected["$any"]
    return [_listed(value) for value in values]


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: [item] for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, list) else value
