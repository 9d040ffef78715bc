"""What fuzzing found, each as a person would write it down."""

import json
import sys
from pathlib import Path

import pytest

import fcbench
from fcbench import prompts
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


def test_a_manifest_with_a_long_integer_is_refused_where_python_has_no_limit_too(stored):
    folder = Path(stored(lambda manifest: manifest.update(seed="long")))
    said = (folder / "run.json").read_text("utf-8").replace('"long"', LONG)
    (folder / "run.json").write_text(said, encoding="utf-8")
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)  # as the command line does
    try:
        with pytest.raises(RunError, match=r"run\.json: not JSON: an integer of more than 4,300"):
            read_run(folder)
    finally:
        sys.set_int_max_str_digits(limit)


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
    assert "x&#92;u202ey" in (tmp_path / "leaderboard.md").read_text("utf-8"), (
        "as Markdown shows it"
    )


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
    "a long integer that only a prompt would show": f'{{"id": "a", {ASKED}, "expected": [[]], "tools": [{{"name": "f", "parameters": {{"x": [1, -{LONG}]}}}}]}}',
    "one in a text of arguments": f'{{"tools": [], "messages": [{{"role": "assistant", "tool_calls": [{{"function": {{"name": "f", "arguments": "[{LONG}]"}}}}]}}]}}',
    "a type of xLAM that holds one": f'{{"query": "x", "answers": [], "tools": [{{"name": "f", "parameters": {{"a": {{"type": {{"a": {LONG}}}}}}}}}]}}',
    "an id that is a long integer": f'{{"id": {LONG}, "query": "x", "answers": [], "tools": []}}',
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_a_suite_is_refused_with_file_line_and_path(what, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(ROWS[what] + "\n", encoding="utf-8")
    with pytest.raises(SuiteError, match=r"mine\.jsonl:1: \$\."):
        fcbench.load_suite(path)


def test_a_long_integer_is_named_by_its_path_and_the_longest_that_is_written_is_read(tmp_path):
    path = tmp_path / "mine.jsonl"
    row = '{{"id": "a", {}, "expected": [[]], "tools": [{{"name": "f", "parameters": {{"x": [1, {}]}}}}]}}'
    path.write_text(row.format(ASKED, LONG), encoding="utf-8")
    said = (
        r"mine\.jsonl:1: \$\.tools\[0\]\.parameters\.x\[1\]: an integer of more than 4,300 digits"
    )
    with pytest.raises(SuiteError, match=said):
        fcbench.load_suite(path)
    path.write_text(row.format(ASKED, f"-{'9' * 4300}"), encoding="utf-8")
    (request,) = prompts.requests(fcbench.load_suite(path).cases, "raw", prompts.Style())
    assert "9" * 4300 in request.prompt


def test_a_long_integer_in_a_suite_toml_is_a_suite_error(tmp_path):
    (tmp_path / "suite.toml").write_text(f'name = "x"\nmax_new_tokens = {LONG}', encoding="utf-8")
    with pytest.raises(SuiteError, match=r"suite\.toml: "):
        fcbench.load_suite(tmp_path)
