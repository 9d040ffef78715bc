"""Fuzzing from the command line.

    python -m tests.fuzz run --seconds 1800
    python -m tests.fuzz run --seconds 60 --target suite --keep
    python -m tests.fuzz differential 1000000

`run` looks for inputs that break a property of fcbench's parser, suite reader, run-log reader,
report writer or pytest message (targets/), each for its share of the time, and `--keep` keeps a few
that reach much in corpus/. `differential` looks for texts that two strict parsers read differently.
Each prints what it found, and ends with exit code 1 if that is anything.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz import campaign, differential, targets


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--seconds", type=int, default=600)
    run.add_argument("--tool", choices=("atheris", "hypothesis"))
    run.add_argument("--target", action="append", choices=targets.NAMES, help="default: all")
    run.add_argument("--keep", action="store_true")
    compare = commands.add_parser("differential")
    compare.add_argument("n", type=int)
    compare.add_argument("--left", default=differential.LEFT, help="module:function")
    compare.add_argument("--right", default=differential.RIGHT, help="module:function")
    compare.add_argument("--seed", type=int, default=0)
    compare.add_argument("--processes", type=int, default=differential.cores())
    args = parser.parse_args()
    return _run(args) if args.command == "run" else _differential(args)


def _run(args: argparse.Namespace) -> int:
    names = args.target or targets.NAMES
    return max([_run_one(args, name, args.seconds / len(names)) for name in names])


def _run_one(args: argparse.Namespace, name: str, seconds: float) -> int:
    outcome = campaign.run(seconds, args.tool, name)
    for row in outcome.findings:
        _say(f"{name}: {row['violation']!a}\n    {row.get('input', '')}\n    {row['data']}")
    if outcome.trouble:
        _say(f"{name}: {outcome.tool} ended badly:\n{outcome.trouble}")
    _say(
        f"{name}: {outcome.n_inputs:,} inputs in {seconds:.0f} s with {outcome.tool}: "
        f"{len(outcome.findings)} kinds of violation"
    )
    if args.keep:
        n_kept = campaign.keep(name, outcome.corpus, outcome.findings)
        _say(f"{name}: {n_kept} of {len(outcome.corpus)} inputs are kept")
    return 1 if outcome.findings or outcome.trouble or not outcome.n_inputs else 0


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
