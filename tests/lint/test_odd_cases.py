"""Lint says what is wrong with odd cases and schemas, is silent about right ones, never raises."""

import pytest

from fcbench import Call, Case, Matching, Tool
from fcbench.errors import UsageError
from fcbench.lint import lint
from fcbench.suite import Suite

LONG = 10**5000  # CPython prints no integer of more than 4,300 digits
NOTHING = {"$any": [], "$optional": True}


def asks(*answers, parameters=None, words="Show me Oslo.", description="", **fields):
    tool = Tool("f", description, {} if parameters is None else parameters)
    expected = [[Call("f", arguments)] for arguments in answers] or [[]]
    return Case(
        **{
            "id": "a",
            "messages": [{"role": "user", "content": words}],
            "tools": [tool],
            "expected": expected,
            **fields,
        }
    )


def kinds(*cases, training=(), format="functiongemma", **matching):
    suite = Suite("s", list(cases), "0", "s", matching=Matching(**matching))
    return [finding.kind for finding in lint(suite, training, format)]


def of_x(schema):
    return {"type": "object", "properties": {"x": schema}}


@pytest.mark.parametrize(
    "parameters",
    [
        {"$ref": "#/$defs/p", "$defs": {"p": {"properties": {"x": {}, "y": {}}}}},
        {"properties": {"x": {}, "y": {}}, "allOf": [{"required": ["x", "y"]}]},
        {"anyOf": [{"properties": {"x": {}, "y": {}}, "required": ["x", "y"]}]},
        {"properties": {"x": {"$ref": "#/$defs/i"}, "y": {}}, "$defs": {"i": {"type": "integer"}}},
        {"patternProperties": {"^[xy]$": {"type": "integer"}}},
    ],
)
def test_a_schema_that_declares_arguments_elsewhere_accepts_them(parameters):
    assert kinds(asks({"x": 1, "y": 2}, parameters=parameters)) == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"$ref": "#/$defs/p", "$defs": {"p": {"properties": {"x": {"type": "string"}}}}},
        {"properties": {"x": {}, "y": {}}, "allOf": [{"required": ["x", "y", "z"]}]},
        {"patternProperties": {"^[xy]$": {"type": "string"}}},
        {"patternProperties": {"^x$": {}}, "additionalProperties": False},
    ],
)
def test_what_such_a_schema_refuses_is_found(parameters):
    assert "schema_refuses" in kinds(asks({"x": 1, "y": 2}, parameters=parameters))


def test_every_accepted_value_is_held_against_the_schema():
    parameters = of_x({"type": "integer"})
    assert kinds(asks({"x": {"$any": [*range(100), "a"]}}, parameters=parameters)) == [
        "schema_refuses"
    ]


@pytest.mark.parametrize(
    ("values", "matching", "found"),
    [
        ([{"k": True}, {"k": 1}], {}, []),
        ([{"k": 2.0}, {"k": 2}], {}, ["overlap"]),
        (["Oslo", "oslo"], {}, []),
        (["Oslo", "oslo"], {"normalise": ("case",)}, ["overlap"]),
    ],
)
def test_values_overlap_as_the_matcher_compares_them(values, matching, found):
    assert kinds(asks({"x": {"$any": values}}, parameters=of_x({})), **matching) == found


def test_a_string_of_a_tools_description_is_mentioned():
    case = asks({"x": "ZX9"}, parameters=of_x({}), description="The code is ZX9.")
    assert kinds(case) == []


def test_the_format_and_the_rules_are_checked_where_no_call_is_expected():
    with pytest.raises(UsageError, match="no such name among formats"):
        kinds(asks(), format="bogus")
    with pytest.raises(UsageError, match="no such normalisation"):
        kinds(asks(), normalise=("bogus",))


def test_words_that_are_marks_alone_leak_nothing():
    assert kinds(asks(words="…"), training=[asks(words="?")]) == []


def test_an_answer_that_accepts_nothing_is_unsatisfiable():
    assert kinds(asks({"x": [NOTHING]}, {"x": 1}, parameters=of_x({}))) == ["unsatisfiable"]
    assert kinds(asks({"x": 1}, tools=[])) == ["unsatisfiable"]


def deep(levels):
    value = "v"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("case", "found"),
    [
        (asks({"x": LONG}, parameters=of_x({"type": "integer"})), []),
        (asks({"x": LONG}, parameters=of_x({"type": "string"})), ["schema_refuses"]),
        (asks({"x": {"$any": [LONG, LONG]}}, parameters=of_x({})), ["overlap"]),
        (asks({"x": 1}, parameters=of_x({"const": LONG})), ["invalid_schema"]),
        (asks({"x": 1, "y": LONG}, {"x": [NOTHING]}, parameters={"additionalProperties": True}),
         ["unsatisfiable"]),
        (asks({"x": deep(900)}, parameters=of_x({})), ["inexpressible"]),
    ],
)  # fmt: skip
def test_long_integers_and_deep_values_are_told(case, found):
    assert kinds(case) == found
