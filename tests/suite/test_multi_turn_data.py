"""The data of the suite multi_turn, read as plain JSON lines."""

import json
from collections import Counter

import pytest

import fcbench
from fcbench.formats.functiongemma import render_response
from fcbench.prompts import Style, requests
from tests.suite.written import answers, is_said, leaves, past_calls, read, results, said

ROWS = read("multi_turn")
SPLITS = pytest.mark.parametrize("split", ROWS)


def of(split, tag):
    return [row for row in ROWS[split] if tag in row["tags"]]


def last_words(row):
    return [m["content"] for m in row["messages"] if m["role"] == "user"][-1]


def expected_values(row):
    calls = [call for answer in answers(row) for call in answer]
    return leaves([call["arguments"] for call in calls])


def records(value):
    """The lists of objects inside a result: what there is to choose from."""
    if isinstance(value, list):
        return [value, *(found for item in value for found in records(item))]
    return [f for v in value.values() for f in records(v)] if isinstance(value, dict) else []


def has_error(result):
    return isinstance(result, dict) and "error" in result


@SPLITS
def test_tags_of_form_are_true(split):
    for row in ROWS[split]:
        calls = row["expected"][0]
        holds = {
            "done": calls == [],
            "call": len(calls) >= 1,
            "parallel": len(calls) >= 2,
            "after_result": row["messages"][-1]["role"] == "tool",
            "after_user": row["messages"][-1]["role"] == "user",
            "parallel_history": any(len(m.get("tool_calls", [])) > 1 for m in row["messages"]),
            "error": has_error(results(row)[-1][1]),
        }
        assert {tag for tag, is_true in holds.items() if is_true} == set(row["tags"]) & set(holds)
        assert len(set(row["tags"])) == len(row["tags"])


def test_evaluation_has_enough_cases_of_each_kind():
    counts = Counter(tag for row in ROWS["eval"] for tag in row["tags"])
    assert len(ROWS["eval"]) >= 140
    least = {"parallel": 8, "parallel_history": 18}
    for tag in [
        "lookup",
        "choice",
        "reference",
        "correction",
        "error",
        "conditional",
        "done",
        "after_result",
        "after_user",
        "parallel",
        "parallel_history",
    ]:
        assert counts[tag] >= least.get(tag, 18), tag
    assert counts["done"] < 0.2 * len(ROWS["eval"])


@SPLITS
def test_the_last_words_of_the_user_alone_are_never_enough(split):
    for row in of(split, "call"):
        values = [v for v in expected_values(row) if not isinstance(v, bool)]
        if all(is_said(value, last_words(row)) for value in values):
            # The values are known, whether or which of them is for the results to say.
            assert {"conditional", "choice"} & set(row["tags"]), row["id"]
            assert "after_result" in row["tags"], row["id"]


@SPLITS
def test_a_condition_is_said_by_the_user_and_its_other_branch_is_another_answer(split):
    for row in of(split, "conditional"):
        words = last_words(row).lower()
        assert any(
            mark in words
            for mark in ("if ", "should ", "only ", "then ", "above ", "under ", "without ", "less than", "either ")
        ), row["id"]  # fmt: skip
    both = Counter(last_words(row) for row in of("eval", "conditional"))
    assert sum(n > 1 for n in both.values()) >= 6
    for words, n in both.items():
        twins = [row for row in of("eval", "conditional") if last_words(row) == words]
        assert len({json.dumps(row["expected"]) for row in twins}) == n, words


@SPLITS
def test_what_is_chosen_is_one_of_several(split):
    for row in of(split, "choice"):
        offered = [found for _, result in results(row) for found in records(result)]
        answered = len(results(row))
        assert answered > 1 or max(map(len, offered)) > 1, row["id"]


def test_the_right_one_is_not_always_the_first():
    places = Counter()
    for row in of("eval", "choice"):
        for _, result in results(row):
            for listed in records(result):
                places.update(
                    i
                    for i, item in enumerate(listed)
                    for value in row["expected"][0][0]["arguments"].values()
                    if not isinstance(value, bool | int) and value in leaves(item)
                )
    assert places[0] < 0.5 * places.total()
    assert min(places[1], places[2]) > 0.15 * places.total()


@SPLITS
def test_no_right_call_repeats_one_that_was_made(split):
    for row in of(split, "call"):
        made = [json.dumps(call, sort_keys=True) for call in past_calls(row)]
        expected = [json.dumps(c, sort_keys=True) for answer in answers(row) for c in answer]
        assert not set(made) & set(expected), row["id"]


@SPLITS
def test_what_mends_an_error_is_named_by_the_error_or_by_the_user(split):
    for row in of(split, "error"):
        if "done" in row["tags"]:
            continue
        (failing, *_) = reversed(past_calls(row))
        new = [v for v in expected_values(row) if v not in leaves(failing["arguments"])]
        assert new, row["id"]
        reported = json.dumps(results(row)[-1][1], ensure_ascii=False)
        for value in new:
            named = str(value) in reported
            assert named or ("correction" in row["tags"] and is_said(value, last_words(row)))


@SPLITS
def test_corrections_and_references_come_in_a_later_turn(split):
    for tag in ("correction", "reference"):
        for row in of(split, tag):
            assert "after_user" in row["tags"], row["id"]
            assert sum(m["role"] == "user" for m in row["messages"]) >= 2, row["id"]


@pytest.mark.parametrize("split", ROWS)
def test_a_chat_prompt_shows_each_result_as_its_functions_response(split):
    suite = fcbench.load_suite("multi_turn")
    cases = suite.cases if split == "eval" else suite.training_cases()
    prompts = {r.case.id: r.prompt for r in requests(cases, "chat", Style())}
    for row in ROWS[split]:
        prompt = prompts[row["id"]]
        for name, result in results(row):
            assert render_response(name, result) in prompt, row["id"]
        # Objects, not escaped JSON: every quotation mark was said by somebody.
        quoted = said(row, "user", "assistant").count('"')
        inside = sum(str(v).count('"') for _, r in results(row) for v in leaves(r))
        again = sum(str(v).count('"') for c in past_calls(row) for v in leaves(c["arguments"]))
        assert prompt.count('"') == quoted + inside + again, row["id"]
        if row["messages"][-1]["role"] == "tool":
            assert prompt.endswith("}<end_function_response>"), row["id"]


def test_a_raw_prompt_holds_the_results_and_a_bare_one_does_not():
    suite = fcbench.load_suite("multi_turn")
    raw, bare = (requests(suite.cases, mode, Style()) for mode in ("raw", "bare"))
    for shown, hidden in zip(raw, bare, strict=True):
        contents = [m["content"] for m in shown.case.messages if m["role"] == "tool"]
        assert all(content in shown.prompt for content in contents)
        assert not any(content in hidden.prompt for content in contents)
