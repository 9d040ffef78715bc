"""Fuzzing from the command line.

    python -m tests.fuzz run --seconds 600
    python -m tests.fuzz differential 1000000

`run` looks for texts that break a property of fcbench.parse (properties.py), `differential` for
texts that two strict parsers read differently; each prints what it found, shortest texts first,
and ends with exit code 1 if that is anything.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz import campaign, differential


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--seconds", type=int, default=600)
    run.add_argument("--tool", choices=("atheris", "hypothesis"))
    compare = commands.add_parser("differential")
    compare.add_argument("n", type=int)
    compare.add_argument("--left", default=differential.LEFT, help="module:function")
    compare.add_argument("--right", default=differential.RIGHT, help="module:function")
    compare.add_argument("--seed", type=int, default=0)
    compare.add_argument("--processes", type=int, default=differential.cores())
    args = parser.parse_args()
    return _run(args) if args.command == "run" else _differential(args)


def _run(args: argparse.Namespace) -> int:
    outcome = campaign.run(args.seconds, args.tool)
    for row in sorted(outcome.findings, key=lambda row: len(row["text"])):
        _say(f"{row['format']}: {row['violation']!a}\n    {row['text']!a}")
    if outcome.trouble:
        _say(f"{outcome.tool} ended badly:\n{outcome.trouble}")
    _say(
        f"{outcome.n_texts:,} texts in {args.seconds} s with {outcome.tool}: "
        f"{len(outcome.findings)} kinds of violation"
    )
    return 1 if outcome.findings or outcome.trouble or not outcome.n_texts else 0


def _differential(args: argparse.Namespace) -> int:
    start, total = time.monotonic(), differential.NOTHING
    for total in differential.compare(args.left, args.right, args.n, args.seed, args.processes):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{total.tried.total():,} of {args.n:,}")
    for found in sorted(total.disagreements, key=lambda found: len(found.text)):
        _say(
            f"{found.format}: {found.text!a}\n    left:  {found.left!a}\n    right: {found.right!a}"
        )
    for name in sorted(total.tried):
        _say(f"{name:15} {total.tried[name]:>10,} tried {total.valid[name]:>10,} valid to both")
    _say(
        f"{total.tried.total():,} inputs, {total.valid.total():,} valid to both, "
        f"{total.n_disagreements:,} disagreements ({len(total.disagreements)} different), "
        f"{time.monotonic() - start:.0f} s on {args.processes} processes"
    )
    return 1 if total.n_disagreements else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
