"""Calls that a server's own parser returned: they decide, and the text beside them is evidence."""

import json

import pytest

import fcbench
from fcbench import Call
from fcbench.errors import UsageError
from fcbench.runs import reason

RIGHT = fcbench.render([Call("show_map", {"query": "Oslo"})])
WRONG = fcbench.render([Call("show_map", {"query": "oslo"})])


def tool_call(arguments, name="show_map"):
    return {"id": "x", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.fixture
def verdict_on(write_lines, case_row):
    """Return a function that scores one record and returns its scores and verdict."""

    def verdict_on(*, expects_call=True, **record):
        row = case_row() if expects_call else case_row(expected=[[]])
        scores = fcbench.score([{"id": "a", **record}], write_lines(row))
        return scores, scores.verdicts[0]

    return verdict_on


@pytest.mark.parametrize("arguments", ['{"query": "Oslo"}', {"query": "Oslo"}])
def test_arguments_may_be_json_text_or_an_object(verdict_on, arguments):
    scores, verdict = verdict_on(tool_calls=[tool_call(arguments)])
    assert verdict.is_right
    assert scores.outcomes == {"calls": 1}


@pytest.mark.parametrize("arguments", ['{"query": "Os', "Oslo", '["Oslo"]', "NaN", 3])
def test_arguments_that_are_no_object_are_a_wrong_answer_and_no_error(verdict_on, arguments):
    scores, verdict = verdict_on(tool_calls=[tool_call(arguments)])
    assert verdict.parse.calls == [Call("show_map", {"$not_json": arguments})]
    assert scores.n_errors == 0
    assert scores.outcomes == {"arguments_not_json": 1}
    assert scores.metrics["name_match"].value == 1
    assert scores.metrics["argument_exact_match"].value == 0
    assert reason(verdict).startswith("arguments_not_json at 0: expected a JSON object, found ")


def test_a_call_may_stand_in_a_function_or_by_itself(verdict_on):
    _, verdict = verdict_on(tool_calls=[{"name": "show_map", "arguments": {"query": "Oslo"}}])
    assert verdict.is_right


def test_calls_without_their_text_have_no_syntax(verdict_on):
    scores, verdict = verdict_on(tool_calls=[tool_call({"query": "Oslo"})])
    assert verdict.syntax is None
    assert scores.metrics["syntax_validity"] == (None, None, None, 0)
    assert scores.metrics["server_parser"].n == 0
    assert scores.metrics["argument_exact_match"].value == 1
    _, abstained = verdict_on(tool_calls=[])
    assert (abstained.syntax, abstained.is_right) == (None, False)


@pytest.mark.parametrize(
    ("text", "read", "is_right", "syntax"),
    [
        (RIGHT, [], False, True),
        (WRONG, [tool_call({"query": "Oslo"})], True, True),
        (RIGHT, [tool_call({"query": "oslo"})], False, True),
        (RIGHT, [tool_call({"query": "Oslo"})] * 2, False, True),
        ("show_map Oslo", [tool_call({"query": "Oslo"})], True, False),
    ],
)
def test_a_server_that_reads_a_text_otherwise_is_counted_and_decides(
    verdict_on, text, read, is_right, syntax
):
    scores, verdict = verdict_on(text=text, tool_calls=read)
    assert scores.outcomes == {"server_parser": 1}
    assert scores.metrics["server_parser"].value == 1
    assert (verdict.is_right, verdict.syntax) == (is_right, syntax)
    assert scores.metrics["argument_exact_match"].value == is_right
    assert reason(verdict).startswith("the server's parser reads ")


def test_a_server_that_reads_what_the_grammar_does_is_no_disagreement(verdict_on):
    scores, verdict = verdict_on(text=RIGHT, tool_calls=[tool_call('{"query": "Oslo"}')])
    assert scores.outcomes == {"calls": 1}
    assert scores.metrics["server_parser"].value == 0
    assert (verdict.syntax, verdict.is_right) == (True, True)


def test_calls_that_the_server_overlooks_are_no_abstention(verdict_on):
    scores, verdict = verdict_on(expects_call=False, text=RIGHT, tool_calls=[])
    assert verdict.parse.outcome == "malformed"
    assert not verdict.is_right
    assert scores.outcomes == {"server_parser": 1}
    assert scores.metrics["abstention"].value == 0
    assert scores.metrics["over_calling"].value == 1
    for said in ({"text": "I cannot do that."}, {}):
        scores, verdict = verdict_on(expects_call=False, tool_calls=[], **said)
        assert verdict.is_right
        assert scores.outcomes == {"abstained": 1}
        assert scores.metrics["abstention"].value == 1


def test_a_broken_attempt_is_none_either(verdict_on):
    scores, verdict = verdict_on(expects_call=False, text="call:show_map{", tool_calls=[])
    assert verdict.parse.failure is not None
    assert not verdict.is_right
    assert scores.metrics["abstention"].value == 0
    assert scores.metrics["server_parser"].value == 0


def test_no_tool_calls_beside_a_text_means_that_no_server_read_it(verdict_on):
    scores, verdict = verdict_on(text=RIGHT, tool_calls=None)
    assert (verdict.sample.native_calls, verdict.syntax) == (None, True)
    assert scores.metrics["server_parser"].n == 0
    _, verdict = verdict_on(text=None, tool_calls=[tool_call({"query": "Oslo"})])
    assert (verdict.sample.text, verdict.is_right) == ("", True)


@pytest.mark.parametrize("calls", [{}, "f", [3], [{"function": "f"}], [{"function": {}}]])
def test_what_is_no_list_of_named_functions_is_no_output(verdict_on, calls):
    with pytest.raises(UsageError, match=r"output 1: \$.tool_calls"):
        verdict_on(tool_calls=calls)


def test_integers_of_any_size_stay_exact(write_lines, case_row):
    big = 10**5000 + 1
    row = case_row(
        tools=[{"name": "f", "parameters": {}}], expected=[[{"name": "f", "arguments": {"x": 1}}]]
    )
    calls = json.dumps([tool_call("@", "f")]).replace('"@"', f'{{"x": 1{"0" * 4999}1}}')
    path = write_lines(f'{{"id": "a", "tool_calls": {calls}}}', name="outputs.jsonl")
    (verdict,) = fcbench.score(path, write_lines(row)).verdicts
    assert verdict.parse.calls == [Call("f", {"x": big})]
