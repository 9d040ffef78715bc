"""python -m fcbench lint."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.cli import MISSED, OK

if TYPE_CHECKING:
    import argparse

    from fcbench.lint import Finding
    from fcbench.suite import Suite
    from fcbench.types import Case

EXAMPLES = (
    (
        "lint mine.jsonl",
        "can each answer be written, parsed and judged right? which cases are odd?",
    ),
    ("lint mine.jsonl --train train.jsonl", "and do any of its cases stand in the training file?"),
)
EXITS = {1: "a case has an error; warnings are cases to look at"}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.description = "Prove that every case of a suite can be satisfied, and find its defects."
    parser.add_argument(
        "suite", nargs="+", help="a shipped suite, a folder, JSON lines, or bfcl:CATEGORY"
    )
    parser.add_argument(
        "--train",
        metavar="FILE",
        help="a training file that must not hold the suite's cases (default: the suite's own)",
    )
    parser.add_argument(
        "--format",
        default="functiongemma",
        help="the wire format that must express every answer (default: functiongemma)",
    )
    parser.add_argument(
        "--show", type=int, default=5, metavar="N", help="findings shown of each kind (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="print all findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Lint each suite and print what was found."""
    from fcbench.errors import UsageError
    from fcbench.lint import lint
    from fcbench.suite import load_suite

    if args.show < 0:
        raise UsageError(f"--show is at least 0, got {args.show}")
    found: list[tuple[Suite, list[Finding]]] = []
    for name in args.suite:
        suite = load_suite(name)
        found.append((suite, lint(suite, _training(suite, args.train), args.format)))
    if args.json:
        sys.stdout.write(_as_json(found))
    else:
        sys.stdout.write("\n".join(_as_text(suite, listed, args.show) for suite, listed in found))
    return MISSED if any(f.is_error for _, listed in found for f in listed) else OK


def _training(suite: Suite, file: str | None) -> list[Case]:
    if file is not None:
        from fcbench.suite import read_training

        return read_training(Path(file), suite)
    return [] if suite.training is None else suite.training_cases()


def _as_json(found: list[tuple[Suite, list[Finding]]]) -> str:
    import msgspec

    plain = [
        {
            "suite": suite.name,
            "sha256": suite.sha256,
            "n_cases": len(suite.cases),
            "findings": [{**msgspec.to_builtins(f), "is_error": f.is_error} for f in listed],
        }
        for suite, listed in found
    ]
    return json.dumps(plain, indent=2) + "\n"


def _as_text(suite: Suite, findings: list[Finding], n_shown: int) -> str:
    from fcbench.lint import LEVELS
    from fcbench.text import shorten, visible

    lines = []
    for kind, (level, meaning) in LEVELS.items():
        of_kind = [f for f in findings if f.kind == kind]
        if not of_kind:
            continue
        n_cases = len({f.case_id for f in of_kind})
        lines.append(f"  {level}: {kind} in {_cases(n_cases)}: {meaning}")
        lines += [
            f"    {visible(f.case_id)} {visible(f.where)}: {visible(shorten(f.what))}"
            for f in of_kind[:n_shown]
        ]
        if len(of_kind) > n_shown:
            lines.append(f"    … and {len(of_kind) - n_shown} more (--show {len(of_kind)})")
    n_errors = len({f.case_id for f in findings if f.is_error})
    verdict = f"errors in {_cases(n_errors)}" if n_errors else "passes"
    return (
        "\n".join([f"{visible(suite.name)}: {verdict} ({_cases(len(suite.cases))})", *lines]) + "\n"
    )


def _cases(n: int) -> str:
    return f"{n} case" if n == 1 else f"{n} cases"
