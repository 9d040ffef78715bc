"""What holds of the data of suites that were written as talk (suites/dialogues.py)."""

import difflib
import json
import re
from collections import Counter
from itertools import pairwise, product

import jsonschema
import pytest

import fcbench
from fcbench.prompts import Style, requests
from tests.suite.written import (
    answers,
    enums,
    is_said,
    leaves,
    past_calls,
    read,
    results,
    said,
)

NAMES = ["abstain", "multi_turn"]
ROWS = {name: read(name) for name in NAMES}
ALL = {name: [row for rows in ROWS[name].values() for row in rows] for name in NAMES}
SUITE = pytest.mark.parametrize("name", NAMES)


@SUITE
def test_every_call_old_or_expected_validates_against_its_tool(name):
    for row in ALL[name]:
        tools = {tool["name"]: tool["parameters"] for tool in row["tools"]}
        assert len(tools) == len(row["tools"]), row["id"]
        for call in [*past_calls(row), *(c for answer in answers(row) for c in answer)]:
            closed = tools[call["name"]] | {"additionalProperties": False}
            jsonschema.validate(call["arguments"], closed, jsonschema.Draft202012Validator)


@SUITE
def test_every_tool_says_what_each_argument_is(name):
    for row in ALL[name]:
        for tool in row["tools"]:
            schema = tool["parameters"]
            jsonschema.Draft202012Validator.check_schema(schema)
            assert re.fullmatch(r"[a-z_]+", tool["name"])
            assert all(re.fullmatch(r"[a-z_]+", key) for key in schema["properties"])
            for described in [tool, *schema["properties"].values()]:
                assert re.fullmatch(r"[A-Z].*\.", described["description"]), tool["name"]


@SUITE
def test_a_function_is_the_same_wherever_it_is_offered(name):
    texts = {(t["name"], json.dumps(t, sort_keys=True)) for row in ALL[name] for t in row["tools"]}
    assert Counter(name for name, _ in texts).most_common(1)[0][1] == 1


@SUITE
def test_every_expected_value_stands_in_the_conversation(name):
    for row in ALL[name]:
        given = [v for _, result in results(row) for v in leaves(result) if not isinstance(v, bool)]
        for answer in answers(row):
            for leaf in leaves([call["arguments"] for call in answer]):
                if isinstance(leaf, bool) or leaf in enums(row) or leaf in given:
                    continue
                assert is_said(leaf, said(row)), (row["id"], leaf)


@SUITE
def test_results_belong_to_calls_and_calls_have_results(name):
    for row in ALL[name]:
        roles = [message["role"] for message in row["messages"]]
        assert ("assistant", "assistant") not in pairwise(roles), row["id"]
        called = {}
        for message in row["messages"]:
            assert bool(message.get("tool_calls")) != bool(message.get("content")), row["id"]
            if message["role"] == "tool":
                assert called.pop(message["tool_call_id"]) == message["name"], row["id"]
                json.loads(message["content"])
            else:
                assert not called, row["id"]
                called = {c["id"]: c["function"]["name"] for c in message.get("tool_calls", [])}
        assert not called, row["id"]
        assert row["messages"][0]["role"] == "user"
        assert row["messages"][-1]["role"] in ("user", "tool")


@SUITE
def test_people_are_made_up(name):
    for row in ALL[name]:
        text = json.dumps(row, ensure_ascii=False)
        for domain in re.findall(r"@([\w.-]+\w)", text):
            assert re.fullmatch(r"(\w+\.)?example\.(com|org|net)", domain), row["id"]
        for number in re.findall(r"\+\d[\d ]{7,}", text):
            assert number.startswith("+44 7700 900"), row["id"]


@SUITE
def test_the_offered_order_does_not_give_the_answer_away(name):
    places = Counter(
        [tool["name"] for tool in row["tools"]].index(row["expected"][0][0]["name"])
        for row in ROWS[name]["eval"]
        if row["expected"][0] and len(row["tools"]) >= 3
    )
    assert all(places[i] > 0.2 * places.total() for i in range(3))


@SUITE
def test_training_shares_no_value_with_evaluation(name):
    def values(row):
        strings = [
            leaf
            for call in [*past_calls(row), *(c for answer in answers(row) for c in answer)]
            for leaf in leaves(call["arguments"])
        ]
        return {s for s in strings if isinstance(s, str) and s not in enums(row)}

    train, evaluation = (
        {v for row in ROWS[name][s] for v in values(row)} for s in ("train", "eval")
    )
    assert train
    assert not train & evaluation
    spoken = "\n".join(said(row) for row in ROWS[name]["eval"])
    assert not [v for v in train if re.search(rf"\b{re.escape(v)}\b", spoken)]


@SUITE
def test_training_shares_no_phrasing_and_no_tool_with_evaluation(name):
    lines = {
        split: {m["content"] for row in rows for m in row["messages"] if m["role"] == "user"}
        for split, rows in ROWS[name].items()
    }
    for ours, theirs in product(lines["train"], lines["eval"]):
        matcher = difflib.SequenceMatcher(None, ours, theirs)
        assert matcher.quick_ratio() <= 0.75 or matcher.ratio() <= 0.75, (ours, theirs)
    train, evaluation = ({t["name"] for r in ROWS[name][s] for t in r["tools"]} for s in lines)
    assert not train & evaluation


@SUITE
def test_every_right_answer_can_be_written_read_and_is_judged_right(name):
    suite = fcbench.load_suite(name)
    rows = {row["id"]: list(answers(row)) for row in ROWS[name]["eval"]}
    for turn in range(max(map(len, rows.values()))):
        outputs = {}
        for case, accepted in rows.items():
            answer = accepted[turn % len(accepted)]
            calls = [fcbench.Call(call["name"], call["arguments"]) for call in answer]
            outputs[case] = fcbench.render(calls) if calls else "That is no matter for a call."
        metrics = fcbench.score(outputs, suite=suite).metrics
        for metric in ("syntax_validity", "argument_exact_match", "abstention"):
            assert metrics[metric].value == 1.0, metric


@SUITE
@pytest.mark.parametrize("mode", ["chat", "raw", "bare"])
def test_every_case_becomes_a_prompt(name, mode):
    suite = fcbench.load_suite(name)
    cases = [*suite.cases, *suite.training_cases()]
    for request in requests(cases, mode, Style()):
        last = request.case.messages[-1]
        opened = request.prompt.endswith("<end_of_turn>\n<start_of_turn>model\n")
        # After a result the answer goes on in the model's own turn, where there is a template.
        assert opened != (mode == "chat" and last["role"] == "tool"), request.case.id
