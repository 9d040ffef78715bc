"""python -m fcbench compare."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from fcbench.cli import ERRORS, OK

if TYPE_CHECKING:
    import argparse

    from fcbench.report.comparison import Pairs
    from fcbench.runs import Scores

EXAMPLES = (
    ("compare results/A results/B", "is B better than A, or is it chance?"),
    (
        "compare results/A results/B results/C --metric name_match --flips 3",
        "all pairs of three runs by one metric, with Holm's correction",
    ),
    (
        "compare results/A results/B -o comparison.md --flips 100",
        "the same as a page of Markdown, with each flipped case: asked, expected, written",
    ),
    (
        "compare before.jsonl after.jsonl --suite mobile_actions --json",
        "outputs that were made elsewhere, and everything as JSON",
    ),
)
EXITS = {3: "some samples are errors, and were left out"}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    from fcbench.cli._options import add_matching

    parser.description = "Say how runs over the same cases differ, and whether by more than chance."
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="two or more run folders, or JSON lines of {id, text}",
    )
    parser.add_argument(
        "--metric",
        action="append",
        metavar="METRIC",
        help="may be repeated; the flipped cases are those of the first (default: "
        "argument_exact_match, name_match, syntax_validity, abstention)",
    )
    parser.add_argument(
        "--flips", type=int, default=10, metavar="N", help="flipped cases shown (default: 10)"
    )
    add_matching(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON, all flips")
    parser.add_argument(
        "-o", "--out", metavar="FILE.md", help="write the comparison as Markdown as well"
    )


def run(args: argparse.Namespace) -> int:
    """Score each run and compare all pairs."""
    from fcbench.cli._options import matching_of
    from fcbench.errors import UsageError
    from fcbench.metrics import HEADLINE, metric
    from fcbench.report import comparison
    from fcbench.runs import compare_all, score

    if len(args.runs) < 2:  # noqa: PLR2004  a comparison
        raise UsageError("compare needs two runs at least")
    if args.flips < 0:
        raise UsageError(f"--flips is at least 0, got {args.flips}")
    chosen = args.metric or [*reversed(HEADLINE), "abstention"]
    for name in chosen:
        metric(name)
    scored = [score(path, args.suite, args.format, **matching_of(args)) for path in args.runs]
    found = {name: compare_all(scored, name) for name in dict.fromkeys(chosen)}
    if not args.metric:  # what the suite never asks for is not shown unasked
        asked = {name: pairs for name, pairs in found.items() if any(c.n for c in pairs.values())}
        found = asked or found
    if args.json:
        sys.stdout.write(_as_json(args.runs, scored, found))
    else:
        sys.stdout.write(comparison.as_text(args.runs, found, args.flips))
    if args.out is not None:
        from fcbench.report.comparison_markdown import as_markdown
        from fcbench.report.page import write

        write(args.out, as_markdown(args.runs, scored, found, args.flips))
    n_errors = sum(scores.n_errors for scores in scored)
    if n_errors:
        sys.stderr.write(f"{n_errors} samples are errors and were left out\n")
        return ERRORS
    return OK


def _as_json(runs: list[str], scored: list[Scores], found: dict[str, Pairs]) -> str:
    import msgspec

    rows = [
        {"first": runs[i], "second": runs[j], **_plain(comparison)}
        for pairs in found.values()
        for (i, j), comparison in pairs.items()
    ]
    suite = {"name": scored[0].suite, "sha256": scored[0].suite_sha256}
    matching = msgspec.to_builtins(scored[0].matching)
    plain = {"suite": suite, "matching": matching, "comparisons": rows}
    return json.dumps(plain, indent=2) + "\n"


def _plain(comparison: object) -> dict[str, object]:
    import msgspec

    plain: dict[str, object] = msgspec.to_builtins(comparison)
    for name in ("a", "b", "difference"):
        plain[name] = getattr(comparison, name)._asdict()
    return plain
