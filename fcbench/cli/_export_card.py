"""python -m fcbench export model-card."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.cli import ERRORS, OK

if TYPE_CHECKING:
    import argparse


def add(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the options."""
    what = "write a model card for Hugging Face's hub, with metrics and intervals of a model's runs"
    card = actions.add_parser("model-card", help=what, description=what)
    card.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs of one model")
    card.add_argument("--out", required=True, metavar="FILE.md", help="the file to write")
    card.add_argument(
        "--model-name", metavar="NAME", help="default: the adapter's or the model's own"
    )
    card.add_argument("--license", metavar="ID", help="as the hub names it, such as gemma or mit")
    card.add_argument("--base-model", metavar="OWNER/NAME", help="what the model was made from")
    card.add_argument(
        "--language", action="append", default=[], metavar="CODE", help="may be repeated"
    )
    card.add_argument(
        "--metric",
        action="append",
        metavar="METRIC",
        help="may be repeated (default: those of a leaderboard)",
    )
    card.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    card.add_argument("--json", action="store_true", help="print the metadata as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the card."""
    from fcbench.errors import RunError
    from fcbench.metrics import metric
    from fcbench.report.leaderboard import SHOWN
    from fcbench.report.model_card import About, measure, metadata, model_card
    from fcbench.report.page import write

    out = Path(args.out).expanduser()
    if out.exists() and not args.overwrite:
        raise RunError(f"{out}: is there already", hint="--overwrite, or another --out")
    metrics = tuple(dict.fromkeys(args.metric)) if args.metric else SHOWN
    for name in metrics:
        metric(name)  # before any run is read
    about = About(args.model_name, args.license, args.base_model, tuple(args.language))
    found = measure(args.runs)
    write(out, model_card(found, about, metrics))
    if args.json:
        plain = metadata(found, about, metrics)
        sys.stdout.write(json.dumps(plain, indent=2) + "\n")
    else:
        sys.stdout.write(f"{out}: the card of {len(found)} run{'s' if len(found) > 1 else ''}\n")
    n_errors = sum(one.scores.n_errors for one in found)
    if n_errors:
        sys.stderr.write(f"{n_errors} samples are errors, and in no metric\n")
        return ERRORS
    return OK
