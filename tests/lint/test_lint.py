"""Lint finds what was put into a suite, and nothing in one that is right."""

import json

import pytest
from msgspec import structs

from fcbench import Case, Matching, load_suite
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


@pytest.fixture
def told(write_lines, case_row):
    """Return a function that lints cases under some rules and returns (kind, where, what)."""

    def run(*changes, training=(), matching=None):
        suite = load_suite(write_lines(*(case_row(id=f"c{i}", **c) for i, c in enumerate(changes))))
        suite = structs.replace(suite, matching=matching or suite.matching)
        train = load_suite(write_lines(*training, name="train.jsonl")).cases if training else ()
        return [(f.kind, f.where, f.what) for f in lint(suite, train)]

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
    assert found(volume({"level": 3}, tools=[tool])) == [("invalid_schema", "c0")]


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


def test_two_tools_of_one_name_are_an_error(found):
    assert found(volume({"level": 3}, tools=[NUMBER, NUMBER])) == [("twin_tools", "c0")]


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


LEVEL = "$.expected[0][0].arguments.level"


@pytest.mark.parametrize(
    ("arguments", "findings"),
    [
        ({"level": 11}, [("schema_refuses", LEVEL, "set_volume: $.level: 11 is greater than the maximum of 10")]),
        ({"room": "kitchen"}, [("schema_refuses", "$.expected[0][0].arguments", "set_volume: $: 'level' is a required property")]),
        ({"level": 3, "rooom": "kitchen"}, [("unknown_argument", "$.expected[0][0].arguments.rooom", "set_volume has none")]),
        ({"level": {"$any": [3], "$optional": True}}, [("required_optional", LEVEL, "set_volume needs it")]),
        ({"level": {"$any": [3, 3, 3]}}, [("overlap", LEVEL, "3 stands there twice")]),
        ({"level": {"$any": [3, 1]}}, []),
        ({"level": 3, "room": "hall"}, []),  # an enum mentions it
    ],
)  # fmt: skip
def test_a_finding_says_where_and_what(told, arguments, findings):
    assert told(volume(arguments)) == findings


def test_a_faulty_schema_is_told_with_its_tool(told):
    tool = {"name": "set_volume", "parameters": {"properties": {"level": {"minLength": -1}}}}
    assert told(volume({"level": 3}, tools=[NUMBER | {"name": "other"}, tool])) == [
        (
            "invalid_schema",
            "$.tools[1].parameters",
            "set_volume: $: not a valid schema at $.properties.level.minLength: -1 is less than the minimum of 0",
        )
    ]


def test_true_and_1_stand_in_a_list_as_two_values(told):
    tool = {"name": "set_volume", "parameters": {"properties": {"level": {}}}}
    assert told(volume({"level": {"$any": [3, True, 1]}}, tools=[tool])) == []


def test_a_value_that_the_rules_never_accept_is_dead(told):
    # BFCL looks at types first: a number is no string, whatever the list says.
    tool = {"name": "set_volume", "parameters": {"type": "object", "properties": {"level": {"type": "string"}}}}  # fmt: skip
    rules = Matching("bfcl")
    findings = told(volume({"level": {"$any": ["3", 3]}}, tools=[tool]), matching=rules)
    assert [f for f in findings if f[0] != "schema_refuses"] == [("dead_value", LEVEL, "3")]
    assert told(volume({"level": {"$any": ["3", "kitchen"]}}, tools=[tool]), matching=rules) == []


def test_an_answer_that_the_rules_refuse_is_told_with_the_call_that_was_tried(told):
    # BFCL wants every required argument, so one that has to be absent cannot be.
    never = {"level": 3, "room": {"$any": [], "$optional": True}}
    tool = {**NUMBER, "parameters": {**NUMBER["parameters"], "required": ["level", "room"]}}
    assert ("unsatisfiable", "c0") not in told(volume(never))
    findings = told(volume(never, tools=[tool]), matching=Matching("bfcl"))
    assert [f for f in findings if f[0] == "unsatisfiable"] == []
    # Nor is an answer right that lacks one.
    assert told(volume({"room": "hall"}), matching=Matching("bfcl"))[0] == (
        ("unsatisfiable", "$.expected[0]", "not even by set_volume({'room': 'hall'})")
    )


def test_a_dead_value_is_no_solution_and_one_alone_leaves_none(told):
    # BFCL takes no array of integers with a number in it.
    level = {"type": "array", "items": {"type": "integer"}}
    tool = {"name": "set_volume", "parameters": {"properties": {"level": level}, "required": ["level"]}}  # fmt: skip

    def findings(expected):
        found = told(volume({"level": expected}, tools=[tool]), matching=Matching("bfcl"))
        return [f for f in found if f[0] != "schema_refuses"]

    dead = ("dead_value", LEVEL, "[1, 2.5]")
    assert findings({"$any": [[1, 2.5], [3]]}) == [dead]
    assert findings([1, 2.5]) == [
        dead,
        ("unsatisfiable", "$.expected[0]", "not even by set_volume({'level': [1, 2.5]})"),
    ]


def test_a_call_that_is_right_needs_a_tool(told):
    suite = load_suite("original_experiment")
    tools = suite.cases[1].tools
    asked = [{"role": "user", "content": "Go."}]
    cases = [Case("a", asked, [], []), Case("b", asked, tools, []), Case("c", asked, [], [[]])]
    findings = lint(structs.replace(suite, cases=cases))
    assert [(f.kind, f.case_id, f.where) for f in findings if f.kind == "unsatisfiable"] == [
        ("unsatisfiable", "a", "$.tools")
    ]


def test_answers_that_overlap_are_told_once_the_wider_one_first(told):
    def asked(query):
        return [{"name": "show_map", "arguments": {"query": query}}]

    wide, narrow, other = {"$any": ["Show", "Oslo"]}, "Oslo", "show me"
    first, second = (
        ("overlap", "$.expected[0]", "accepts what $.expected[2] asks for"),
        (
            "overlap",
            "$.expected[1]",
            "accepts what $.expected[0] asks for",
        ),
    )
    assert told({"expected": [asked(wide), asked(other), asked(narrow)]}) == [first]
    assert told({"expected": [asked(narrow), asked(wide)]}) == [second]
    assert told({"expected": [asked(narrow), asked(narrow)]}) == [
        ("overlap", "$.expected[0]", "accepts what $.expected[1] asks for")
    ]
    loose = Matching(normalise=("case",))
    assert told({"expected": [asked("Oslo"), asked("oslo")]}) == []
    assert len(told({"expected": [asked("Oslo"), asked("oslo")]}, matching=loose)) == 1


def test_a_case_that_is_asked_twice_is_told_with_its_twin(told, case_row):
    tools = [*case_row()["tools"], {"name": "f"}]
    same = ("duplicate", "$.messages", "asks what c0 asks and expects the same answer")
    another = ("duplicate", "$.messages", "asks what c0 asks and expects ANOTHER answer")
    assert told({}, {"expected": [[]]}, {}) == [another, same]
    assert told({"tools": tools}, {"tools": tools[::-1]}) == [same]
    assert told({"tools": tools}, {}) == []


@pytest.mark.parametrize(
    ("expected", "unmentioned"),
    [
        ("Oslo", None),
        ("OSLO", None),
        ("Bergen", "'Bergen'"),
        ({"$any": ["Bergen", "Oslo"]}, None),
        ({"$any": ["Bergen", "Bodø"]}, "'Bergen'"),
        ({"$any": [], "$optional": True}, None),
        (["Oslo", {"Bergen": ["Bodø"]}], "'Bodø'"),
        ("me  Oslo", None),
        ("kitchen", None),
        ("10", None),
        (11, None),
        ("", None),
    ],
)
def test_a_string_is_mentioned_in_the_messages_or_the_tools(told, expected, unmentioned):
    parameters = {"properties": {"q": {"description": "Kitchen or hall", "examples": [10]}}}
    call = {"name": "f", "arguments": {"q": expected}}
    findings = told({"tools": [{"name": "f", "parameters": parameters}], "expected": [[call]]})
    where = "$.expected[0][0].arguments.q"
    assert findings == ([("unmentioned", where, unmentioned)] if unmentioned else [])


def test_a_leak_is_told_with_the_training_case(told, case_row):
    words = "Show me the shortest way from the old harbour to the railway station, please"
    rules = [{"role": "developer", "content": "Be brief."}]

    def asked(text, opening=()):
        return {"messages": [*opening, {"role": "user", "content": text}], "expected": [[]]}

    training = [case_row(id="t1", **asked(words)), case_row(id="t2", **asked(words.upper(), rules))]
    assert told(asked(f"«{words}»!", rules), training=training) == [
        ("leaked", "$.messages", "the words of t1")
    ]
    ((kind, where, what),) = told(asked(f"{words} now"), training=training)
    assert (kind, where) == ("nearly_leaked", "$.messages")
    # 71 of 75 pieces of five characters; of two as near, the last by name.
    assert what == "95% alike with t2"
    assert told(asked("Show me the way to the station"), training=training) == []


def test_texts_shorter_than_a_piece_are_compared_whole(told, case_row):
    def asked(text):
        return {"messages": [{"role": "user", "content": text}], "expected": [[]]}

    training = [case_row(id="t", **asked("Oslo"))]
    assert told(asked("oslo?"), training=training) == [("leaked", "$.messages", "the words of t")]
    assert told(asked("Osl"), training=training) == []
