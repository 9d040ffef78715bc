"""What a constraint adds to the time of a case, where the model would write the same without it.

    python -m tests.benchmarks.constrained

One process, one model (Gemma 3 270M, tuned until it calls functions), greedy. First every case is
answered under each decoding; only those whose text is the same with and without are timed, for
others read and write something else. Then, in each round, every decoding answers them, each in
turn in the order that rotates; a ratio is the median over the rounds of each round's own. Wall
seconds are what counts, and a busy machine disturbs them; the process's own CPU seconds stand
beside them.

Making a constraint (once a model) and compiling a set of tools (once a set) are not in these times
and shown apart. Writes constrained.json and constrained.md, and prints the latter.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tabulate import tabulate

from fcbench import prompts
from fcbench.backends import ModelOptions, open_model
from fcbench.backends.transformers import stop_ids
from fcbench.formats.constraint import Constraint
from fcbench.formats.functiongemma import STOP_TOKENS
from fcbench.types import Decoding
from tests.benchmarks.generation.prompts import SETS, SHARED, alike, distinct_cases
from tests.benchmarks.generation.setting import Setting
from tests.benchmarks.generation.tuned import tuned_model
from tests.benchmarks.result import write_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench import Case
    from fcbench.backends.transformers import TransformersBackend
    from fcbench.types import Request, Sample

FREE = "greedy"
CONSTRAINED = (
    "constrained",
    "constrained-schema",
    "constrained-or-text",
)
GOAL = 1.05
OWN = "own"
BATCHES = ("1", OWN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=16)
    parser.add_argument("--alone", type=int, default=4, help="cases where one is answered a time")
    parser.add_argument("--batches", nargs="+", default=BATCHES, help="sizes, or the backend's own")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=64, help="new tokens after a prompt")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = str(tuned_model())
    result = {
        **Setting(model, args.dtype, args.limit, SETS, (), args.cases, 0, args.rounds).stamp(),
        "threads": args.threads,
        "made": making(model),
        "groups": [
            group
            for batch in args.batches
            for name in args.sets
            for group in measure(args, model, name, None if batch == OWN else int(batch))
        ],
    }
    write_result(args.folder, "constrained", result, as_markdown(result))


# Measuring


def measure(
    args: argparse.Namespace, model: str, set_name: str, batch: int | None
) -> list[dict[str, Any]]:
    """Return the figures of each constrained decoding of a set at a batch size."""
    backend: Any = open_model(model, ModelOptions(dtype=args.dtype, batch_size=batch))
    cases = list(itertools.islice(distinct_cases(), args.alone if batch == 1 else args.cases))
    asked = prompts.requests(alike(cases) if set_name == SHARED else cases, "chat", prompts.Style())
    # This makes the constraints, compiles the tools, and fills whatever is cached.
    texts = {
        mode: {s.case_id: s.text for s in timed(backend, asked, mode, args.limit)[0]}
        for mode in (FREE, *CONSTRAINED)
    }
    groups = []
    for mode in CONSTRAINED:
        same = [r for r in asked if texts[mode][r.case.id] == texts[FREE][r.case.id]]
        sys.stderr.write(f"{set_name}, batch {batch}, {mode}: {len(same)} of {len(asked)} same\n")
        groups.append(
            {
                "set": set_name,
                "batch": batch,
                "decode": mode,
                "cases": len(asked),
                "same": len(same),
                **compared(backend, same, mode, args),
            }
        )
    return groups


def compared(
    backend: TransformersBackend, asked: Sequence[Request], mode: str, args: argparse.Namespace
) -> dict[str, Any]:
    """Return the seconds of each round under a constraint and without, and their ratios."""
    if not asked:
        return {"ratio": None, "cpu_ratio": None}
    wall: dict[str, list[float]] = {FREE: [], mode: []}
    cpu: dict[str, list[float]] = {FREE: [], mode: []}
    for number in range(args.rounds):
        for which in (FREE, mode) if number % 2 else (mode, FREE):
            _, seconds, cpu_seconds = timed(backend, asked, which, args.limit)
            wall[which].append(seconds)
            cpu[which].append(cpu_seconds)
    return {
        "seconds_per_case": {
            name: statistics.median(times) / len(asked) for name, times in wall.items()
        },
        "ratio": summary([a / b for a, b in zip(wall[mode], wall[FREE], strict=True)]),
        "cpu_ratio": summary([a / b for a, b in zip(cpu[mode], cpu[FREE], strict=True)]),
    }


def timed(
    backend: TransformersBackend, asked: Sequence[Request], mode: str, limit: int
) -> tuple[list[Sample], float, float]:
    """Return the samples, with the seconds and the CPU seconds that they took."""
    decoding = Decoding(mode, limit, STOP_TOKENS)
    started, cpu_started = time.perf_counter(), time.process_time()
    samples = list(backend.answer(asked, decoding))
    return samples, time.perf_counter() - started, time.process_time() - cpu_started


def summary(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def making(model: str) -> dict[str, Any]:
    """Return the seconds that a constraint takes to make, and sessions for cases' tools."""
    loaded = open_model(model, ModelOptions())._loaded
    stops = stop_ids(loaded, STOP_TOKENS)
    started = time.perf_counter()
    constraint = Constraint("functiongemma", loaded.tokenizer, stops)
    made = time.perf_counter() - started
    cases = list(itertools.islice(distinct_cases(), 100))
    first, *further = [session_seconds(constraint, case) for case in cases]
    return {
        "constraint_seconds": made,
        "first_session_seconds": first,
        "further_session_seconds": statistics.median(further),
        "tool_orders": len({repr(case.tools) for case in cases}),
    }


def session_seconds(constraint: Constraint, case: Case) -> float:
    started = time.perf_counter()
    constraint.session(case.tools)
    return time.perf_counter() - started


# Reporting


def as_markdown(result: dict[str, Any]) -> str:
    """Return the result as a table."""
    made = result["made"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    rows = [
        [
            group["set"],
            OWN if group["batch"] is None else group["batch"],
            group["decode"],
            f"{group['same']} of {group['cases']}",
            *(seconds(group, name) for name in (FREE, group["decode"])),
            ratio(group["ratio"]),
            ratio(group["cpu_ratio"]),
        ]
        for group in result["groups"]
    ]
    header = [
        *("prompts", "batch", "decoding", "same texts", "s/case free", "s/case constrained"),
        *("ratio", "ratio of CPU time"),
    ]
    ratios = [group["ratio"]["median"] for group in result["groups"] if group["ratio"]]
    n_met = sum(found <= GOAL for found in ratios)
    lines = [
        "# What a constraint costs",
        "",
        (
            f"Written by `python -m tests.benchmarks.constrained`: {result['model']}, "
            f"{result['dtype']}, greedy, at most {result['limit']} new tokens, on the cases whose "
            f"text is the same with and without the constraint. Medians of {result['rounds']} "
            "rounds in alternation in one process (least and greatest of the rounds). "
            f"{result['processor']}, {result['cpus']} CPUs, {result['threads']} thread(s), "
            f"{result['python']}, {versions}; {result['date']}."
        ),
        "",
        tabulate(rows, header, tablefmt="github", disable_numparse=True),
        "",
        (
            f"Goal: at most {GOAL:g} times the time without a constraint: met in {n_met} of "
            f"{len(ratios)} rows; the highest is {max(ratios, default=0):.2f}."
        ),
        "",
        (
            f"Apart from that: making a constraint took {made['constraint_seconds']:.1f} s, once a "
            f"model; a session of the first case's tools {made['first_session_seconds'] * 1e3:.1f} "
            f"ms, of each further case's {made['further_session_seconds'] * 1e6:.0f} us (100 cases "
            f"with their tools in {made['tool_orders']} orders, which are compiled once)."
        ),
    ]
    return "\n".join(lines) + "\n"


def seconds(group: dict[str, Any], name: str) -> str:
    return f"{group['seconds_per_case'][name]:.3f}" if group["ratio"] else ""


def ratio(figures: dict[str, float] | None) -> str:
    if figures is None:
        return ""
    return f"{figures['median']:.2f} ({figures['low']:.2f} to {figures['high']:.2f})"


if __name__ == "__main__":
    main()
