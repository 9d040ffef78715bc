"""Outputs recorded elsewhere, as a model."""

import hashlib
import json

import pytest

import fcbench
from fcbench import Call
from fcbench.backends import ModelOptions, check_model, open_model
from fcbench.cli import main
from fcbench.errors import RunError, UsageError

RIGHT = fcbench.render([Call("show_map", {"query": "Oslo"})])
CALLS = [{"type": "function", "function": {"name": "show_map", "arguments": '{"query": "Oslo"}'}}]


@pytest.fixture
def suite(write_lines, case_row):
    return fcbench.load_suite(
        write_lines(
            *(case_row(id=f"case{i}", tags=["even"] if i % 2 == 0 else []) for i in range(4))
        )
    )


@pytest.fixture
def record(write_lines):
    """Return a function that writes outputs and returns the name of the model that they are."""
    return lambda *rows: f"replay:{write_lines(*rows, name='outputs.jsonl')}"


def test_each_request_is_answered_by_its_line_in_any_order(suite, record):
    model = record(
        {"id": "case3", "tool_calls": CALLS},
        {"id": "case1", "text": "no", "output_tokens": 3, "seconds": 0.5, "stop": "limit"},
        {"id": "case0", "text": RIGHT, "tool_calls": []},
        {"id": "case2", "error": "timeout: the server was away"},
    )
    made = fcbench.run(model, suite)
    assert [s.case_id for s in made.samples] == ["case0", "case1", "case2", "case3"]
    both, text, failed, native = made.samples
    assert (both.text, both.native_calls) == (RIGHT, [])
    assert (text.text, text.output_tokens, text.seconds, text.stop) == ("no", 3, 0.5, "limit")
    assert failed.error == "timeout: the server was away"
    assert native.native_calls == [Call("show_map", {"query": "Oslo"})]
    # Nobody asked these prompts.
    assert {s.prompt_sha256 for s in made.samples} == {""}
    scores = fcbench.score(made)
    assert (scores.n_errors, scores.outcomes["server_parser"]) == (1, 1)


def test_a_file_may_begin_with_a_byte_order_mark(suite, tmp_path):
    path = tmp_path / "outputs.jsonl"
    path.write_text(json.dumps({"id": "case0", "text": RIGHT}) + "\n", encoding="utf-8-sig")
    (first, *_) = fcbench.run(f"replay:{path}", suite).samples
    assert first.text == RIGHT


def test_an_id_that_is_no_string_is_named_as_the_file_names_it(suite, record):
    with pytest.raises(UsageError, match=r"outputs.jsonl:1: \$.id: expected str, got int"):
        fcbench.run(record({"id": 7, "text": RIGHT}), suite)


def test_a_run_scores_as_its_outputs_do(suite, record):
    rows = [{"id": f"case{i}", "text": RIGHT} for i in range(4)]
    model = record(*rows)
    assert fcbench.score(fcbench.run(model, suite)).metrics == fcbench.score(rows, suite).metrics


def test_a_request_without_a_line_is_an_error_and_no_answer(suite, record):
    made = fcbench.run(record({"id": "case2", "text": RIGHT}), suite)
    assert [s.error for s in made.samples] == [
        None if s.case_id == "case2" else "no output was recorded" for s in made.samples
    ]
    assert fcbench.score(made).metrics["argument_exact_match"].n == 1


def test_lines_for_what_is_not_asked_are_left_out(suite, record):
    model = record(
        {"id": "another suite's", "text": "x"},
        *({"id": f"case{i}", "repeat": r, "text": RIGHT} for i in range(4) for r in range(3)),
    )
    assert len(fcbench.run(model, suite, limit=2).samples) == 2
    assert [s.case_id for s in fcbench.run(model, suite, tags=("even",)).samples] == [
        "case0",
        "case2",
    ]
    made = fcbench.run(model, suite, repeats=3)
    assert [(s.case_id, s.repeat, s.error) for s in made.samples] == [
        (f"case{i}", r, None) for i in range(4) for r in range(3)
    ]
    assert [s.error for s in fcbench.run(model, suite, repeats=4).samples].count(None) == 12


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"id": "caes0", "text": "x"}],
            "answers a case that is asked: .* caes0\nhint: did you mean case0",
        ),
        (
            [{"id": "case0", "repeat": 1, "text": "x"}],
            "answers a repeat that is asked: .* 1 of case0",
        ),
        ([], "holds no output"),
    ],
)
def test_a_file_that_answers_nothing_is_refused(suite, record, rows, message):
    with pytest.raises(UsageError, match=message):
        fcbench.run(record(*rows), suite)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "outputs.jsonl:2: not JSON"),
        ('{"id": "case1"}', r"outputs.jsonl:2: \$.text: missing"),
        ('{"id": "case0", "text": ""}', "outputs.jsonl:2: case0 was answered in .*:1 already"),
        ('{"id": "case1", "tool_calls": [1]}', r"outputs.jsonl:2: \$.tool_calls\[0\]"),
    ],
)
def test_a_broken_line_is_named_before_a_run_begins(suite, record, tmp_path, line, message):
    model = record({"id": "case0", "text": "x"}, line)
    with pytest.raises(UsageError, match=message):
        fcbench.run(model, suite, results=tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "options",
    [
        ModelOptions(adapter="x"),
        ModelOptions(temperature=1.0),
        ModelOptions(decode="constrained"),
        ModelOptions(dtype="float32"),
        ModelOptions(allow_float16=True),
    ],
)
def test_what_changes_no_recorded_output_is_refused(record, options):
    with pytest.raises(UsageError, match="recorded"):
        check_model(record({"id": "case0", "text": ""}), options)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UsageError, match=r"replay:nowhere.jsonl: no such file"):
        open_model("replay:nowhere.jsonl")


def test_a_run_goes_on_with_the_same_file_only(suite, record, tmp_path):
    where = {"results": tmp_path / "results", "resume": True}
    model = record({"id": "case0", "text": RIGHT})
    first = fcbench.run(model, suite, **where)
    path = tmp_path / "outputs.jsonl"
    assert first.manifest["model"] == {
        "name": model,
        "backend": "replay",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    # What has no line has none now either: still errors, and nothing is refused.
    again = fcbench.run(model, suite, **where)
    assert (again.folder, again.samples) == (first.folder, first.samples)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": "case1", "text": RIGHT}) + "\n")
    with pytest.raises(RunError, match=r"model.sha256 differs"):
        fcbench.run(model, suite, **where)


def test_the_command_runs_recorded_outputs(record, tmp_path, suite, capsys):
    model = record(*({"id": f"case{i}", "tool_calls": CALLS} for i in range(4)))
    cases = str(tmp_path / "cases.jsonl")
    results = str(tmp_path / "results")
    assert main(["run", "--model", model, "--suite", cases, "--results", results, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["n_errors"] == 0
