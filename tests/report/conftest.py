"""A browser for the tests of a module, and reports for it to open."""

from pathlib import Path

import pytest

import fcbench
from fcbench.report.html import read_log, report
from tests.report import hostile, many
from tests.report.chromium import chromium, console, prefer, resize

RESULTS = Path(__file__).parent.parent.parent / "results"
TUNED = [
    RESULTS / f"mobile_actions-40--gemma3-270m--mobile-actions-chat--{prompt}"
    for prompt in ("chat", "bare", "raw")
]
EXPERIMENT = RESULTS / "original_experiment--gemma3-270m--mobile-actions-chat--chat"


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


@pytest.fixture
def page(browser):
    """The browser, at its first size and with nothing to complain of."""
    resize(browser, 1280, 900)
    prefer(browser, "light")
    console(browser)
    browser.get_log("performance")
    yield browser
    assert console(browser) == []


def _written(folder, paths, logs=()):
    file = folder / "report.html"
    scored = [fcbench.score(path) for path in paths]
    file.write_bytes(report(list(map(str, paths)), scored, logs).encode())
    return file


@pytest.fixture(scope="module")
def stored_file(tmp_path_factory):
    """A report of three runs over forty cases and one over five."""
    log = read_log(RESULTS / "original_experiment" / "curves-chat.jsonl")
    return _written(tmp_path_factory.mktemp("stored"), [*TUNED, EXPERIMENT], [log])


@pytest.fixture(scope="module")
def attacked_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacked")
    paths, scored = hostile.scored(folder)
    file = folder / "report.html"
    file.write_bytes(report(paths, scored, title=hostile.ATTACKS[0]).encode())
    return file


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """A report of two models over ten thousand cases."""
    folder = tmp_path_factory.mktemp("large")
    suite, files = many.write(folder, 10_000)
    file = folder / "report.html"
    scored = [fcbench.score(path, suite=suite) for path in files]
    file.write_bytes(report(list(map(str, files)), scored).encode())
    return file
