"""python -m fcbench score."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from fcbench.cli import ERRORS, MISSED, OK

if TYPE_CHECKING:
    import argparse

    from fcbench.runs import Scores

EXAMPLES = (
    ("score results/RUN", "every metric of a stored run, and the headline ones by tag"),
    (
        "score outputs.jsonl --suite mobile_actions --format hermes",
        'texts that were made elsewhere, lines of {"id": …, "text": …}',
    ),
    (
        "score results/RUN --matcher bfcl --fail-under name_match=0.95",
        "judge the same samples by BFCL's rules, and exit 1 below 95 % (lower bound)",
    ),
)
EXITS = {1: "a metric is below its --fail-under", 3: "some samples have no answer"}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    from fcbench.cli._options import add_gate, add_matching

    parser.add_argument(
        "run", help="a run's folder, or JSON lines of {id, text} or {id, tool_calls}"
    )
    add_matching(parser)
    add_gate(parser)
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")


def run(args: argparse.Namespace) -> int:
    """Score and print."""
    from fcbench.cli._options import matching_of
    from fcbench.runs import score

    # No verdict is shown, and a file of outputs may be larger than the memory.
    scores = score(args.run, args.suite, args.format, **matching_of(args), keep_verdicts=False)
    sys.stdout.write(_as_json(scores) if args.json else _as_text(scores))
    missed = scores.missed(dict(args.fail_under), args.interval)
    sys.stderr.writelines(f"missed: {line}\n" for line in missed)
    if scores.n_errors:
        sys.stderr.write(f"{scores.n_errors} of {scores.n_samples} samples have no answer\n")
        return ERRORS
    return MISSED if missed else OK


def _as_text(scores: Scores) -> str:
    """Return every metric over all cases, and those of the leaderboard by tag."""
    from tabulate import tabulate

    from fcbench.metrics import unit_of
    from fcbench.report.leaderboard import SHOWN, cell, quantity, rules_label
    from fcbench.text import visible

    overall = [
        [_words(name), cell(found) if unit_of(name) is None else quantity(name, found)]
        for name, found in [*scores.metrics.items()]
    ]
    overall += [[name, cell(found)] for name, found in scores.passes.items()]
    by_tag = [
        [visible(tag), *(cell(found[name]) for name in SHOWN)]
        for tag, found in scores.by_tag.items()
    ]
    rules = rules_label(scores.matching)
    outcomes = ", ".join(f"{kind} {n}" for kind, n in scores.outcomes.items())
    parts = [
        f"{visible(scores.suite)}, {scores.n_cases} cases{f' ({rules})' if rules else ''}",
        tabulate(overall, ["metric", "per cent [95 % interval] of n cases"], disable_numparse=True),
        tabulate(by_tag, ["tag", *map(_words, SHOWN)], disable_numparse=True) if by_tag else "",
        f"turns: {outcomes}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _as_json(scores: Scores) -> str:
    import msgspec

    plain = {
        "suite": scores.suite,
        "n_cases": scores.n_cases,
        "n_errors": scores.n_errors,
        "metrics": {name: e._asdict() for name, e in scores.metrics.items()},
        "by_tag": {
            tag: {name: e._asdict() for name, e in found.items()}
            for tag, found in scores.by_tag.items()
        },
        "passes": {name: e._asdict() for name, e in scores.passes.items()},
        "outcomes": scores.outcomes,
        "matching": msgspec.to_builtins(scores.matching),
    }
    return json.dumps(plain, indent=2) + "\n"
