"""python -m fcbench suites, and suites fetch."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.cli import OK

if TYPE_CHECKING:
    from fcbench.suite import Suite

EXAMPLES = (
    ("suites", "the suites that are here, each with its cases, tags, licence and hash"),
    ("suites fetch bfcl", "fetch the cases of BFCL v4, for run --suite bfcl"),
)


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument(
        "--insert",
        metavar="FILE",
        help="put the table into a Markdown file, between <!-- suites: begin --> and end",
    )
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
    from fcbench.report.markdown import insert
    from fcbench.suite import fetched_names, load_suite, suite_names

    suites = list(map(load_suite, [*suite_names(), *fetched_names()]))
    if args.insert:
        shipped = [suite for suite in suites if suite.name in suite_names()]
        insert(Path(args.insert), "suites", as_markdown(shipped))
    sys.stdout.write(_as_json(suites) if args.json else as_text(suites))
    return OK


def _tags(suite: Suite) -> list[str]:
    return sorted({tag for case in suite.cases for tag in case.tags})


def _as_json(suites: list[Suite]) -> str:
    rows = [
        {
            "suite": suite.name,
            "cases": len(suite.cases),
            "licence": suite.licence,
            "sha256": suite.sha256,
            "tags": _tags(suite),
            "description": suite.description,
        }
        for suite in suites
    ]
    return json.dumps(rows, indent=2) + "\n"


def as_text(suites: list[Suite]) -> str:
    """Return the table of suites for a terminal, with all tags."""
    from tabulate import tabulate

    body = [
        [s.name, len(s.cases), ", ".join(_tags(s)), s.licence, s.sha256[:12], s.description]
        for s in suites
    ]
    header = ["suite", "cases", "tags", "licence", "SHA-256", "description"]
    return tabulate(body, header, maxcolwidths=[None, None, 44, None, None, 36]) + "\n"


def as_markdown(suites: list[Suite]) -> str:
    """Return the table of suites for a README; tags are told by the cards."""
    from urllib.parse import quote

    from tabulate import tabulate

    from fcbench.report._safe import plain

    body = [
        [
            f"[{plain(s.name)}](suites/{quote(s.name)})",
            len(s.cases),
            plain(s.description),
            plain(s.licence),
            s.sha256[:12],
        ]
        for s in suites
    ]
    header = ["suite", "cases", "what it asks", "licence", "SHA-256"]
    return tabulate(body, header, tablefmt="github") + "\n"
