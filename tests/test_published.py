"""What is published can be made again from what is stored."""

import json
import re
from pathlib import Path

import pytest

from fcbench import load_suite
from fcbench.cli.suites import as_markdown
from fcbench.report import leaderboard
from fcbench.report.markdown import insert
from fcbench.suite import suite_names

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"


@pytest.fixture(scope="module")
def rows():
    found, left_out = leaderboard.read_rows(RESULTS)
    assert left_out == []
    return found


def test_the_stored_runs_give_the_published_leaderboard(rows):
    assert leaderboard.as_json(rows) == (RESULTS / "leaderboard.json").read_text("utf-8")
    assert leaderboard.as_csv(rows) == (RESULTS / "leaderboard.csv").read_text("utf-8")


def test_the_readme_shows_the_stored_runs_and_the_suites(rows, tmp_path):
    copy = tmp_path / "README.md"
    readme = (ROOT / "README.md").read_text("utf-8")
    emptied = re.sub(r"(?s)(<!-- (\w+): begin -->\n).*?(<!-- \2: end -->)", r"\1\3", readme)
    assert len(emptied) < len(readme) - 2000
    copy.write_text(emptied, encoding="utf-8")
    insert(copy, "leaderboard", leaderboard.as_text(rows, "github"))
    insert(copy, "suites", as_markdown(list(map(load_suite, suite_names()))))
    assert copy.read_text("utf-8") == readme


def test_every_published_run_holds_a_sample_for_each_case(rows):
    for row in rows:
        samples = (RESULTS / row.run / "samples.jsonl").read_text("utf-8").splitlines()
        assert len({json.loads(line)["case_id"] for line in samples}) == row.n_cases
        assert row.n_errors == 0


def test_rows_of_the_packaged_model_say_what_was_done_to_its_weights(rows):
    packaged = [row for row in rows if row.model.startswith("gemma3-270m")]
    assert packaged
    assert all("dequantised from Q4_K_M" in row.model for row in packaged)
