"""Metrics: over which verdicts each one is, and its value at the edges."""

import pytest

from fcbench import Call, Case, Sample, Tool, parse
from fcbench.formats import render
from fcbench.matching import judge
from fcbench.metrics import metric, metric_names, unit_of

SHARES = [name for name in metric_names() if unit_of(name) is None]
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}, "day": {"format": "date"}}}
OPTIONAL = {"$any": [1], "$optional": True}


def call(name="f", **arguments):
    return Call(name, arguments)


def verdict(text, *answers, parameters=SCHEMA, **sample):
    """Return the verdict on a text, or on calls, where any of the answers is right."""
    text = text if isinstance(text, str) else render(text)
    case = Case(
        "a",
        [{"role": "user", "content": "…"}],
        [Tool("f", "", parameters)],
        [list(a) for a in answers],
    )
    lenient = parse(text, mode="lenient")
    return judge(case, Sample("a", text=text, **sample), parse(text), lenient=lenient)


def value(name, *given, **options):
    return metric(name)(verdict(*given, **options))


@pytest.mark.parametrize("name", metric_names())
@pytest.mark.parametrize("answers", [[[call(x=1)]], [[]], []])
@pytest.mark.parametrize("text", ["", "No.", "call:f{", render([call(x=1)])])
def test_an_error_is_in_no_metric(name, answers, text):
    assert value(name, text, *answers, error="timeout", seconds=1.0, output_tokens=2) is None


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("answers", [[[call(x=1)]], [[]], [[call(), call()], [call()]]])
@pytest.mark.parametrize(
    "text", ["", "No.", "call:f{", render([call(x=1)]), render([call("g", y=[{"b": 1, "a": 2}])])]
)
def test_a_share_is_between_0_and_1(name, answers, text):
    found = value(name, text, *answers)
    assert found is None or 0 <= found <= 1


def test_quantities_have_a_unit_and_no_threshold():
    assert {name: unit_of(name) for name in metric_names() if unit_of(name)} == {
        "seconds": "seconds",
        "output_tokens": "tokens",
    }


@pytest.mark.parametrize("name", ["seconds", "output_tokens"])
def test_a_quantity_that_the_backend_did_not_say_is_none_and_0_is_said(name):
    assert value(name, "No.", [call()]) is None
    assert value(name, "No.", [call()], **{name: 0}) == 0


@pytest.mark.parametrize(
    ("text", "abstains", "calls_too_often"),
    [("No.", 1, 0), ("", 0, 0), ("call:f{", 0, 1), ([call(x=1)], 0, 1)],
)
def test_where_no_call_is_right_an_empty_answer_is_neither_abstention_nor_call(
    text, abstains, calls_too_often
):
    assert value("abstention", text, []) == abstains
    assert value("over_calling", text, []) == calls_too_often


def test_more_calls_than_the_longest_accepted_answer_has_are_too_many():
    answers = [call()], [call(), call()]
    assert value("over_calling", [call()] * 2, *answers) == 0
    assert value("over_calling", [call()] * 3, *answers) == 1
    assert value("over_calling", "call:f{", *answers) == 0


@pytest.mark.parametrize(
    ("expected", "called", "precision", "recall", "f1"),
    [
        ([call(x=1, y=2)], [call(x=1, y=3)], 1 / 2, 1 / 2, 1 / 2),
        ([call(x=1)], [call(x=1, y=3)], 1 / 2, 1, 2 / 3),
        ([call(x=1, y=2)], [call(x=1)], 1, 1 / 2, 2 / 3),
        ([call(x=1)], [call(x=1), call(x=2)], 1 / 2, 1, 2 / 3),
        ([call(x=1), call(x=2)], [call(x=2)], 1, 1 / 2, 2 / 3),
        ([call(x=1)], [call("g", x=1)], 0, 0, 0),
        ([call()], [call()], None, None, None),
        ([call()], [call(x=1)], 0, None, 0),
        ([call(x=1)], [call()], None, 0, 0),
        ([call(x=OPTIONAL, y=1)], [call(y=1)], 1, 1, 1),
        ([call(x=OPTIONAL)], [call()], None, None, None),
        ([call(x=OPTIONAL)], [call(x=1)], 1, 1, 1),
        ([call(x=1)], "call:f{", None, 0, 0),
        ([], "No.", None, None, None),
        ([], [call(x=1)], None, None, None),
    ],
)
def test_arguments_are_counted_on_the_side_that_has_them(expected, called, precision, recall, f1):
    names = ("argument_precision", "argument_recall", "argument_f1")
    assert tuple(value(name, called, expected) for name in names) == (precision, recall, f1)


@pytest.mark.parametrize(
    ("called", "fits"),
    [
        ([call(x=1.0)], 1),
        ([call(x=True)], 0),
        ([call(day="no date")], 1),
        ([call(other=1)], 1),
        ([call(x=1), call(x="1")], 0),
        ([call("g", x=1)], 0),
        ("call:f{", 0),
        ("No.", 0),
    ],
)
def test_calls_fit_their_tools_schemas(called, fits):
    assert value("schema_valid", called, [call(x=1)]) == fits
    assert value("schema_valid", called, []) is None


@pytest.mark.parametrize(
    "schema", [{"required": "x"}, {"$ref": "#/$defs/none"}, {"$ref": "https://example.com/x"}]
)
def test_a_schema_that_is_none_allows_nothing(schema):
    assert value("schema_valid", [call(x=1)], [call(x=1)], parameters=schema) == 0


@pytest.mark.parametrize(
    ("written", "is_sorted"),
    [
        ("a:1,B:2", 1),
        ("B:2,a:1", 0),
        ("x:{b:1,a:2}", 0),
        ("x:[{a:1},{b:1,a:2}]", 0),
        ("x:[{a:1,b:2}]", 1),
    ],
)
def test_keys_are_sorted_at_every_depth(written, is_sorted):
    text = f"<start_function_call>call:f{{{written}}}<end_function_call>"
    assert value("canonical_order", text, [call()]) == is_sorted
    right = render([call(a=1)])
    assert value("canonical_order", right + text, [call()]) == is_sorted
    assert value("canonical_order", text + right, [call()]) == is_sorted


@pytest.mark.parametrize("name", ["canonical_order", "hallucinated_function"])
def test_a_metric_of_calls_is_over_the_turns_that_hold_some(name):
    assert value(name, [call()], []) is not None
    assert value(name, "No.", [call()]) is None
    assert value(name, "call:f{", [call()]) is None


def test_one_call_of_many_may_name_no_function():
    assert value("hallucinated_function", [call(), call("g")], [call()]) == 1
    assert value("hallucinated_function", [call(), call()], [call()]) == 0


@pytest.mark.parametrize("name", ["syntax_validity", "name_match", "argument_exact_match"])
def test_a_headline_metric_is_over_the_cases_that_expect_a_call(name):
    for suffix in ("", "_lenient"):
        assert value(name + suffix, "No.", []) is None
        assert value(name + suffix, "No.", [call(x=1)]) == 0
    mended = f"Sure! {render([call(x=1)])}"
    assert value(name, mended, [call(x=1)]) == 0
    assert value(f"{name}_lenient", mended, [call(x=1)]) == 1
