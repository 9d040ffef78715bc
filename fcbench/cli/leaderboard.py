"""python -m fcbench leaderboard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.cli import ERRORS, OK
from fcbench.text import visible

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("leaderboard", "score every run of results/ again, and write its leaderboard.md, .csv, .json"),
    (
        "leaderboard --results runs --insert README.md",
        "the same of another folder, with the tables put into a Markdown file",
    ),
)
EXITS = {3: "some samples are errors"}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("--results", default="results", metavar="DIR", help="default: results/")
    parser.add_argument(
        "--insert",
        metavar="FILE",
        help="put the tables into a Markdown file, between <!-- leaderboard: begin --> and end",
    )
    parser.add_argument("--json", action="store_true", help="print rows as JSON")


def run(args: argparse.Namespace) -> int:
    """Score every stored run, print the tables, write leaderboard.{md,csv,json}."""
    from fcbench.report import leaderboard
    from fcbench.report.markdown import insert

    results = Path(args.results)
    rows, left_out = leaderboard.read_rows(results)
    sys.stderr.writelines(f"left out: {visible(line)}\n" for line in left_out)
    # First: a folder that cannot be written to is no reason to show nothing.
    sys.stdout.write(leaderboard.as_json(rows) if args.json else leaderboard.as_text(rows))
    leaderboard.write(rows, results)
    if args.insert:
        insert(Path(args.insert), "leaderboard", leaderboard.as_text(rows, "github"))
    return ERRORS if any(row.n_errors for row in rows) else OK
