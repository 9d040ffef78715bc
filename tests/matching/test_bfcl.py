"""BFCL's rules, one by one, on rows of our own; tests/bfcl compares them with BFCL's own code."""

import json

import pytest

from fcbench import Call, Case, Parse, Sample, Tool
from fcbench.errors import UsageError
from fcbench.matching import check_matching, judge
from fcbench.types import Matching

BFCL = Matching("bfcl")
STRING, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
OBJECT, STRINGS = {"type": "object"}, {"type": "array", "items": STRING}
NUMBERS, OBJECTS = {"type": "array", "items": NUMBER}, {"type": "array", "items": OBJECT}
TABLE = {"type": "array", "items": NUMBERS}


def accepted(*values, optional=False):
    return {"$any": list(values), **({"$optional": True} if optional else {})}


def verdict(expected, called, properties, required=()):
    """Judge calls of f, each given as its arguments."""
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    case = Case(
        "a",
        [{"role": "user", "content": "…"}],
        [Tool("f", "", parameters)],
        [[Call("f", arguments) for arguments in expected]],
    )
    calls = [Call("f", arguments) for arguments in called]
    return judge(case, Sample("a", text="…"), Parse("calls", calls), BFCL)


def result(schema, expected, called):
    """Return how one argument compares."""
    found = verdict([{"x": expected}], [{"x": called}], {"x": schema})
    (argument,) = found.pairs[0].arguments
    assert found.arguments == (argument.result == "equal")
    return argument.result


@pytest.mark.parametrize(
    ("schema", "expected", "called", "says"),
    [
        # Strings.
        (STRING, accepted("New-York, NY"), "new york ny", "equal"),
        (STRING, accepted("it's"), 'IT"S', "equal"),
        (STRING, accepted("a"), "a!", "different"),
        (STRING, accepted("a", optional=True), "", "equal"),
        (STRING, accepted("a", optional=True), "-", "equal"),
        (STRING, accepted("a"), "", "different"),
        (STRING, accepted("5"), 5, "wrong_type"),
        (STRING, "plain", "Plain", "equal"),
        # Numbers and bools: Python's types.
        (NUMBER, accepted(2.0), 2, "equal"),
        (NUMBER, accepted(2.5), 2, "different"),
        (NUMBER, accepted(2.5), 10**400, "different"),
        (INTEGER, accepted(2), 2.0, "wrong_type"),
        (INTEGER, accepted(1), True, "wrong_type"),
        ({"type": "boolean"}, True, "True", "wrong_type"),
        # Of any type: strings.
        ({}, accepted("a b"), "AB", "equal"),
        ({}, accepted("1"), 1, "wrong_type"),
        # Variables: the first accepted value is of another type than the schema's.
        (INTEGER, accepted("n_days", 3), "n_days", "equal"),
        (INTEGER, accepted("n_days", 3), "N_days", "different"),
        (INTEGER, accepted("n_days", 3), 3, "equal"),
        (INTEGER, accepted(3, "n_days"), "n_days", "wrong_type"),
        (STRING, accepted(None, "a"), "A", "different"),
        (STRING, accepted("a", None), None, "wrong_type"),
        # Arrays.
        (STRINGS, accepted(["a", "b"]), ["A ", "b."], "equal"),
        (STRINGS, accepted(["a", "b"]), ["b", "a"], "different"),
        (STRINGS, accepted(["a"], optional=True), [], "equal"),
        (STRINGS, accepted(["a"]), [], "different"),
        (STRINGS, accepted(["a"]), [1], "wrong_type"),
        (STRINGS, accepted(["a"]), "a", "wrong_type"),
        (NUMBERS, accepted([1.0]), [1], "wrong_type"),
        (NUMBERS, accepted([1, 2]), [1.0, 2], "equal"),
        (NUMBERS, accepted([1.0], optional=True), [True], "equal"),
        (TABLE, accepted([[1.0]]), [[True]], "equal"),
        # Objects: accepted values for each key, one level deep.
        (OBJECT, accepted({"a": accepted("x", "y"), "b": accepted(1, optional=True)}), {"a": "Y"}, "equal"),
        (OBJECT, accepted({"a": accepted(1), "b": accepted("x")}), {"b": "x", "a": 1}, "equal"),
        (OBJECT, accepted({"a": accepted(1)}), {"a": True}, "equal"),
        (OBJECT, accepted({"a": accepted(1)}), {}, "different"),
        (OBJECT, accepted({"a": accepted(1)}), {"a": 1, "b": 1}, "different"),
        (OBJECT, accepted({"a": accepted(1)}, {"a": accepted(2)}), {"a": 2}, "equal"),
        (OBJECT, accepted({"a": accepted(["x"])}), {"a": ["X"]}, "different"),
        (OBJECT, accepted({"a": accepted({"b": [1, 2]})}), {"a": {"b": 1}}, "different"),
        (OBJECT, accepted({"a": accepted({"b": [1, 2]})}), {"a": {"b": [1, 2]}}, "equal"),
        (OBJECTS, accepted([{"a": accepted(1, 2)}, {"a": accepted(3)}]), [{"a": 2}, {"a": 3}], "equal"),
        (OBJECTS, accepted([{"a": accepted(1)}, {"a": accepted(3)}]), [{"a": 3}, {"a": 1}], "different"),
        (OBJECTS, accepted([{"a": accepted(1)}]), [], "different"),
        # Nothing is accepted.
        (STRING, accepted(), "a", "different"),
        (STRING, accepted(optional=True), "a", "different"),
        (STRING, accepted(optional=True), "", "equal"),
        # Where BFCL's code raises.
        (OBJECT, accepted({"a": accepted(1)}, 5), {"a": 2}, "different"),
        (STRINGS, accepted(["a"], None), ["a"], "different"),
        (OBJECTS, accepted([{"a": accepted(1)}], optional=True), [1], "different"),
        ({"type": ["string", "null"]}, accepted("a"), "a", "different"),
    ],
)  # fmt: skip
def test_one_argument(schema, expected, called, says):
    assert result(schema, expected, called) == says


def test_required_arguments_are_there_and_others_unless_empty_is_accepted():
    optional = {"x": accepted("a", optional=True)}
    assert verdict([optional], [{}], {"x": STRING}).arguments
    required = verdict([optional], [{}], {"x": STRING}, required=["x"])
    assert not required.arguments
    assert required.pairs[0].arguments[0].result == "missing"
    assert not verdict([{"x": accepted("a")}], [{}], {"x": STRING}).arguments
    # Required, and no accepted value is known.
    assert not verdict([{}], [{}], {"x": STRING}, required=["x"]).arguments
    assert not verdict([{}], [{"x": "a"}], {"x": STRING}, required=["x"]).arguments


def test_an_argument_that_the_answer_or_the_schema_lacks_is_extra():
    answer = {"x": accepted("a", optional=True)}
    for called, properties in (({"y": 1}, {"x": STRING, "y": INTEGER}), ({"x": "a"}, {})):
        found = verdict([answer], [called], properties)
        assert not found.arguments
        assert "extra" in {argument.result for argument in found.pairs[0].arguments}


def test_calls_come_in_any_order_and_each_is_taken_by_the_first_that_accepts_it():
    a, ab = {"x": accepted("a")}, {"x": accepted("a", "b")}
    called = [{"x": "b"}, {"x": "a"}]
    assert verdict([a, ab], called, {"x": STRING}).arguments
    # The second expected call wants what the first has taken.
    greedy = verdict([ab, a], called[::-1], {"x": STRING})
    assert (greedy.name, greedy.arguments) == (True, False)
    # Still both calls are laid beside an expected one.
    assert [pair.called for pair in greedy.pairs] == [0, 1]


@pytest.mark.parametrize("called", [[], [{"x": "a"}, {"x": "a"}]])
def test_another_number_of_calls_is_wrong(called):
    found = verdict([{"x": accepted("a")}], called, {"x": STRING})
    assert (found.name, found.arguments) == (False, False)


def test_names_are_compared_to_the_letter():
    tool = Tool("math.add", "", {"type": "object", "properties": {}, "required": []})
    case = Case("a", [{"role": "user", "content": "…"}], [tool], [[Call("math.add")]])
    for name, right in (("math.add", True), ("math_add", False), ("Math.add", False)):
        found = judge(case, Sample("a", text="…"), Parse("calls", [Call(name)]), BFCL)
        assert (found.name, found.arguments) == (right, right)


def test_any_call_is_right_where_nobody_said_which():
    case = Case("a", [{"role": "user", "content": "…"}], [Tool("f")], [])
    some = judge(case, Sample("a", text="…"), Parse("calls", [Call("g", {"x": 1})]), BFCL)
    none = judge(case, Sample("a", text="…"), Parse("abstained"), BFCL)
    assert (some.name, some.arguments, some.is_right) == (True, True, True)
    assert (none.name, none.arguments, none.is_right) == (False, False, False)


@pytest.mark.parametrize(
    "matching", [Matching("bfcl", ("case",)), Matching("bfcl", schema_defaults=True)]
)
def test_no_option_changes_the_rules(matching):
    with pytest.raises(UsageError, match="bfcl takes no normalise and no schema_defaults"):
        check_matching(matching)
    case = Case("a", [{"role": "user", "content": "…"}], [Tool("f")], [[Call("f")]])
    with pytest.raises(UsageError, match="takes no normalise"):
        judge(case, Sample("a", text="…"), Parse("calls", [Call("f")]), matching)


def test_a_verdict_can_be_written_as_json():
    found = verdict([{"x": accepted("a", optional=True)}], [{"x": 1}], {"x": STRING})
    pair = found.pairs[0].arguments[0]
    assert json.dumps([pair.expected, pair.called]) == '[{"$any": ["a"], "$optional": true}, 1]'
