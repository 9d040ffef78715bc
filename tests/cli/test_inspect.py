"""inspect: one case under every prompt, what is right, and what was answered."""

import json
from pathlib import Path

import pytest

import fcbench
from fcbench import registry
from fcbench.cli._case import _right
from fcbench.prompts import Style, requests
from fcbench.suite import load_suite
from fcbench.types import Case

MODEL = "python:standin:answer"


def inspect(fcbench_cli, *arguments):
    code, out, err = fcbench_cli("inspect", *arguments)
    assert (code, err) == (0, "")
    return out


def inspect_json(fcbench_cli, *arguments):
    return json.loads(inspect(fcbench_cli, *arguments, "--json"))


def test_a_case_is_found_in_the_shipped_suites_and_shown_under_every_mode(fcbench_cli, here):
    out = inspect(fcbench_cli, "map")
    assert out.startswith("case map of original_experiment\n")
    for mode in registry.names("prompts"):
        assert f"\nprompt {mode}, tokens not known: name a --model\n" in out
    assert "user: Show me Coit Tower on the map." in out
    assert "show_map(query: string)  Shows a place on the map." in out
    assert "  <start_function_call>call:show_map{query:<escape>Coit Tower<escape>}" in out


@pytest.mark.parametrize("mode", ["chat", "raw", "bare", "native", "raw+2"])
def test_the_prompts_are_those_of_a_run(fcbench_cli, here, mode):
    suite = load_suite("original_experiment")
    found = inspect_json(fcbench_cli, "map", "--prompt", mode)
    (prompt,) = found["prompts"]
    if mode == "native":  # which no function is asked
        (request,) = requests([c for c in suite.cases if c.id == "map"], mode, Style())
        assert prompt["text"] == request.prompt
        return
    fcbench.run(MODEL, suite, mode, results="results")
    lines = next(here.glob("results/*/prompts.jsonl")).read_text("utf-8").splitlines()
    assert prompt["text"] in [json.loads(line)["prompt"] for line in lines]


def test_a_models_own_template_and_tokenizer_are_taken(fcbench_cli, here, tiny_model):
    found = inspect_json(fcbench_cli, "map", "--model", str(tiny_model), "--prompt", "chat,bare")
    assert [p["counted_by"] for p in found["prompts"]] == ["the model's own tokenizer"] * 2
    chat, bare = (p["n_tokens"] for p in found["prompts"])
    assert chat > bare > 10
    out = inspect(fcbench_cli, "map", "--model", str(tiny_model), "--prompt", "bare")
    assert f"\nprompt bare, {bare} tokens by the model's own tokenizer\n" in out


def test_right_answers_are_written_in_the_wire_format_that_is_asked_for(fcbench_cli, here):
    out = inspect(fcbench_cli, "flashlight-and-event", "--format", "pythonic", "--prompt", "bare")
    assert "right, in pythonic, calls in this order:\n  [turn_on_flashlight(), create_cal" in out


def test_what_else_is_right_is_told(fcbench_cli, here, write_lines, case_row):
    call = {"name": "show_map", "arguments": {"query": {"$any": ["Oslo", "Christiania"]}}}
    tools = [
        {
            "name": "show_map",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string"}, "zoom": {"enum": [1, 2]}},
            },
        }
    ]
    zoomed = {
        "name": "show_map",
        "arguments": {"query": "x", "zoom": {"$any": [1], "$optional": True}},
    }
    path = write_lines(
        case_row(expected=[[call], [zoomed, zoomed]], tools=tools),
        case_row(id="b", expected=[[]]),
    )
    out = inspect(fcbench_cli, "a", "--suite", str(path), "--prompt", "bare")
    assert "show_map(query?: string, zoom?: 1 | 2)" in out
    assert "show_map.query: 'Oslo' or 'Christiania'" in out
    assert "\n  or\n" in out
    assert "show_map.zoom: 1 or absent" in out
    assert "calls in any order" in out
    assert "right: no call" in inspect(fcbench_cli, "b", "--suite", str(path), "--prompt", "bare")
    anything = Case("c", [{"role": "user", "content": "?"}], [], [])  # as BFCL's live_relevance is
    assert list(_right(anything, "functiongemma")) == ["right: any call"]


# Answers of runs


def answered(text, *, suite="original_experiment", prompt="chat", calls=None):
    lines = [
        {"id": case.id, **({"text": text} if calls is None else {"tool_calls": calls})}
        for case in load_suite(suite).cases
    ]
    written = "".join(json.dumps(line) + "\n" for line in lines)
    Path("out.jsonl").write_text(written, encoding="utf-8")
    return fcbench.run("replay:out.jsonl", suite, prompt, results="results").folder


def test_a_malformed_answer_is_shown_with_a_caret(fcbench_cli, here):
    folder = answered("<start_function_call>show_map{}<end_function_call>")
    out = inspect(fcbench_cli, "map", "--run", folder)
    assert f"answer of {folder}: wrong, missing_call_prefix" in out
    lines = out.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.strip() == "^"]
    assert lines[at - 1][lines[at].index("^") :].startswith("show_map{}")
    assert "expected: call:" in out


def test_arguments_are_told_one_by_one(fcbench_cli, here):
    text = "<start_function_call>call:show_map{query:7,zoom:1}<end_function_call>"
    folder = answered(text)
    out = inspect(fcbench_cli, "map", "--run", folder)
    table = [" ".join(line.split()) for line in out.splitlines()]
    assert "call show_map show_map" in table
    assert "query 'Coit Tower' 7 wrong type" in table
    assert "zoom — 1 extra" in table
    found = inspect_json(fcbench_cli, "map", "--run", folder)
    (answer,) = found["answers"]
    assert answer["reason"].startswith("show_map.query: wrong type")
    assert [a["result"] for p in answer["pairs"] for a in p["arguments"]] == ["wrong_type", "extra"]


def test_a_right_answer_is_just_right(fcbench_cli, here):
    fcbench.run(MODEL, "original_experiment", results="results")
    out = inspect(
        fcbench_cli, "map", "--run", "results/original_experiment--python-standin-answer--chat"
    )
    assert "--chat: right, calls\n  <start_function_call>call:show_map" in out
    assert "expected:" not in out.partition("answer of")[2]


def test_what_was_sent_is_shown_and_not_what_would_be(fcbench_cli, here):
    folder = fcbench.run(MODEL, "original_experiment", "raw+2", results="results").folder
    found = inspect_json(fcbench_cli, "map", "--run", folder)
    (prompt,) = found["prompts"]
    assert prompt["mode"] == "raw+2, as it was sent"
    stored = (here / folder / "prompts.jsonl").read_text("utf-8")
    assert json.dumps(prompt["text"], ensure_ascii=False) in stored
    assert inspect(fcbench_cli, "map", "--run", folder, "--prompt", "bare").count("\nprompt ") == 1


def test_several_runs_and_repeats_stand_below_each_other(fcbench_cli, here):
    first = fcbench.run(MODEL, "original_experiment", results="results", repeats=2).folder
    second = fcbench.run("python:standin:failing", "original_experiment", results="results").folder
    out = inspect(fcbench_cli, "map", "--run", first, "--run", second)
    heads = [line for line in out.splitlines() if line.startswith("answer of ")]
    assert heads == [
        f"answer of {first}, repeat 0: right, calls",
        f"answer of {first}, repeat 1: right, calls",
        f"answer of {second}: none, an error",
    ]
    assert "RuntimeError: boom" in out


def test_calls_of_a_servers_parser_are_told(fcbench_cli, here):
    calls = [{"function": {"name": "show_map", "arguments": '{"query": "Oslo"}'}}]
    out = inspect(fcbench_cli, "map", "--run", answered("", calls=calls))
    assert "the server's parser: show_map {'query': 'Oslo'}" in out
    assert "show_map.query: different: expected 'Coit Tower', called 'Oslo'" in out


def test_a_hostile_answer_moves_no_cursor_and_breaks_no_output(fcbench_cli, here):
    folder = fcbench.run("python:standin:hostile", "original_experiment", results="results").folder
    out = inspect(fcbench_cli, "map", "--run", folder)
    assert not {"\x1b", "\u202e", "\ud800", "\x00"} & set(out)
    assert "\\x1b[2J\\u202e\\ud800\\x00" in out
    out.encode()  # nothing that has no UTF-8
    found = inspect(fcbench_cli, "map", "--run", folder, "--json")
    found.encode()
    assert json.loads(found)["answers"][0]["sample"]["text"].endswith("\x1b[2J\u202e\ud800\x00")


def test_a_long_answer_is_cut_for_people_and_whole_for_machines(fcbench_cli, here):
    folder = answered("x" * 100_000)
    assert len(inspect(fcbench_cli, "map", "--run", folder)) < 20_000
    found = inspect_json(fcbench_cli, "map", "--run", folder)
    assert found["answers"][0]["sample"]["text"] == "x" * 100_000


# What is not there


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("flashlight",), "no such case in the shipped suites: flashlight", "did you mean flashlight-and-"),
        (("mpa", "--suite", "original_experiment"), "no such case in original_experiment: mpa", "did you mean map"),
        (("map", "--suite", "nowhere"), "no such suite, folder or file: nowhere", ""),
        (("map", "--run", "nowhere"), "nowhere: no run stands here", ""),
        (("map", "--prompt", "chta"), "no such name among prompts: chta", "did you mean chat?"),
        (("map", "--model", "./nowhere"), "./nowhere: no such model folder", ""),
    ],
)  # fmt: skip
def test_what_is_not_there_is_one_line(fcbench_cli, here, arguments, message, hint):
    code, out, err = fcbench_cli("inspect", *arguments)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[0]
    assert hint in err


def test_a_case_that_a_run_did_not_ask_is_named(fcbench_cli, here):
    folder = fcbench.run(MODEL, "original_experiment", results="results", limit=1).folder
    code, _, err = fcbench_cli("inspect", "map", "--run", folder)
    assert code == 2
    assert f"{folder}: did not ask map" in err


def test_a_case_of_two_suites_has_to_be_told_apart(fcbench_cli, here, monkeypatch):
    monkeypatch.setattr("fcbench.suite.suite_names", lambda: ["original_experiment"] * 2)
    code, _, err = fcbench_cli("inspect", "map")
    assert code == 2
    assert "map is a case of several suites" in err
    assert "hint: --suite original_experiment" in err
