"""A name is neither markup nor a cell of a Markdown page, and no formula of a spreadsheet."""

import csv
import json
import shutil

import pytest

from fcbench import load_suite
from fcbench.cli import main
from fcbench.cli.suites import as_markdown
from fcbench.errors import RunError
from fcbench.report.markdown import insert
from fcbench.train._card import _table

FORGED = (
    "best | chat | 100 [99–100] of 5 |\n<img src=x onerror=alert(1)> [x](javascript:alert(1)) "
    "`*_#$@! <!-- leaderboard: end -->"
)
MARKUP = ("<", ">", "`", "[x]", "*", "$", "\\", "!")


def refuse_markup(page):
    for mark in MARKUP:
        assert mark not in page


@pytest.fixture
def results(tmp_path, monkeypatch, write_lines, case_row):
    """A folder with a run of whose names a stranger wrote every one."""
    (tmp_path / "words.py").write_text("def f(prompts): return ['hi' for _ in prompts]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["run", "--model", "python:words:f", "--suite", str(write_lines(case_row()))]) == 0
    (path,) = (tmp_path / "results").glob("*/run.json")
    manifest = json.loads(path.read_text())
    manifest["model"]["name"] = manifest["prompt"]["mode"] = manifest["suite"]["name"] = FORGED
    path.write_text(json.dumps(manifest))
    return tmp_path / "results"


def test_names_in_a_leaderboard_are_neither_cells_nor_markup(results, tmp_path, capfd):
    page = tmp_path / "R.md"
    page.write_text("<!-- leaderboard: begin -->\n<!-- leaderboard: end -->\nrest\n")
    for _ in range(2):
        assert main(["leaderboard", "--insert", str(page)]) == 0
    text = (results / "leaderboard.md").read_text("utf-8")
    refuse_markup(text.replace("[95 % Wilson interval]", ""))
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1
    assert page.read_text("utf-8").count("<!--") == 2
    assert "best | chat | 100 [99–100]" in capfd.readouterr().out  # a terminal reads no Markdown


def test_names_in_a_drift_are_neither_cells_nor_markup_and_move_no_cursor(results, tmp_path, capfd):
    (path,) = results.glob("*/run.json")
    manifest = json.loads(path.read_text())
    manifest["suite"]["name"] = manifest["model"]["dtype"] = f"{FORGED}\x1b[2J"
    path.write_text(json.dumps(manifest))
    other = tmp_path / "other"
    shutil.copytree(path.parent, other / "run")
    manifest["model"]["dtype"], manifest["prompt"]["mode"] = "float32", "chat"
    (other / "run" / "run.json").write_text(json.dumps(manifest))
    page = tmp_path / "drift.md"
    capfd.readouterr()
    runs = ["--runs", str(path.parent), str(other / "run")]
    assert main(["drift", *runs, "--markdown", str(page)]) == 0
    assert capfd.readouterr().out.replace("\n", "").isprintable()
    text = page.read_text("utf-8")
    assert "<img" not in text
    assert "[x]" not in text
    rows = [line for line in text.splitlines() if "img src" in line and line.startswith("|")]
    assert rows
    assert {row.count("|") for row in rows} == {text.splitlines()[2].count("|")}


def test_a_text_that_holds_a_marker_is_not_inserted(tmp_path):
    page = tmp_path / "R.md"
    before = "<!-- x: begin -->\n<!-- x: end -->\n"
    page.write_text(before)
    for marker in ("<!-- x: begin -->", "<!-- x: end -->"):
        with pytest.raises(RunError, match="a marker of its own"):
            insert(page, "x", f"a {marker} b")
    assert page.read_text() == before


@pytest.mark.parametrize("begins", ["=", "+", "-", "@"])
def test_no_name_is_a_formula_of_a_spreadsheet(begins, results):
    (path,) = results.glob("*/run.json")
    manifest = json.loads(path.read_text())
    manifest["model"]["name"] = f"{begins}cmd|' /C calc'!A0"
    path.write_text(json.dumps(manifest))
    assert main(["leaderboard"]) == 0
    (row,) = csv.DictReader((results / "leaderboard.csv").read_text("utf-8").splitlines())
    assert row["model"].startswith(f"'{begins}cmd")
    assert row["n_cases"] == "1"


def test_the_table_of_suites_and_a_trained_models_card_take_any_text(tmp_path):
    (tmp_path / "suite.toml").write_text(
        f"name = {json.dumps(FORGED)}\ndescription = {json.dumps(FORGED)}\n"
        f"licence = {json.dumps(FORGED)}\n"
    )
    cases = (
        '{"id": "a", "messages": [{"role": "user", "content": "a"}], "tools": [], "expected": [[]]}'
    )
    (tmp_path / "cases.jsonl").write_text(cases + "\n")
    suites = as_markdown([load_suite(tmp_path)])
    assert suites.splitlines()[2].count("|") == 6
    made = _table([["tokens", "<|im_start|>, <tool_call>"], ["name", FORGED]])
    refuse_markup(made + suites)
    assert {line.count("|") for line in made.splitlines()} == {3}
