"""A page that is written over an earlier one is whole, or the earlier one stays."""

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from fcbench.cli import main
from fcbench.report import page
from fcbench.report.markdown import insert
from tests.report_api.test_leaderboard import RUN

RUNS = [str(RUN), str(RUN).replace("--bare", "--chat")]


def full(_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "command",
    [
        ["report", *RUNS, "-o"],
        ["compare", *RUNS, "-o"],
        ["drift", "--runs", *RUNS, "--markdown"],
        ["export", "model-card", RUNS[0], "--overwrite", "--out"],
        ["suites", "--insert"],
    ],
    ids=lambda command: command[0],
)
def test_a_full_disk_leaves_the_earlier_page(command, tmp_path, monkeypatch, capsys):
    file = tmp_path / "page"
    file.write_text("<!-- suites: begin -->\n<!-- suites: end -->\n")
    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    assert main([*command, str(file)]) == 2
    assert f"{file}: cannot be written: No space left on device" in capsys.readouterr().err
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]
    monkeypatch.undo()
    assert main([*command, str(file)]) == 0
    assert file.read_bytes() != before
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_goes_on_leading_to_its_file_which_keeps_who_may_read_it(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("<!-- x: begin -->\n<!-- x: end -->\n")
    file.chmod(0o600)
    link.symlink_to("file")
    insert(link, "x", "text")
    assert link.readlink() == Path("file")
    assert "text" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pipes that have a name")
def test_a_page_may_be_written_to_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    page.write(tmp_path / "pipe", "text")
    assert os.read(reader, 9) == b"text"
    os.close(reader)
