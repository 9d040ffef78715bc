"""Lint finds what was put into a suite, and nothing in one that is right."""

import json

import pytest

from fcbench import load_suite
from fcbench.cli import main
from fcbench.errors import UsageError
from fcbench.lint import LEVELS, lint
from fcbench.suite import suite_names

NUMBER = {
    "name": "set_volume",
    "parameters": {
        "type": "object",
        "properties": {
            "level": {"type": "integer", "maximum": 10},
            "room": {"type": "string", "enum": ["kitchen", "hall"]},
        },
        "required": ["level"],
    },
}


@pytest.fixture
def found(write_lines, case_row):
    """Return a function that lints cases, given by their changed fields, and returns (kind, case)."""

    def run(*changes, training=(), format="functiongemma"):
        rows = [case_row(id=f"c{i}", **fields) for i, fields in enumerate(changes)]
        suite = load_suite(write_lines(*rows))
        train = load_suite(write_lines(*training, name="train.jsonl")).cases if training else ()
        return [(f.kind, f.case_id) for f in lint(suite, train, format)]

    return run


def volume(arguments, **fields):
    user = {"role": "user", "content": "Volume 3 in the kitchen, please."}
    return {
        "tools": [NUMBER],
        "messages": [user],
        "expected": [[{"name": "set_volume", "arguments": arguments}]],
        **fields,
    }


def test_a_right_case_has_no_finding(found):
    assert found({}, volume({"level": 3, "room": "kitchen"})) == []


def test_every_suite_that_comes_with_fcbench_passes(capsys):
    assert main(["lint", *suite_names()]) == 0
    out = capsys.readouterr().out
    assert all(f"{name}: passes" in out for name in suite_names())


@pytest.mark.parametrize(
    "arguments",
    [
        {"level": "3"},
        {"level": 11},
        {"level": 3, "room": "attic"},
        {"level": {"$any": [3, 3.5]}},
        {"room": "kitchen"},
        {"level": True},
    ],
)
def test_a_value_that_the_schema_refuses_is_an_error(found, arguments):
    assert ("schema_refuses", "c0") in found(volume(arguments))


def test_a_typing_error_in_an_argument_is_an_error(found):
    assert found(volume({"level": 3, "rooom": "kitchen"})) == [("unknown_argument", "c0")]


def test_an_open_schema_may_have_arguments_that_it_does_not_name(found):
    tool = {**NUMBER, "parameters": {**NUMBER["parameters"], "additionalProperties": True}}
    assert found(volume({"level": 3, "mood": "kitchen"}, tools=[tool])) == []


def test_a_required_argument_marked_optional_is_an_error(found):
    optional = {"$any": [3], "$optional": True}
    assert found(volume({"level": optional})) == [("required_optional", "c0")]
    assert (
        found(volume({"level": 3, "room": {"$any": ["hall", "kitchen"], "$optional": True}})) == []
    )


def test_what_a_format_cannot_express_is_an_error(found):
    case = {"expected": [[{"name": "show_map", "arguments": {"query": "<escape>"}}]]}
    assert ("inexpressible", "c0") in found(case)
    assert ("inexpressible", "c0") not in found(case, format="json")


def test_a_schema_that_is_none_is_an_error(found):
    tool = {
        "name": "set_volume",
        "parameters": {
            "type": "object",
            "properties": {"level": {"enum": []}, "room": {"minLength": -1}},
        },
    }
    assert ("invalid_schema", "c0") in found(volume({"level": 3}, tools=[tool]))


def test_an_answer_under_rules_that_nothing_meets_is_an_error(tmp_path, case_row, monkeypatch):
    from fcbench.matching import exact

    suite = load_suite("original_experiment")
    real = exact.match
    monkeypatch.setattr(
        exact, "match", lambda case, calls, matching: real(case, calls[:1], matching)
    )
    kinds = {(f.kind, f.case_id) for f in lint(suite) if f.is_error}
    assert kinds == {("unsatisfiable", c.id) for c in suite.cases if len(c.expected[0]) > 1}
    assert kinds


def test_answers_and_values_that_accept_the_same_overlap(found):
    oslo = [{"name": "show_map", "arguments": {"query": "Oslo"}}]
    either = [{"name": "show_map", "arguments": {"query": {"$any": ["Oslo", "Show me"]}}}]
    assert found({"expected": [oslo, either]}) == [("overlap", "c0")]
    twice = [{"name": "show_map", "arguments": {"query": {"$any": ["Oslo", "Oslo"]}}}]
    assert found({"expected": [twice]}) == [("overlap", "c0")]


def test_a_case_that_is_asked_twice_is_an_error(found):
    assert found({}, {}) == [("duplicate", "c1")]
    assert found({}, {"messages": [{"role": "user", "content": "Show me Oslo!"}]}) == []


def test_a_string_that_stands_nowhere_is_a_warning(found):
    assert found({"expected": [[{"name": "show_map", "arguments": {"query": "Bergen"}}]]}) == [
        ("unmentioned", "c0")
    ]
    assert found({"expected": [[{"name": "show_map", "arguments": {"query": "show  ME"}}]]}) == []


def test_words_of_a_training_file_are_leaks(found, case_row):
    long = "Show me the shortest way from the old harbour to the railway station, please"
    asked = [
        {"messages": [{"role": "user", "content": text}], "expected": [[]]}
        for text in (long, f"{long} now", "Oslo")
    ]
    training = [
        case_row(id="t", messages=[{"role": "user", "content": f"{long.upper()}!"}], expected=[[]])
    ]
    assert found(*asked, training=training) == [("leaked", "c0"), ("nearly_leaked", "c1")]


def test_every_near_pair_is_found_that_comparing_all_would_find():
    import random

    from fcbench.lint._duplicates import NEAR, _Index, _jaccard, _shingles

    rng = random.Random(4)
    words = ["red", "green", "blue", "send", "mail", "to", "anna", "light", "on"]
    texts = [" ".join(rng.choices(words, k=rng.randint(3, 9))) for _ in range(300)]
    index = _Index({str(i): text for i, text in enumerate(texts)})
    asked = [" ".join(rng.choices(words, k=rng.randint(3, 9))) for _ in range(100)] + [
        f"{t} now" for t in texts[:50]
    ]
    n_near = 0
    for text in asked:
        best = max(_jaccard(_shingles(text), _shingles(other)) for other in texts)
        nearest = index.nearest(text)
        assert (nearest is not None) == (best >= NEAR)
        if nearest is not None:
            n_near += 1
            assert nearest[0] == best
    assert n_near > 10


def test_the_command_prints_kinds_counts_and_where(write_lines, case_row, capsys):
    path = write_lines(
        case_row(), case_row(id="b", expected=[[{"name": "show_map", "arguments": {"query": 1}}]])
    )
    assert main(["lint", str(path)]) == 1
    out = capsys.readouterr().out
    assert "cases: errors in 1 case (2 cases)" in out
    assert "error: schema_refuses in 1 case" in out
    assert "b $.expected[0][0].arguments.query" in out
    assert main(["lint", str(path), "--json"]) == 1
    (plain,) = json.loads(capsys.readouterr().out)
    assert {f["kind"] for f in plain["findings"]} <= set(LEVELS)
    assert [f["case_id"] for f in plain["findings"] if f["is_error"]] == ["b", "b"]


def test_a_warning_alone_passes(write_lines, case_row, capsys):
    path = write_lines(
        case_row(expected=[[{"name": "show_map", "arguments": {"query": "Bergen"}}]])
    )
    assert main(["lint", str(path)]) == 0
    assert "passes (1 case)" in capsys.readouterr().out


def test_an_unknown_format_is_a_usage_error():
    with pytest.raises(UsageError, match="functiongemma"):
        lint(load_suite("original_experiment"), format="funtiongemma")


def test_another_training_file_may_be_named(write_lines, case_row, capsys):
    cases = write_lines(case_row())
    train = write_lines(case_row(id="t"), name="other.jsonl")
    assert main(["lint", str(cases), "--train", str(train)]) == 1
    assert "leaked" in capsys.readouterr().out
