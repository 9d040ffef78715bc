"""python -m fcbench suites, and suites fetch."""

from __future__ import annotations

import argparse
import json
import sys

from fcbench.cli import OK


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("--json", action="store_true", help="print as JSON")
    actions = parser.add_subparsers(dest="action", metavar="fetch")
    what = "fetch a suite that does not come with fcbench, and say where it is: bfcl"
    fetch = actions.add_parser("fetch", help=what, description=what)
    fetch.add_argument("name", help="bfcl")
    # SUPPRESS: else its absence here would undo a --json before `fetch`.
    fetch.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print as JSON"
    )


def run(args: argparse.Namespace) -> int:
    """Fetch a suite, or print each with its cases, tags, licence and hash."""
    return _fetch(args) if args.action == "fetch" else _list(args)


def _fetch(args: argparse.Namespace) -> int:
    from fcbench.suite import fetch_suite, fetched_names

    path = fetch_suite(args.name)
    suites = fetched_names()
    if args.json:
        sys.stdout.write(json.dumps({"path": str(path), "suites": suites}, indent=2) + "\n")
        return OK
    sys.stdout.write(
        f"{path}\nsuites: {args.name} or {', '.join(suites)}\n"
        f"next: python -m fcbench run --model MODEL --suite {suites[0]}\n"
    )
    return OK


def _list(args: argparse.Namespace) -> int:
    from tabulate import tabulate

    from fcbench.suite import fetched_names, load_suite, suite_names

    suites = list(map(load_suite, [*suite_names(), *fetched_names()]))
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
