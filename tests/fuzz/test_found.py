"""What fuzzing found, each as a person would write it down."""

import json
from pathlib import Path

import pytest

import fcbench
from fcbench.errors import RunError, SuiteError, UsageError
from fcbench.report import leaderboard
from fcbench.runs import read_run
from tests.fuzz.targets import log

HALF = "\ud800"
"""Half of a surrogate pair, which has no UTF-8; JSON may hold it all the same."""
LONG = "1" + "0" * 4400
"""An integer of more digits than CPython prints."""


@pytest.fixture
def stored(tmp_path):
    """Return a function that stores a run whose manifest is changed."""

    def store(change):
        made = fcbench.run(log.answer, log.suite(), results=tmp_path)
        path = Path(made.folder) / "run.json"
        manifest = json.loads(path.read_text("utf-8"))
        change(manifest)
        path.write_text(json.dumps(manifest), encoding="utf-8")
        return made.folder

    return store


@pytest.mark.parametrize("place", ["", "suite", "matching", "decoding"])
def test_a_field_of_a_manifest_that_has_no_utf8_is_a_run_error(stored, place):
    def change(manifest):
        (manifest[place] if place else manifest)[HALF] = 1

    folder = stored(change)
    with pytest.raises(RunError, match=r"run\.json"):
        fcbench.score(read_run(folder))


def test_a_name_in_a_manifest_neither_moves_the_cursor_nor_stops_the_leaderboard(stored, tmp_path):
    def change(manifest):
        manifest["model"]["name"] = f"a{HALF}\x1b[2J\n| b |"
        manifest["suite"]["name"] = "x\u202ey"

    stored(change)
    rows, left_out = leaderboard.read_rows(tmp_path)
    assert left_out == []
    table = leaderboard.as_text(rows)
    assert rows[0].model == "a\\ud800\\x1b[2J\\n| b |"
    assert "\\ud800" in table
    assert all(c.isprintable() or c == "\n" for c in table)
    leaderboard.write(rows, tmp_path)
    assert "x\\u202ey" in (tmp_path / "leaderboard.md").read_text("utf-8")


def test_an_output_with_a_field_that_has_no_utf8_is_a_usage_error(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text(json.dumps({"id": "case-0", "text": "", HALF: 1}) + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"out\.jsonl:1: "):
        fcbench.score(path, suite=log.suite())


def test_an_error_of_a_server_is_shortened_in_the_message(tmp_path):
    from fcbench.runs._gate import refuse_errors

    samples = [fcbench.Sample("case-0", error="x" * 10**6)]
    with pytest.raises(RunError) as told:
        refuse_errors(fcbench.score(samples, suite=log.suite()))
    assert len(str(told.value)) < 1000


ASKED = '"messages": [{"role": "user", "content": "x"}]'
ROWS = {
    "a field that has no UTF-8": f'{{"id": "a", {ASKED}, "expected": [[]], "tools": [], "\\ud800": 1}}',
    "one below it": f'{{"id": "a", {ASKED}, "tools": [], "expected": [[{{"name": "f", "\\ud800": 1}}]]}}',
    "a type that holds a long integer": f'{{"id": "a", {ASKED}, "expected": [[]], "tools": [{{"name": "f", "parameters": {{"type": {{"a": {LONG}}}}}}}]}}',
    "a type in two lists": f'{{"id": "a", {ASKED}, "expected": [[]], "tools": [{{"name": "f", "parameters": {{"type": [["string"]]}}}}]}}',
    "a role that is a long integer": f'{{"id": "a", "messages": [{{"role": {LONG}, "content": "x"}}], "expected": [[]], "tools": []}}',
    "an id that is a long integer": f'{{"id": {LONG}, "query": "x", "answers": [], "tools": []}}',
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_a_suite_is_refused_with_file_line_and_path(what, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(ROWS[what] + "\n", encoding="utf-8")
    with pytest.raises(SuiteError, match=r"mine\.jsonl:1: \$\."):
        fcbench.load_suite(path)


def test_a_python_type_of_xlam_that_holds_a_long_integer_has_no_schema(tmp_path):
    tool = f'{{"name": "f", "parameters": {{"a": {{"type": {{"a": {LONG}}}}}}}}}'
    path = tmp_path / "mine.jsonl"
    path.write_text(f'{{"query": "x", "answers": [], "tools": [{tool}]}}\n', encoding="utf-8")
    (case,) = fcbench.load_suite(path).cases
    assert case.tools[0].parameters["properties"] == {"a": {}}
