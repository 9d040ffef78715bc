"""What a model writes, and what a suite's author wrote, is text: never run, and never a path."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.security.planted import PAYLOADS, WORD

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """The folder in which everything was run over planted words, and what was seen."""
    folder = tmp_path_factory.mktemp("watched")
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.planted"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            # Its own: pytest takes away what earlier test runs left, planted files among it.
            "PYTEST_DEBUG_TEMPROOT": str(tmp_path_factory.mktemp("temporary")),
        },
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    return folder, json.loads((folder / "watched.json").read_text("utf-8"))


def test_nothing_planted_is_opened_compiled_imported_started_or_connected_to(watched):
    _, said = watched
    assert said["control"] == 1  # the hook sees what it is to see
    assert said["n_cases"] >= 100
    assert said["seen"] == []


def test_every_command_ended_as_it_should_and_saw_the_planted_words(watched):
    folder, said = watched
    codes = [code for _, code in said["codes"]]
    assert set(codes) <= {0, 1, 3}, said["codes"]
    assert said["runs"] == 10
    for name in ("report.html", "comparison.md", "suite/cases.jsonl"):
        assert WORD in (folder / name).read_text("utf-8")
    answers = [
        json.loads(line)["text"]
        for path in (folder / "results").glob("*answer*/samples.jsonl")
        for line in path.read_text("utf-8").splitlines()
    ]
    assert set(PAYLOADS) <= set(answers)


def test_no_file_has_a_planted_name(watched):
    folder, _ = watched
    for place in (folder, folder.parent, folder.parent.parent, Path("/tmp")):  # where ../ leads
        assert not (place / WORD).exists()
    assert not [path for path in folder.rglob("*") if WORD in path.name]


def test_what_is_written_stays_in_the_folders_that_were_named(watched):
    folder, _ = watched
    allowed = {
        "suite", "results", "report.html", "comparison.md", "card.md", "own.jinja", "test_gate.py",
        "watched.json", ".fcbench", "__pycache__",
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} <= allowed


@pytest.mark.parametrize(
    ("options", "environment"),
    [(["-P"], {}), ([], {"PYTHONSAFEPATH": "1"})],
    ids=["-P", "variable"],
)
def test_no_module_is_imported_from_the_folder_that_a_safe_start_is_in(
    tmp_path, options, environment
):
    for name in ("tabulate", "msgspec", "lark", "json"):
        (tmp_path / f"{name}.py").write_text("print('planted')\nraise SystemExit(9)\n", "utf-8")
    done = subprocess.run(
        [sys.executable, *options, "-m", "fcbench", "suites"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    assert b"planted" not in done.stdout
