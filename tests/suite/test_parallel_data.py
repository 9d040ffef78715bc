"""The data of the suite `parallel`, read as JSON lines; its generator is not imported."""

import difflib
import re
from collections import Counter

import jsonschema
import pytest

import fcbench
from tests.suite.written import FILES, read

ROWS = read("parallel")
SPLITS = pytest.mark.parametrize("split", FILES)
SEQUENCE = re.compile(
    r"\b(first|then|before|after|once|until|finally|at the end|at last|last of all|in this order"
    r"|but only when)\b",
    re.IGNORECASE,
)
CORRECTION = re.compile(
    r"\b(no|sorry|rather|better|I mean|I meant|wait|scratch that|hang on|let's say)\b"
)
SHARE = re.compile(r"\b(each|both|every|all|same)\b", re.IGNORECASE)


def said(row):
    (message,) = row["messages"]
    assert message["role"] == "user"
    return message["content"]


def calls_of(row):
    (calls,) = row["expected"]
    return calls


def schema_of(row, name):
    (tool,) = [tool for tool in row["tools"] if tool["name"] == name]
    return tool["parameters"]


def values(row):
    """Each value of each call with its schema; of a list, its items."""
    for call in calls_of(row):
        for argument, value in call["arguments"].items():
            schema = schema_of(row, call["name"])["properties"][argument]
            if isinstance(value, list):
                yield from ((item, schema["items"]) for item in value)
            else:
                yield value, schema


def stands_in(value, text):
    return re.search(rf"(?<![\w-]){re.escape(str(value))}(?![\w-])", text) is not None


def suite_with(split):
    suite = fcbench.load_suite("parallel")
    return suite, suite.cases if split == "eval" else suite.training_cases()


@SPLITS
def test_tools_are_valid_schemas_and_expected_calls_are_valid_by_them(split):
    for row in ROWS[split]:
        assert len({tool["name"] for tool in row["tools"]}) == len(row["tools"])
        for tool in row["tools"]:
            parameters = tool["parameters"]
            jsonschema.Draft202012Validator.check_schema(parameters)
            assert parameters["type"] == "object"
            assert parameters["required"] == list(parameters["properties"])
            assert all(schema["description"] for schema in parameters["properties"].values())
            assert tool["description"]
        for call in calls_of(row):
            strict = {**schema_of(row, call["name"]), "additionalProperties": False}
            jsonschema.Draft202012Validator(strict).validate(call["arguments"])


@SPLITS
def test_every_value_but_an_enum_member_stands_in_the_request(split):
    """So no call needs the result of another one."""
    for row in ROWS[split]:
        for value, schema in values(row):
            assert type(value) is {"string": str, "integer": int}[schema["type"]]
            if "enum" not in schema:
                assert stands_in(value, said(row)), (row["id"], value)


@SPLITS
def test_items_of_a_list_are_in_the_order_of_the_request(split):
    for row in ROWS[split]:
        for call in calls_of(row):
            for value in call["arguments"].values():
                if isinstance(value, list):
                    places = [said(row).index(str(item)) for item in value]
                    assert places == sorted(places), row["id"]


def test_turned_round_only_ordered_answers_are_wrong():
    suite, cases = suite_with("eval")
    turned = {case.id: fcbench.render(case.expected[0][::-1]) for case in cases}
    right = {v.case.id: v.arguments for v in fcbench.score(turned, suite=suite).verdicts}
    assert right == {case.id: not case.ordered for case in cases}


@SPLITS
def test_tags_that_follow_from_the_calls_are_true(split):
    for row in ROWS[split]:
        names = [call["name"] for call in calls_of(row)]
        several = len(names) > 1
        tags = set(row["tags"])
        assert f"calls_{len(names)}" in tags
        assert sum(tag.startswith("calls_") for tag in tags) == 1
        assert ("same_function" in tags) == (several and len(set(names)) == 1)
        assert ("different_functions" in tags) == (several and len(set(names)) == len(names))
        assert ("mixed" in tags) == (1 < len(set(names)) < len(names))
        assert ("ordered" in tags) == row.get("ordered", False)
        identical = any(calls_of(row).count(call) > 1 for call in calls_of(row))
        assert ("identical_calls" in tags) == identical, row["id"]


@SPLITS
def test_a_shared_value_is_said_once_for_several_calls(split):
    for row in ROWS[split]:
        different = []
        for call in calls_of(row):
            if call not in different:
                different.append(call)
        carried = Counter(
            str(value)
            for call in different
            for value in call["arguments"].values()
            if not isinstance(value, list)
        )
        shared = any(n > 1 and said(row).count(value) == 1 for value, n in carried.items())
        assert ("shared_value" in row["tags"]) == shared, row["id"]


@SPLITS
def test_the_order_counts_exactly_where_the_request_says_it(split):
    for row in ROWS[split]:
        words = re.sub(r'"[^"]*"', "", said(row))
        assert bool(SEQUENCE.search(words) or "one after the other" in words) == row.get(
            "ordered", False
        ), row["id"]


@SPLITS
def test_what_is_told_backwards_names_a_later_call_first(split):
    """By the first place in the request where a value that only one call has stands."""
    for row in ROWS[split]:
        if not row.get("ordered"):
            assert "told_backwards" not in row["tags"]
            continue
        carried = [
            {str(v) for v in call["arguments"].values() if not isinstance(v, list)}
            for call in calls_of(row)
        ]
        places = []
        for number, own in enumerate(carried):
            others = set().union(*(c for n, c in enumerate(carried) if n != number))
            found = [said(row).find(value) for value in own - others if value in said(row)]
            places += [min(found)] if found else []
        if len(places) == len(carried):
            assert ("told_backwards" in row["tags"]) == (places != sorted(places)), row["id"]
        if "told_backwards" in row["tags"]:
            assert re.search(r"\b(before|after|first|only|until)\b", said(row), re.IGNORECASE)


@SPLITS
def test_one_call_suffices_where_one_is_expected_and_nothing_is_taken_back(split):
    for row in ROWS[split]:
        one = len(calls_of(row)) == 1
        assert ("one_call_suffices" in row["tags"]) == (one and "corrected" not in row["tags"])


@SPLITS
def test_one_call_suffices_by_a_list_or_a_number(split):
    for row in ROWS[split]:
        if "one_call_suffices" in row["tags"]:
            ((call,),) = row["expected"]
            assert any(
                isinstance(value, list | int) and value != 1 for value in call["arguments"].values()
            ), row["id"]


@SPLITS
def test_a_corrected_request_holds_a_value_that_is_not_called(split):
    """Where no word of the request is left over, nothing was taken back."""
    for row in ROWS[split]:
        called = " ".join(str(value) for value, _ in values(row))
        if "corrected" in row["tags"]:
            assert CORRECTION.search(said(row)), row["id"]
            spoken = set(re.findall(r"(?<!^)(?<![.!?] )\b[A-Z][\w-]+|\b\d+\b", said(row)))
            for _, schema in values(row):
                spoken |= {member for member in schema.get("enum", []) if member in said(row)}
            spoken |= set(re.findall(r'"([^"]*)"', said(row)))
            spoken |= set(re.findall(r"\b\w+-\w+\b", said(row)))
            assert any(word not in called for word in spoken - {"I"}), row["id"]


@SPLITS
def test_what_is_enumerated_is_told_by_an_enum_and_not_by_the_words(split):
    for row in ROWS[split]:
        if "enumerated" in row["tags"]:
            assert any(
                "enum" in schema and not stands_in(value, said(row))
                for value, schema in values(row)
            ), row["id"]


@SPLITS
def test_what_is_distributive_says_so(split):
    for row in ROWS[split]:
        if "distributive" in row["tags"]:
            assert SHARE.search(said(row)), row["id"]


def test_evaluation_holds_enough_of_everything():
    counted = Counter(tag for row in ROWS["eval"] for tag in row["tags"])
    assert len(ROWS["eval"]) >= 140
    assert min(counted[f"calls_{n}"] for n in (2, 3, 4)) >= 20
    assert min(counted[f"calls_{n}"] for n in (5, 6)) >= 8
    for tag in ("same_function", "different_functions", "mixed", "ordered", "shared_value"):
        assert counted[tag] >= 20, counted
    for tag in ("one_call_suffices", "corrected", "distributive", "told_backwards"):
        assert counted[tag] >= 10, counted


def test_evaluation_and_training_share_no_tool_and_no_string_value():
    def shared(found):
        return set(found(ROWS["eval"])) & set(found(ROWS["train"]))

    assert not shared(lambda rows: (tool["name"] for row in rows for tool in row["tools"]))
    assert not shared(lambda rows: (tool["description"] for row in rows for tool in row["tools"]))
    assert not shared(
        lambda rows: (
            value
            for row in rows
            for value, schema in values(row)
            if isinstance(value, str) and "enum" not in schema
        )
    )


def test_no_request_is_nearly_another():
    requests = [said(row) for rows in ROWS.values() for row in rows]
    for number, one in enumerate(requests):
        matcher = difflib.SequenceMatcher(None, autojunk=False)
        matcher.set_seq2(one)
        for other in requests[:number]:
            matcher.set_seq1(other)
            near = matcher.quick_ratio() > 0.8 and matcher.ratio() > 0.8
            assert not near, (one, other)
