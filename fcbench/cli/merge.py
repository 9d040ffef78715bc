"""python -m fcbench merge."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from fcbench.cli import OK

if TYPE_CHECKING:
    import argparse

    from fcbench.train.merge import MergeReport

EXAMPLES = (
    (
        "merge gemma3-270m --adapter ./my-lora --out merged",
        "one folder in float32, with its logits beside those of base and adapter",
    ),
)


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.description = (
        "Merge a LoRA adapter into its base model, and prove that the folder written is the "
        "model that was trained."
    )
    parser.add_argument("model", help="the base: a folder, OWNER/NAME, or gemma3-270m")
    parser.add_argument("--adapter", required=True, metavar="DIR", help="the adapter's folder")
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--dtype", default="float32", help="to store weights in: float32 (default) or bfloat16"
    )
    parser.add_argument(
        "--suite", default="mobile_actions", help="whose first cases logits are compared over"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Merge, and print how the logits differ."""
    from fcbench.train.merge import merge

    report = merge(args.model, args.adapter, args.out, args.dtype, args.suite)
    if args.json:
        import msgspec

        sys.stdout.write(json.dumps(msgspec.to_builtins(report), indent=2, allow_nan=False) + "\n")
    else:
        sys.stdout.write(as_text(report))
    return OK


def as_text(report: MergeReport) -> str:
    """Return the report for a terminal."""
    from tabulate import tabulate

    computed = "float32" if report.dtype == "float32" else "float32, from bfloat16 weights"
    rows = [("merged, in memory", report.merged), (f"as stored, in {computed}", report.stored)]
    if report.computed is not None:
        rows.append(("as stored, in bfloat16", report.computed))
    table = tabulate(
        [
            [
                what,
                f"{d.largest:.2g} of {d.largest_logit:.0f}",
                f"{d.n_same_choice}/{d.n_positions}",
            ]
            for what, d in rows
        ],
        ["beside base + adapter, in float32", "largest difference of a logit", "same choice"],
        disable_numparse=True,
    )
    stops = ", ".join(map(str, report.stop_ids))
    template = "with" if report.has_chat_template else "without"
    return (
        f"{report.out}: {report.n_tensors} tensors in {report.dtype}, all finite; tokenizer "
        f"{template} a chat template; generation stops at {stops}; {report.seconds:.0f} s\n\n"
        f"{table}\n\n"
        f"next: python -m fcbench run --model {report.out} --suite SUITE\n"
        f"      python -m fcbench export gguf {report.out} --out {report.out}.gguf\n"
    )
