"""python -m fcbench suites."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from fcbench.cli import OK

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(args: argparse.Namespace) -> int:
    """Print each suite with its cases, tags, licence and hash."""
    from tabulate import tabulate

    from fcbench.suite import load_suite, suite_names

    rows = []
    for suite in map(load_suite, suite_names()):
        tags = sorted({tag for case in suite.cases for tag in case.tags})
        rows.append({"suite": suite.name, "cases": len(suite.cases), "licence": suite.licence,
                     "sha256": suite.sha256, "tags": tags, "description": suite.description})  # fmt: skip
    if args.json:
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return OK
    shown = [{**row, "sha256": row["sha256"][:12], "tags": len(row["tags"])} for row in rows]
    sys.stdout.write(tabulate(shown, headers="keys") + "\n")
    return OK
