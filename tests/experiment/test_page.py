"""The experiment's page shows what is stored, and its configurations are ones that can be run."""

import pytest

from fcbench.train import read_config
from tests.experiment import page
from tests.experiment.plan import GOES, PUBLISHED, ROOT, ROWS, RUNS, TRAININGS

N_LINES = 60
"""That the page may have, tables and all."""


def test_the_page_shows_what_is_stored(tmp_path, monkeypatch):
    published = page.PAGE
    monkeypatch.setattr(page, "PAGE", tmp_path / "README.md")
    page.write()
    written = page.PAGE.read_text("utf-8")
    assert len(written.splitlines()) <= N_LINES
    if list(RUNS.glob("*/run.json")):
        assert published.read_text("utf-8") == written
    else:
        assert not published.exists()


@pytest.mark.parametrize("name", TRAININGS)
def test_each_training_has_a_configuration_that_can_be_run(name):
    config = read_config(ROOT / f"{name}.toml", {})
    assert config.out.endswith(name)
    assert config.allow_invalid_targets == (name == "raw")


def test_the_two_trainings_differ_in_how_they_ask_and_in_nothing_else():
    chat, raw = (read_config(ROOT / f"{name}.toml", {}) for name in ("chat", "raw"))
    differing = {n for n in chat.__struct_fields__ if getattr(chat, n) != getattr(raw, n)}
    assert differing == {"out", "format_style", "allow_invalid_targets"}


def test_every_row_is_asked_once_and_those_of_one_training_together():
    assert len(set(ROWS)) == len(ROWS)
    # What is published was trained in several goes, of which the mean is asked.
    assert {row.training for row in ROWS} == {*TRAININGS, None} - {*GOES} | {PUBLISHED}
