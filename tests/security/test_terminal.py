"""What others wrote reaches a terminal escaped: names, a model's words, a server's, a library's."""

import json
import subprocess
import sys

import pytest

from fcbench.cli import main
from fcbench.cli.export import as_text
from fcbench.train import _export_gguf
from fcbench.train.export import ExportReport

# Clears the screen, colours it by a C1 control, and turns the reading direction.
HOSTILE = "\x1b[2J\x9b31m\u202eX\u2066\x07"


def moves_nothing(text):
    bars = text.replace("\r", "\n")  # of progress, each over the one before
    return all(line.isprintable() for line in bars.split("\n"))


def test_libraries_logs_and_warnings_are_shown_escaped_and_without_passwords(tmp_path):
    """Those of real libraries, whose handlers are their own."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": HOSTILE}))
    script = f"""
import logging, warnings
from fcbench import __main__, cli

def command(argv=None):
    from huggingface_hub.utils import logging as hub
    from transformers import LlamaConfig
    LlamaConfig.from_pretrained({str(tmp_path)!r})
    said = "%s of http://me:hunter2@h/?k=hunter2\\nnext"
    for logger in (hub.get_logger("huggingface_hub.x"), logging.getLogger("fcbench")):
        logger.warning(said, {HOSTILE!r})
    warnings.warn(said)
    warnings.warn({HOSTILE!r})
    return 0

cli.main = command
raise SystemExit(__main__.main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert moves_nothing(done.stdout + done.stderr)
    assert done.stderr.count("\\x1b[2J\\x9b31m\\u202eX") >= 4
    assert "model of type `\\x1b[2J" in done.stderr
    assert done.stderr.count("http://[hidden]@h/") == 3
    assert "hunter2" not in done.stderr


@pytest.fixture
def runs(tmp_path, monkeypatch, write_lines, case_row):
    """Two stored runs over a suite whose every name is hostile, and the suite."""
    name = "f" + HOSTILE
    tool = {"name": name, "description": HOSTILE, "parameters": {"type": "object"}}
    expected = [[{"name": name, "arguments": {}}]]
    row = case_row(id=HOSTILE, tools=[tool], expected=expected, tags=[HOSTILE])
    suite = str(write_lines(row, name=f"s{HOSTILE}.jsonl"))
    (tmp_path / "hostile.py").write_text(
        f"from fcbench import Call\n"
        f"def calls(prompts): return [[Call({name!r}, {{}})] for _ in prompts]\n"
        f"def words(prompts): return [{HOSTILE!r} for _ in prompts]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for function in ("calls", "words"):
        model = f"python:hostile:{function}"
        assert main(["run", "--model", model, "--suite", suite, "--json"]) == 0
    return [str(path.parent) for path in sorted((tmp_path / "results").glob("*/run.json"))], suite


def test_json_for_a_terminal_is_ascii(runs, capfd, tmp_path):
    stored, suite = runs
    text = tmp_path / "turn"
    text.write_text(f"<start_function_call>call:f{{{HOSTILE}:1}}<end_function_call>", "utf-8")
    for command in (
        ["lint", suite],
        ["compare", *stored],
        ["leaderboard"],
        ["score", stored[0]],
        ["inspect", HOSTILE, "--run", stored[1]],
        ["drift", "--runs", *stored],
        ["export", "model-card", stored[0], "--out", "card.md"],
        ["parse", str(text)],
        ["parse", str(text), "--format", "all"],
        ["suites"],
    ):
        capfd.readouterr()
        assert main([*command, "--json"]) in (0, 1), command
        out, err = capfd.readouterr()
        assert json.loads(out), command
        assert out.isascii(), command
        assert moves_nothing(err), command


def test_a_run_that_is_left_out_is_named_escaped(runs, capfd, tmp_path):
    broken = tmp_path / "results" / HOSTILE
    broken.mkdir()
    (broken / "run.json").write_text("{")
    for command in (
        ["leaderboard"],
        ["run", "--model", "python:hostile:words", "--suite", runs[1]],
    ):
        capfd.readouterr()
        assert main(command) == 0
        out, err = capfd.readouterr()
        assert "left out" in err
        assert moves_nothing(out + err)


def test_a_threshold_that_is_missed_is_told_escaped(runs, capfd, tmp_path):
    outputs = tmp_path / f"{HOSTILE}.jsonl"
    outputs.write_text(json.dumps({"id": HOSTILE, "text": "no"}), encoding="utf-8")
    command = ["run", "--model", f"replay:{outputs}", "--suite", runs[1]]
    capfd.readouterr()
    assert main([*command, "--fail-under", "name_match=1"]) == 1
    out, err = capfd.readouterr()
    assert "missed: " in err
    assert moves_nothing(out + err)


def test_what_an_exported_file_says_of_itself_is_shown_escaped():
    said = _export_gguf.Metadata(
        architecture=HOSTILE, tokenizer=HOSTILE, pre=HOSTILE, n_vocab=1, context_length=1,
        adds_bos=True, n_tensors={"F32": 1}, largest_float16=None,
    )  # fmt: skip
    report = ExportReport(
        out="x.gguf", model="x", type="f32", n_bytes=1, sha256="", format=None,
        has_chat_template=False, has_our_prompts=False, bos="", metadata=said, shown=[HOSTILE],
        merge=None, answers=None, check_error=None, seconds=0.0,
    )  # fmt: skip
    assert moves_nothing(as_text(report, None))
