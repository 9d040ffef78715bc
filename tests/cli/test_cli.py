"""The command line: exit codes, one clear line for bad input, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fcbench import load_suite
from fcbench.cli import main
from fcbench.suite import suite_names

VALID = "<start_function_call>call:f{a:1}<end_function_call>"
MODEL = """
def answer(prompts):
    return ["<start_function_call>call:show_map{query:<escape>Coit Tower<escape>}<end_function_call>"] * len(prompts)
def failing(prompts):
    raise RuntimeError("boom")
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    (tmp_path / "cli_model.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def fcbench(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess:
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "fcbench", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """Run the command in this process: (exit code, stdout, stderr)."""
    try:
        code = main(list(arguments))
    except SystemExit as exit_:
        code = exit_.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


RUN = ("run", "--model", "python:cli_model:answer", "--suite", "original_experiment")


def test_run_prints_a_row_a_combination_and_writes_the_leaderboard(capsys, tmp_path):
    code, out, _ = run(
        capsys,
        *RUN,
        "--model",
        "python:cli_model:failing",
        "--prompt",
        "chat,raw,bare,raw+2",
        "--json",
    )
    rows = json.loads(out)
    assert code == 3  # the failing model's samples are errors
    assert sorted((row["model"], row["prompt"]) for row in rows) == sorted(
        (f"python:cli_model:{model}", prompt)
        for model in ("answer", "failing")
        for prompt in ("chat", "raw", "bare", "raw + 2-shot")
    )
    assert {row["metrics"]["argument_exact_match"]["value"] for row in rows} == {0.2, None}
    for ending in ("md", "csv", "json"):
        assert (tmp_path / "results" / f"leaderboard.{ending}").stat().st_size > 100
    table = (tmp_path / "results" / "leaderboard.md").read_text("utf-8")
    assert "| python:cli_model:answer | raw + 2-shot | 100 [56.6–100] of 5" in " ".join(
        table.split()
    )
    before = (tmp_path / "results" / "leaderboard.json").read_text("utf-8")
    code, out, _ = run(capsys, "leaderboard", "--json")
    assert (code, json.loads(out)) == (3, json.loads(before))


def test_run_prints_a_table_for_people_and_progress_to_stderr():
    done = fcbench(*RUN)
    assert done.returncode == 0
    assert "syntax validity" in done.stdout
    assert "what the 5 turns were" in done.stdout
    assert "calls 5" in done.stdout
    assert "sample/s" in done.stderr
    assert "sample/s" not in done.stdout


def test_repeats_are_answers_to_the_same_cases(capsys, tmp_path):
    code, out, _ = run(capsys, *RUN, "--repeats", "3", "--json")
    (row,) = json.loads(out)
    assert code == 0
    assert (row["n_cases"], row["prompt"]) == (5, "chat, 3 repeats")
    assert row["outcomes"] == {"calls": 15}
    assert row["metrics"]["argument_exact_match"]["value"] == 0.2
    assert row["run"] == "original_experiment--python-cli_model-answer--chat--x3"
    log = (tmp_path / "results" / row["run"] / "samples.jsonl").read_text("utf-8")
    drawn = [(s["case_id"], s["repeat"]) for s in map(json.loads, log.splitlines())]
    assert len(set(drawn)) == len(drawn) == 15
    run(capsys, *RUN)
    _, table, _ = run(capsys, "leaderboard")
    assert "what the turns were" in table  # 15 of one run, 5 of the other
    assert "chat, 3 repeats" in table


def test_a_real_model_is_asked_several_times(capsys, tiny_model):
    options = ("--model", str(tiny_model), "--suite", "original_experiment", "--prompt", "bare")
    sampled = ("--temperature", "0.7", "--repeats", "2", "--max-new-tokens", "4", "--seed", "5")
    code, out, _ = run(capsys, "run", *options, *sampled, "--json")
    (row,) = json.loads(out)
    assert code == 0
    assert row["prompt"] == "bare, seed 5, temperature 0.7, 2 repeats, at most 4 tokens"
    assert row["run"].endswith("--bare--sample--t0.7--x2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--temperature", "-1"), "temperature is a number from 0 up"),
        (("--temperature", "nan"), "temperature is a number from 0 up"),
        (("--repeats", "0"), "repeats is at least 1"),
        (("--temperature", "0.7"), "a function chooses its words: no --temperature here"),
        (("--temperature", "0.7", "--decode", "greedy"), "greedy decoding has no temperature"),
    ],
)
def test_what_cannot_be_sampled_is_one_line(capsys, options, message):
    code, _, err = run(capsys, *RUN, *options)
    assert code == 2
    assert message in err


def test_fail_under_is_about_the_lower_bound(capsys):
    assert run(capsys, *RUN, "--fail-under", "syntax_validity=0.5")[0] == 0
    code, _, err = run(capsys, *RUN, "--fail-under", "syntax_validity=0.6")
    assert code == 1
    assert (
        "missed: python:cli_model:answer, chat: syntax_validity 100.0% [56.6%, 100.0%] of 5 is not"
        in err
    )


def test_runs_over_different_cases_never_share_a_table(capsys):
    run(capsys, *RUN)
    run(capsys, *RUN, "--limit", "2")
    _, out, _ = run(capsys, "leaderboard")
    assert out.count("syntax validity") == 2
    assert "original_experiment (first 2)" in out


def test_the_newest_run_of_a_kind_stands_in_the_leaderboard(capsys):
    run(capsys, *RUN)
    run(capsys, *RUN)
    _, out, _ = run(capsys, "leaderboard", "--json")
    assert [row["run"] for row in json.loads(out)] == [
        "original_experiment--python-cli_model-answer--chat-2"
    ]


def test_score_reads_a_run_and_outputs_made_elsewhere(capsys, write_lines):
    run(capsys, *RUN)
    folder = "results/original_experiment--python-cli_model-answer--chat"
    code, out, _ = run(capsys, "score", folder, "--json")
    assert code == 0
    assert json.loads(out)["metrics"]["argument_exact_match"]["value"] == 0.2
    _, out, _ = run(capsys, "score", folder)
    assert "parallel_2" in out
    ids = ["flashlight-and-event", "map", "email", "contact", "flashlight-and-wifi"]
    path = write_lines(*({"id": case_id, "text": VALID} for case_id in ids), name="outputs.jsonl")
    code, out, _ = run(
        capsys,
        "score",
        str(path),
        "--suite",
        "original_experiment",
        "--fail-under",
        "name_match=0.1",
    )
    assert code == 1
    assert "100 [56.6–100] of 5" in out


# parse


def test_parse_reads_a_file_or_standard_input(tmp_path):
    file = tmp_path / "turn.txt"
    file.write_text(VALID + "\n", encoding="utf-8")
    for done in (
        fcbench("parse", str(file)),
        fcbench("parse", stdin=VALID),
        fcbench("parse", "-", stdin=VALID),
    ):
        assert (done.returncode, done.stdout) == (0, 'calls\n  f {"a": 1}\n')


def test_parse_draws_a_caret_under_the_offending_character(capsys, tmp_path):
    Path("bad.txt").write_text(
        "<start_function_call>call:f{城市:Paris}<end_function_call>", encoding="utf-8"
    )
    code, out, _ = run(capsys, "parse", "bad.txt")
    lines = out.splitlines()
    assert code == 1
    assert lines[0] == "malformed"
    # Two characters take two columns each on a terminal.
    assert lines[3].index("^") == lines[2].index("Paris") + 2
    assert "bare_string at character 31 (byte 35)" in out
    assert "hint:" in out


def test_parse_prints_what_a_model_wrote_whatever_it_is():
    huge = VALID.replace("1", "9" * 5000)
    Path("t.txt").write_text(huge.replace("call:f", "call:\x1bc"), encoding="utf-8")
    for options in ([], ["--json"]):
        done = fcbench("parse", "t.txt", *options)
        assert done.returncode == 0
        assert "9" * 5000 in done.stdout
        assert "\x1b" not in done.stdout


def test_parse_escapes_what_would_move_the_cursor(capsys):
    Path("bad.txt").write_text("<start_function_call>\x1b[2J\u202ecall:f", encoding="utf-8")
    _, out, _ = run(capsys, "parse", "bad.txt")
    assert "\x1b" not in out
    assert "\\x1b[2J\\u202e" in out


def test_parse_gives_the_record_as_json_and_mends_on_request(capsys):
    Path("t.txt").write_text(VALID.replace("1", "True"), encoding="utf-8")
    _, out, _ = run(capsys, "parse", "t.txt", "--json")
    assert json.loads(out)["failure"]["kind"] == "python_literal"
    code, out, _ = run(capsys, "parse", "t.txt", "--mode", "lenient")
    assert (code, out) == (0, 'calls\n  f {"a": true}\n  repaired: read True as true at 30\n')


def test_parse_says_which_formats_accept_a_turn(capsys):
    Path("t.txt").write_text("<|tool_call>call:f{}<tool_call|>", encoding="utf-8")
    code, out, _ = run(capsys, "parse", "t.txt", "--format", "all")
    assert code == 0
    assert [line.split() for line in out.splitlines() if "calls" in line] == [["gemma4", "calls"]]
    assert "functiongemma  malformed: wrong_dialect at 0" in out
    code, out, _ = run(capsys, "parse", "t.txt", "--format", "all", "--json")
    assert json.loads(out)["gemma4"]["calls"] == [{"name": "f", "arguments": {}}]
    Path("t.txt").write_text("call:f{", encoding="utf-8")
    assert run(capsys, "parse", "t.txt", "--format", "all")[0] == 1


def test_suites_lists_what_comes_with_fcbench(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FCBENCH_CACHE", str(tmp_path))  # nothing was fetched there
    _, out, _ = run(capsys, "suites")
    assert all(name in out for name in suite_names())
    assert "MIT" in out
    _, out, _ = run(capsys, "suites", "--json")
    rows = {row["suite"]: row for row in json.loads(out)}
    assert sorted(rows) == suite_names()
    for name, row in rows.items():
        suite = load_suite(name)
        assert (row["cases"], row["sha256"], row["licence"]) == (
            len(suite.cases),
            suite.sha256,
            "MIT",
        )
        assert row["tags"] == sorted({tag for case in suite.cases for tag in case.tags})


# Bad input


def bad_inputs(tmp_path: Path, case_row) -> dict[str, tuple[list[str], str]]:
    """Arguments and what the first line on stderr must hold."""
    row = case_row()

    def suite(name: str, *lines: str) -> str:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    def over(path: str) -> list[str]:
        return ["run", "--model", "python:cli_model:answer", "--suite", path]

    (tmp_path / "broken.py").write_text("1 / 0", encoding="utf-8")
    latin = str(tmp_path / "latin.txt")
    Path(latin).write_bytes(b"caf\xe9")
    conflict = tmp_path / "functiongemma-conflict.lark"
    conflict.write_text('turn: a | b\na: "x"\nb: "x"\n', encoding="utf-8")
    (tmp_path / "t.txt").write_text("x", encoding="utf-8")
    (tmp_path / "dir" / "suite.toml").mkdir(parents=True)
    (tmp_path / "nul").mkdir()
    (tmp_path / "nul" / "suite.toml").write_text(
        'name = "a"\ncases = "a\\u0000"\n', encoding="utf-8"
    )
    escape = json.dumps({"id": "\x1b[31m", "text": "x"})
    return {
        "suite line that is not JSON": (over(suite("j", json.dumps(row), "{")), "j.jsonl:2: not JSON"),
        "unknown field": (over(suite("u", json.dumps({**row, "tagz": []}))), "u.jsonl:1: $.tagz: unknown field"),
        "duplicate id": (over(suite("d", json.dumps(row), json.dumps(row))), "d.jsonl:2: $.id: 'a'"),
        "undeclared function": (
            over(suite("f", json.dumps({**row, "expected": [[{"name": "g"}]]}))),
            "f.jsonl:1: $.expected[0][0].name: no tool declares the function g",
        ),
        "missing model folder": ([*RUN[:2], "./nowhere", *RUN[3:]], "./nowhere: no such model folder"),
        "LALR conflict": (["parse", "t.txt", "--format", str(conflict)], f"{conflict}: not an LALR grammar"),
        "unknown suite": (over("mobile_action"), "no such suite, folder or file: mobile_action"),
        "unknown prompt": ([*RUN, "--prompt", "chta"], "no such name among prompts: chta"),
        "unknown metric": ([*RUN, "--fail-under", "name_mach=1"], "no such metric: name_mach"),
        "bad threshold": ([*RUN, "--fail-under", "name_match=2"], "expected a share between 0 and 1, got 2"),
        "unknown format": (["parse", "t.txt", "--format", "functiongema"], "no such name among formats"),
        "unknown function": ([*RUN[:2], "python:cli_model:nothing", *RUN[3:]], "python:cli_model:nothing"),
        "output that is not UTF-8": (["score", latin, "--suite", "original_experiment"], "latin.txt: cannot be read"),
        "prompt file that is not UTF-8": ([*RUN, "--prompt-file", latin], "latin.txt: cannot be read"),
        "two ways to ask": ([*RUN, "--prompt", "chat", "--prompt-file", latin], "both say how to ask"),
        "module that fails": ([*RUN[:2], "python:broken:f", *RUN[3:]], "python:broken:f: ZeroDivisionError"),
        "suite with a long name": (over("x" * 300), "File name too long"),
        "results that cannot be written": ([*RUN, "--results", "/dev/null/x"], "/dev/null/x: cannot be written"),
        "adapter on a function": ([*RUN, "--adapter", "x"], "a function takes no adapter"),
        "unknown option": (["parse", "--mdoe", "strict"], "no such option: --mdoe"),
        "unknown command": (["rnu"], "no such command: rnu"),
        "missing file": (["parse", "none.txt"], "none.txt: cannot be read"),
        "not a run": (["score", "results/none"], "results/none: no run stands here"),
        "no runs": (["leaderboard", "--results", "none"], "none: holds no run that can be read"),
        "two ways to say examples": ([*RUN, "--few-shot", "2", "--prompt", "raw+3"], "both say how many examples"),
        "gate where less is better": ([*RUN, "--fail-under", "over_calling=0.1"], "of over_calling less is better"),
        "gate on a quantity": ([*RUN, "--fail-under", "seconds=1"], "seconds is no share of cases"),
        "suite.toml that is a folder": (["lint", "dir"], "suite.toml is no plain file"),
        "file name with a NUL": (["lint", "nul"], "nul/suite.toml: names a file that cannot be"),
        "what would move the cursor": (["score", suite("e", escape), "--suite", "original_experiment"], r"has no case \x1b[31m"),
        "wrong output line": (["score", suite("o", "[]"), "--suite", "original_experiment"], "o.jsonl:1: $: expected object"),
    }  # fmt: skip


def test_bad_input_is_one_clear_line_and_exit_code_2(tmp_path, case_row, capsys):
    for name, (arguments, message) in bad_inputs(tmp_path, case_row).items():
        code, out, err = run(capsys, *arguments)
        first, *rest = err.splitlines()
        assert (name, code, out) == (name, 2, "")
        assert message in first, name
        assert all(line.startswith("hint: ") for line in rest), name


def test_resuming_the_results_of_another_suite_is_refused(write_lines, case_row):
    path = str(write_lines(case_row()))
    run_it = ("run", "--model", "python:cli_model:answer", "--suite", path, "--resume")
    assert fcbench(*run_it).returncode == 0
    write_lines(case_row(id="b"))
    done = fcbench(*run_it)
    assert done.returncode == 2
    assert "is a run of another suite (suite.sha256 differs)" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_model_is_checked_before_the_first_one_runs(capsys, tmp_path):
    code, _, err = run(capsys, *RUN, "--model", "./nowhere")
    assert (code, err.splitlines()[0]) == (2, "ModelError: ./nowhere: no such model folder")
    assert not (tmp_path / "results").exists()


def test_a_stored_run_whose_suite_changed_is_left_out_and_named(capsys, write_lines, case_row):
    path = str(write_lines(case_row()))
    arguments = ("run", "--model", "python:cli_model:answer", "--suite", path)
    assert run(capsys, *arguments)[0] == 0
    write_lines(case_row(id="b"))
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0
    assert len(json.loads(out)) == 1
    assert "left out of the leaderboard: results/" in err
    code, out, err = run(capsys, "leaderboard", "--json")
    assert [row["run"][-2:] for row in json.loads(out)] == ["-2"]
    assert "its suite cases has another SHA-256 now" in err


def test_no_command_says_what_to_do(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    assert "python -m fcbench run" in out


def test_a_reader_that_goes_away_is_no_error():
    script = f"{sys.executable} -m fcbench suites --json | head -c 1"
    done = subprocess.run(
        script, shell=True, capture_output=True, text=True, check=False, env=os.environ
    )
    assert (done.stdout, done.stderr) == ("[", "")
