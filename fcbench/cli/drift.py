"""python -m fcbench drift."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fcbench.cli import ERRORS, OK
from fcbench.text import visible

if TYPE_CHECKING:
    import argparse

    from fcbench.drift import Drift

EXAMPLES = (
    (
        "drift --model ./base --adapter ./my-lora --merged ./merged --limit 40",
        "do the merged weights answer as base and adapter do, under each prompt and dtype?",
    ),
    (
        "drift --model ./my-model --also gguf:my-model.gguf --prompt chat --dtype float32",
        "what was lost on the way to llama.cpp",
    ),
    ("drift --runs results/drift", "compare what is stored, and run nothing"),
)
EXITS = {3: "a way could not be run, or some samples are errors"}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.description = (
        "Run the same weights every way that is named (prompts x dtypes x base, adapter and merged "
        "by transformers, and other backends by --also MODEL), and say where they differ: metrics, "
        "paired tests, and each flipped case with its cause."
    )
    which = parser.add_argument_group("what to run (one row for each combination)")
    which.add_argument("--model", metavar="MODEL", help="the base model, as run takes it")
    which.add_argument("--adapter", metavar="DIR", help="a LoRA adapter on top of the model")
    which.add_argument("--merged", metavar="DIR", help="a folder with the adapter merged into it")
    which.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="MODEL",
        help="the same weights for another backend, as run takes them (python:MODULE:FUNCTION); "
        "no other backend is run than those named so; may be repeated",
    )
    which.add_argument(
        "--prompt",
        default="chat,raw,bare",
        metavar="MODE[,MODE…]",
        help="default: chat,raw,bare",
    )
    which.add_argument(
        "--dtype",
        default="float32,bfloat16",
        metavar="DTYPE[,DTYPE…]",
        help="of transformers models (default: float32,bfloat16)",
    )
    which.add_argument("--suite", default="mobile_actions", help="default: mobile_actions")
    which.add_argument("--limit", type=int, metavar="N", help="only the first N cases")
    which.add_argument("--format", default="functiongemma", metavar="NAME", help="wire format")
    which.add_argument(
        "--max-new-tokens", type=int, metavar="N", help="tokens after which an answer is cut"
    )
    which.add_argument(
        "--batch-size", type=int, metavar="N", help="prompts answered together; default: as fit"
    )
    add_output(parser)


def add_output(parser: argparse.ArgumentParser) -> None:
    """Describe the options that say where runs are, and what is printed."""
    where = parser.add_argument_group("results")
    where.add_argument(
        "--runs",
        nargs="+",
        metavar="DIR",
        help="run nothing: compare stored runs, named by their folders or a folder of them; "
        "--merged then says which model is the merged one",
    )
    where.add_argument("--results", default="results/drift", metavar="DIR", help="results/drift")
    where.add_argument("--resume", action="store_true", help="go on with interrupted runs")
    where.add_argument(
        "--reference",
        metavar="ROW",
        help="the row to compare with: its prompt, dtype and weights, or some of them, as in "
        "chat,float32,adapter (default: the first)",
    )
    where.add_argument(
        "--flips", type=int, default=3, metavar="N", help="flips shown of a row (default: 3)"
    )
    where.add_argument("--markdown", metavar="FILE", help="write it as Markdown too, all flips")
    where.add_argument("--json", action="store_true", help="print everything as JSON, all flips")


def run(args: argparse.Namespace) -> int:
    """Run every way, or read its run, and print where they differ."""
    from fcbench.drift import as_json, as_text
    from fcbench.errors import UsageError

    if args.flips < 0:
        raise UsageError(f"--flips is at least 0, got {args.flips}")
    if args.runs and (args.model or args.adapter or args.also):
        raise UsageError("--runs compares what is stored: no model is run", hint="use one of them")
    if not args.runs and not args.model:
        raise UsageError("name what to run or to read", hint="--model MODEL, or --runs DIR …")
    found = _drift(args)
    sys.stdout.write(as_json(found) if args.json else as_text(found, args.flips))
    if args.markdown:
        from fcbench.report.page import write

        write(args.markdown, as_text(found, len(found.flips), "github"))
    return _verdict(found)


def _drift(args: argparse.Namespace) -> Drift:
    from fcbench.drift import Ways, drift, drift_of_runs

    if args.runs:
        return drift_of_runs(args.runs, args.reference, args.merged)
    ways = Ways(
        adapter=args.adapter,
        merged=args.merged,
        also=tuple(args.also),
        prompts=tuple(args.prompt.split(",")),
        dtypes=tuple(args.dtype.split(",")),
    )
    return drift(
        args.model, args.suite, ways, args.reference, args.results, limit=args.limit,
        format=args.format, max_new_tokens=args.max_new_tokens, batch_size=args.batch_size,
        resume=args.resume, progress=True,
    )  # fmt: skip


def _verdict(found: Drift) -> int:
    """Say on stderr if ways or samples are errors and return the exit code."""
    for way in found.not_run:
        sys.stderr.write(visible(f"{way.label} could not be run: {way.error}") + "\n")
    if not found.n_errors:
        return ERRORS if found.not_run else OK
    verdicts = (v for row in found.rows for v in row.scores.verdicts)
    first = next(v for v in verdicts if v.sample.error is not None)
    where = visible(f"{first.case.id}: {first.sample.error}")
    sys.stderr.write(f"{found.n_errors} samples are errors, the first in {where}\n")
    return ERRORS
