"""The leaderboard's files are whole, whatever happens while they are written."""

import errno
import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from fcbench.cli import main
from fcbench.errors import RunError
from fcbench.report import leaderboard
from fcbench.runs import score

RUN = Path(__file__).parent.parent.parent / "results/original_experiment--gemma3-270m--bare"
FILES = ["leaderboard.csv", "leaderboard.json", "leaderboard.md"]


@pytest.fixture(scope="module")
def row():
    return leaderboard.row_of(RUN.name, score(str(RUN)), [])


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_full_disk_leaves_the_earlier_leaderboard(row, tmp_path, monkeypatch):
    leaderboard.write([row], tmp_path)
    before = contents(tmp_path)
    assert list(before) == FILES

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"leaderboard\.md.*cannot be written: No space left"):
        leaderboard.write([msgspec.structs.replace(row, model="later")], tmp_path)
    assert contents(tmp_path) == before


def test_what_cannot_be_replaced_is_a_clear_error_and_leaves_nothing_beside_it(row, tmp_path):
    (tmp_path / "leaderboard.md").mkdir()
    with pytest.raises(RunError, match=r"leaderboard\.md is no plain file"):
        leaderboard.write([row], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["leaderboard.md"]


def test_no_leaderboard_is_written_through_a_link_that_leads_out_of_the_results(row, tmp_path):
    mine, results = tmp_path / "mine", tmp_path / "results"
    mine.write_text("kept", encoding="utf-8")
    results.mkdir()
    (results / "leaderboard.csv").symlink_to(mine)
    with pytest.raises(RunError, match=r"leaderboard\.csv is a symbolic link that leads out"):
        leaderboard.write([row], results)
    assert mine.read_text("utf-8") == "kept"


def test_of_two_that_are_written_together_one_stays_whole(row, tmp_path, monkeypatch):
    flush, others = os.fsync, [msgspec.structs.replace(row, model="other")]

    def meanwhile(file):
        if others:
            leaderboard.write([others.pop()], tmp_path)
        flush(file)

    monkeypatch.setattr(os, "fsync", meanwhile)
    leaderboard.write([row], tmp_path)
    assert others == []
    assert list(contents(tmp_path)) == FILES
    (stored,) = json.loads((tmp_path / "leaderboard.json").read_bytes())
    assert stored["model"] == row.model


def test_a_folder_that_cannot_be_written_to_shows_its_leaderboard_all_the_same(tmp_path, capsys):
    shutil.copytree(RUN, tmp_path / RUN.name)
    (tmp_path / "leaderboard.md").mkdir()
    assert main(["leaderboard", "--results", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "gemma3-270m" in said.out
    assert said.err.startswith("RunError: ")
    assert "leaderboard.md is no plain file" in said.err
