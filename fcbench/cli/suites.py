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

    suites = list(map(load_suite, suite_names()))
    tags = [sorted({tag for case in suite.cases for tag in case.tags}) for suite in suites]
    if args.json:
        rows = [
            {
                "suite": suite.name,
                "cases": len(suite.cases),
                "licence": suite.licence,
                "sha256": suite.sha256,
                "tags": found,
                "description": suite.description,
            }
            for suite, found in zip(suites, tags, strict=True)
        ]
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return OK
    body = [
        [s.name, len(s.cases), len(found), s.licence, s.sha256[:12], s.description]
        for s, found in zip(suites, tags, strict=True)
    ]
    header = ["suite", "cases", "tags", "licence", "SHA-256", "description"]
    sys.stdout.write(tabulate(body, header) + "\n")
    return OK
