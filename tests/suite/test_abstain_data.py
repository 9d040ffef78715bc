"""The data of the suite abstain, read as plain JSON lines."""

import difflib
from collections import Counter

import pytest

import fcbench
from tests.suite.written import is_said, read, said

ROWS = read("abstain")
KINDS = [
    "no_tool",
    "missing_argument",
    "small_talk",
    "general_question",
    "hypothetical",
    "not_yet",
    "already_done",
    "declined",
]
SPLITS = pytest.mark.parametrize("split", ROWS)


def of(split, tag):
    return [row for row in ROWS[split] if tag in row["tags"]]


def offered(row):
    return {tool["name"] for tool in row["tools"]}


@SPLITS
def test_tags_say_whether_a_call_is_right(split):
    for row in ROWS[split]:
        state, kind = row["tags"]
        if row["expected"] == [[]]:
            assert state == "no_call"
            assert kind in KINDS
        else:
            assert state == "control"
            assert kind.removeprefix("control_") in KINDS
            assert all(len(answer) == 1 for answer in row["expected"])


def test_two_thirds_expect_no_call_and_every_kind_has_cases_and_controls():
    counts = Counter(tag for row in ROWS["eval"] for tag in row["tags"])
    assert len(ROWS["eval"]) >= 150
    assert 0.6 <= counts["no_call"] / len(ROWS["eval"]) <= 0.7
    for kind in KINDS:
        assert counts[kind] >= 14, kind
        assert counts[f"control_{kind}"] >= 6, kind


@SPLITS
def test_every_control_has_a_near_twin_without_a_call(split):
    for control in of(split, "control"):
        kind = control["tags"][1].removeprefix("control_")
        likeness = max(
            difflib.SequenceMatcher(None, said(control), said(row)).ratio()
            for row in of(split, kind)
            if offered(row) <= offered(control)
        )
        assert likeness >= 0.6, (control["id"], likeness)


@SPLITS
def test_where_no_tool_fits_the_fitting_one_is_all_that_its_control_adds(split):
    for control in of(split, "control_no_tool"):
        (twin,) = [row for row in of(split, "no_tool") if said(row) == said(control)]
        (call,) = control["expected"][0]
        assert offered(control) - offered(twin) == {call["name"]}


@SPLITS
def test_where_an_argument_is_missing_its_control_says_it(split):
    for control in of(split, "control_missing_argument"):
        twin = max(
            (row for row in of(split, "missing_argument") if offered(row) == offered(control)),
            key=lambda row: difflib.SequenceMatcher(None, said(control), said(row)).ratio(),
        )
        (call,) = control["expected"][0]
        (tool,) = [tool for tool in control["tools"] if tool["name"] == call["name"]]
        new = [
            key
            for key, value in call["arguments"].items()
            if not is_said(value, said(twin)) and is_said(value, said(control))
        ]
        # An enum's member may be said with a capital.
        new += [
            key
            for key, value in call["arguments"].items()
            if "enum" in tool["parameters"]["properties"][key]
            and value.lower() not in said(twin).lower()
        ]
        assert len(set(new)) == 1, control["id"]
        assert set(new) <= set(tool["parameters"]["required"])


@SPLITS
def test_what_is_already_done_was_called_once_and_is_not_called_again(split):
    for row in ROWS[split]:
        kind = row["tags"][1].removeprefix("control_")
        results = [m for m in row["messages"] if m["role"] == "tool"]
        assert len(results) == (kind == "already_done"), row["id"]
    for row in of(split, "control_already_done"):
        (done,) = [m["tool_calls"][0]["function"] for m in row["messages"] if "tool_calls" in m]
        (call,) = row["expected"][0]
        assert (call["name"], call["arguments"]) != (done["name"], done["arguments"])


@SPLITS
def test_what_is_not_yet_said_holds_all_that_the_call_would_need(split):
    for row in of(split, "control_not_yet"):
        waiting = [m for m in row["messages"] if m["role"] == "user"]
        (call,) = row["expected"][0]
        assert all(is_said(value, waiting[0]["content"]) for value in call["arguments"].values())


def test_no_model_wins_that_never_calls_or_always_does():
    suite = fcbench.load_suite("abstain")
    never = fcbench.score({case.id: "Of course." for case in suite.cases}, suite=suite).metrics
    assert never["abstention"].value == 1.0
    assert never["argument_exact_match"].value == 0.0
    always = {
        case.id: fcbench.render(case.expected[0] or [fcbench.Call(case.tools[0].name)])
        for case in suite.cases
    }
    metrics = fcbench.score(always, suite=suite).metrics
    assert metrics["abstention"].value == 0.0
    assert metrics["abstention"].n > metrics["argument_exact_match"].n
