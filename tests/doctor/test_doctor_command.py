"""python -m fcbench doctor: exit codes, a terminal of 100 columns, JSON, and a real model."""

import json

import pytest

from fcbench.cli import main
from fcbench.doctor import CHECKS
from tests import tiny


@pytest.fixture
def doctor(capsys, suite):
    """Return a function that runs the command: (exit code, stdout, stderr)."""

    def run(*arguments):
        options = ("--suite", str(suite), "--cases", "8", "--dtype", "float32")
        code = main(["doctor", *options, *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_model_without_a_fault_exits_with_0_and_is_told_so(doctor, folder):
    code, out, err = doctor(folder)
    assert code == 0
    assert "VERDICT: no fault found" in out
    assert [line.split()[-1] for line in err.splitlines()] == list(CHECKS)


def test_a_fault_exits_with_1_and_the_likeliest_cause_is_first(doctor, folder):
    code, out, _ = doctor(folder, "--prompt", "raw", "--train-data", "original_experiment")
    assert code == 1
    verdict = out[out.index("VERDICT") :]
    assert "1. It was trained under the chat prompt, and is asked under raw." in verdict
    assert "2. It knows calls under the chat prompt, but not under raw." in verdict
    assert max(map(len, out.splitlines())) <= 100


def test_json_holds_every_finding_with_its_numbers(doctor, folder):
    code, out, _ = doctor(folder, "--prompt", "bare", "--json")
    report = json.loads(out)
    assert (code, report["has_fault"]) == (1, True)
    assert report["causes"][0]["kind"] == "prompt_mismatch"
    (knowledge,) = [f for f in report["findings"] if f["check"] == "knowledge"]
    assert set(knowledge["measures"]["parts"]) == {"chat", "raw", "bare"}
    assert knowledge["measures"]["parts"]["chat"]["prefix"]["n"] == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-model"], "no such model folder"),
        (["{folder}", "--prompt", "rwa"], "did you mean raw?"),
        (["{folder}", "--format", "funtiongemma"], "did you mean functiongemma?"),
        (["{folder}", "--suite", "no_such_suite"], "no such suite"),
        (["{folder}", "--cases", "0"], "at least one case"),
        (["{folder}", "--dtype", "float61"], "no such dtype"),
    ],
)
def test_what_cannot_be_examined_exits_with_2(doctor, folder, arguments, message):
    code, out, err = doctor(*(a.format(folder=folder) for a in arguments))
    assert (code, out) == (2, "")
    assert message in err


def test_a_suite_that_wants_no_call_cannot_be_asked(doctor, folder, write_lines, case_row):
    path = write_lines(case_row(expected=[[]]))
    code, _, err = doctor(folder, "--suite", path)
    assert code == 2
    assert "no case that expects a call" in err


def test_nothing_that_a_model_or_suite_says_moves_the_cursor(doctor, folder, tmp_path):
    case = json.loads((tiny.write_suite(tmp_path)).read_text("utf-8").splitlines()[0])
    case["id"] = "evil\x1b[2J"
    path = tmp_path / "evil.jsonl"
    path.write_text(json.dumps(case) + "\n", "utf-8")
    _, out, _ = doctor(folder, "--suite", path, "--train-data", path, "--format-style", "raw")
    assert "\x1b" not in out
    assert "evil\\x1b" in out


def test_a_line_that_is_too_wide_says_that_it_is_cut():
    from fcbench.cli.doctor import _wrapped

    assert max(map(len, _wrapped("/a/long/path" * 20 + ", float32", "", 0))) <= 100
    first, second = _wrapped("seen:\n  " + "x" * 200, "", 0)
    assert (first, len(second), second[-2:]) == ("seen:", 100, "x…")


@pytest.mark.model
def test_the_base_model_never_learned_calls():
    from fcbench.doctor import Options, examine

    report = examine("gemma3-270m", Options(n_cases=8))
    (cause,) = report.causes
    assert cause.kind == "never_learned"
    assert any("nearly equal to another token's" in seen for seen in cause.evidence)
    assert any("abstained" in seen for seen in cause.evidence)
