"""How often the transformers backend writes exactly what model.generate writes, by model and dtype.

    python -m tests.benchmarks.exactness

Every prompt is answered by generate, alone, and by the backend in batches of several sizes, with
prompts' shared beginnings kept and not. In float32 each answer that differs is listed with the two
best logits where it leaves that of generate; in bfloat16 such places are frequent and are counted.

Writes exactness.json and exactness.md after each line of the table, and prints the latter at last.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

from fcbench.formats.functiongemma import STOP_TOKENS
from fcbench.stats import wilson
from fcbench.types import Decoding, Request
from tests.backends import real_models
from tests.backends.generated import PREFIX_MEMORY, TIE, Generated, answers
from tests.benchmarks.machine import JUDGING, machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=real_models.NAMES)
    parser.add_argument("--dtypes", nargs="+", default=("float32", "bfloat16"))
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=(1, 3, 16))
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=48)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    args = parser.parse_args()
    missing = [(name, real_models.missing(name)) for name in args.models]
    decoding = Decoding(max_new_tokens=args.max_new_tokens, stops=STOP_TOKENS)
    result: dict[str, Any] = {
        **machine((*JUDGING, "torch", "transformers")),
        "prompts": args.prompts,
        "max_new_tokens": args.max_new_tokens,
        "tie": TIE,
        "left_out": [why for _, why in missing if why],
        "rows": [],
    }
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in (name for name, why in missing if why is None):
        requests = real_models.requests(name, args.prompts)
        for dtype in args.dtypes:
            generated = Generated(real_models.folder_of(name), dtype=dtype)
            for batch_size in args.batch_sizes:
                for prefix_memory in PREFIX_MEMORY:
                    options = {"batch_size": batch_size, "prefix_memory": prefix_memory}
                    row = measure(generated, requests, decoding, name, dtype=dtype, **options)
                    result["rows"].append(row)
                    write(result, args.folder)
    sys.stdout.write(as_markdown(result))


def measure(
    generated: Generated, requests: list[Request], decoding: Decoding, name: str, **options: Any
) -> dict[str, Any]:
    """Return how many answers are those of generate, and where the others leave it."""
    samples = answers(real_models.folder_of(name), requests, decoding, **options)
    differences, errors = [], []
    for request in requests:
        sample = samples[request.case.id, request.repeat]
        if sample.error is not None:
            errors.append(f"{request.case.id}: {sample.error}")
            continue
        found = generated.difference(request, decoding, sample)
        if found is not None:
            differences.append(found._asdict())
    return {
        "model": name,
        **options,
        "n": len(requests),
        "prompts_sha256": real_models.sha256_of(requests),
        "identical": len(requests) - len(differences) - len(errors),
        "ties": sum(difference["is_tie"] for difference in differences),
        "differences": differences,
        "errors": errors,
    }


def write(result: dict[str, Any], folder: Path) -> None:
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    (folder / "exactness.json").write_text(text, encoding="utf-8")
    (folder / "exactness.md").write_text(as_markdown(result), encoding="utf-8")


def as_markdown(result: dict[str, Any]) -> str:
    """Return the result as a table and a list."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    rows = result["rows"]
    return "\n".join(
        [
            "# Answers that are those of model.generate",
            "",
            (
                f"{result['prompts']} prompts of mobile_actions, the second half of which begin "
                f"alike; greedy, up to {result['max_new_tokens']} new tokens; generate is given "
                "one prompt at a time. Written by `python -m tests.benchmarks.exactness`. "
                f"{result['processor']}, {result['cpus']} CPUs, {result['python']}, {versions}."
            ),
            "",
            *(f"Left out: {line}.\n" for line in result["left_out"]),
            tabulate(map(table_row, rows), headers="keys", tablefmt="github", stralign="right"),
            "",
            (
                "`near-ties` are answers that leave generate's where the two best logits are "
                f"within {result['tie']:g} of each other and the second was taken."
            ),
            "",
            *listed([row for row in rows if row["dtype"] == "float32"]),
        ]
    )


def table_row(row: dict[str, Any]) -> dict[str, object]:
    interval = wilson(row["identical"], row["n"])
    return {
        "model": row["model"],
        "dtype": row["dtype"],
        "batch": row["batch_size"],
        "beginnings": "computed each" if row["prefix_memory"] == 0 else "as by default",
        "identical": f"{row['identical']}/{row['n']}",
        "share": f"{row['identical'] / row['n']:.1%}",
        "95 %": f"{interval.low:.1%} to {interval.high:.1%}",
        "near-ties": row["ties"],
        "other differences": len(row["differences"]) - row["ties"],
        "errors": len(row["errors"]),
    }


def listed(rows: list[dict[str, Any]]) -> list[str]:
    """Return a table of every difference in float32, or a sentence."""
    found = [
        {
            "model": row["model"],
            "batch": row["batch_size"],
            "beginnings": "computed each" if row["prefix_memory"] == 0 else "as by default",
            "case": difference["case_id"],
            "new token": difference["position"] + 1,
            "best": f"`{difference['best']!r}` {difference['logits'][0]:.6f}",
            "second": f"`{difference['second']!r}` {difference['logits'][1]:.6f}",
        }
        for row in rows
        for difference in row["differences"]
    ]
    if not found:
        return ["In float32 no answer differs.", ""] if rows else []
    table = tabulate(found, headers="keys", tablefmt="github", disable_numparse=True)
    return ["The answers that differ in float32:", "", table, ""]


if __name__ == "__main__":
    main()
