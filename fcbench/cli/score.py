"""python -m fcbench score."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from fcbench.cli import ERRORS, MISSED, OK

if TYPE_CHECKING:
    import argparse

    from fcbench.runs import Scores


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    from fcbench.cli._options import threshold

    parser.add_argument("run", help="a run's folder, or JSON lines of {id, text}")
    parser.add_argument("--suite", help="judge by this suite (needed for JSON lines)")
    parser.add_argument("--format", help="wire format: a name, or a grammar variant's path")
    parser.add_argument("--matcher", default="exact", help="default: exact")
    parser.add_argument(
        "--fail-under",
        action="append",
        default=[],
        type=threshold,
        metavar="METRIC=X",
        help="exit 1 unless the lower bound of the metric's interval reaches X",
    )
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")


def run(args: argparse.Namespace) -> int:
    """Score and print."""
    from fcbench.runs import score

    scores = score(args.run, args.suite, args.format, args.matcher)
    sys.stdout.write(_as_json(scores) if args.json else _as_text(scores))
    missed = scores.missed(dict(args.fail_under))
    sys.stderr.writelines(f"missed: {line}\n" for line in missed)
    if scores.n_errors:
        sys.stderr.write(f"{scores.n_errors} of {scores.n_cases} cases have no answer\n")
        return ERRORS
    return MISSED if missed else OK


def _as_text(scores: Scores) -> str:
    from tabulate import tabulate

    from fcbench.report.leaderboard import cell

    names = list(scores.metrics)
    groups = {"all": scores.metrics, **scores.by_tag}
    body = [[tag, *(cell(found[name]) for name in names)] for tag, found in groups.items()]
    table = tabulate(body, ["cases", *(n.replace("_", " ") for n in names)], disable_numparse=True)
    outcomes = ", ".join(f"{kind} {n}" for kind, n in scores.outcomes.items())
    return f"{scores.suite}, {scores.n_cases} cases\n\n{table}\n\nturns: {outcomes}\n"


def _as_json(scores: Scores) -> str:
    plain = {
        "suite": scores.suite,
        "n_cases": scores.n_cases,
        "n_errors": scores.n_errors,
        "metrics": {name: e._asdict() for name, e in scores.metrics.items()},
        "by_tag": {
            tag: {name: e._asdict() for name, e in found.items()}
            for tag, found in scores.by_tag.items()
        },
        "outcomes": scores.outcomes,
    }
    return json.dumps(plain, indent=2) + "\n"
