"""python -m fcbench report."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from fcbench.cli import ERRORS, OK

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("report results/A results/B -o report.html", "two runs, compared and side by side"),
    (
        "report results/mobile_actions-* --title Nightly -o nightly.html",
        "all runs over a suite; those over the same cases are shown together",
    ),
    (
        "report results/A --training-log tuned/curves.jsonl -o report.html",
        "with the loss and the calls of the training that made it",
    ),
    (
        "report before.jsonl after.jsonl --suite mobile_actions",
        "outputs that were made elsewhere",
    ),
)
EXITS = {3: "the report is written, but some samples are errors"}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    from fcbench.cli._options import add_matching

    parser.description = (
        "Write one HTML file about runs: leaderboard, metrics by tag, kinds of failure, functions, "
        "tokens and time, comparisons, and every case with its prompt and answers; of very many "
        "those that fail. It opens from the disk and asks no network for anything."
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folders, or JSON lines of {id, text}"
    )
    parser.add_argument(
        "-o",
        "--output",
        default="report.html",
        metavar="FILE",
        help="where to write (default: report.html)",
    )
    parser.add_argument("--title", help="the report's title (default: the suites' names)")
    parser.add_argument(
        "--training-log",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="a curves.jsonl of `train`, drawn as loss and calls; may be repeated",
    )
    add_matching(parser)
    parser.add_argument("--json", action="store_true", help="print what was written, as JSON")


def run(args: argparse.Namespace) -> int:
    """Score each run and write the report."""
    from fcbench.cli._options import matching_of
    from fcbench.report.html import gather, read_log, report
    from fcbench.report.page import write

    runs = [str(path).rstrip("/") or path for path in args.runs]
    logs = [read_log(path) for path in args.training_log]
    found = [gather(path, args.suite, args.format, **matching_of(args)) for path in runs]
    page = report(runs, found, logs, args.title)
    scored = [gathered.scores for gathered in found]
    write(args.output, page)
    n_bytes = len(page.encode())
    n_errors = sum(scores.n_errors for scores in scored)
    written = {
        "report": args.output,
        "bytes": n_bytes,
        "runs": runs,
        "n_cases": sum(scores.n_cases for scores in scored),
        "n_errors": n_errors,
    }
    if args.json:
        sys.stdout.write(json.dumps(written, indent=2) + "\n")
    else:
        from fcbench.text import visible

        runs_said = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
        size = f"{n_bytes / 1e6:.1f} MB"
        sys.stdout.write(visible(f"{args.output}: {runs_said}, {size}") + "\n")
    if n_errors:
        sys.stderr.write(f"{n_errors} samples are errors and are in no metric\n")
        return ERRORS
    return OK
