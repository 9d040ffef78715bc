"""How much memory a run, its scores, the leaderboard and the report take, however large they are.

    python -m tests.benchmarks.memory

Suites are made of the cases of mobile_actions, each with words of its own; their tools are the
same, as they are there. The model is a file of recorded outputs (replay:), half texts and half
tool_calls, one in three of those that call with a wrong argument, each with tokens and seconds, so
that hardly two are the same. `run`, `score`, `leaderboard` and `report` are each a process of its
own, and the peak of its memory is what the system says it was.

Writes memory.json and memory.md, and prints the latter.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from tabulate import tabulate

from fcbench import load_suite, render
from fcbench.cli import main as fcbench
from tests.benchmarks.machine import machine
from tests.benchmarks.replay import answered, peak_bytes
from tests.benchmarks.result import write_result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.types import Case

SUITE = "mobile_actions"
MANY, LIMIT_MB = 1_000_000, 400
COLUMNS = ("cases", "repeats", "samples", "log, MB", "command", "peak memory, MB", "CPU seconds")


class Size(NamedTuple):
    cases: int
    repeats: int


SIZES = (Size(1_000, 10), Size(10_000, 100), Size(100_000, 1))


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:  # this is the process that is measured
        sys.stdout.write(json.dumps(measured(sys.argv[2:])) + "\n")
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--sizes", type=size, nargs="+", default=SIZES, metavar="CASESxREPEATS", help="1000x10 …"
    )
    parser.add_argument("--seed", type=int, default=270)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    args = parser.parse_args()
    rows = [row for each in args.sizes for row in measure_all(each, args.seed)]
    result = {"suite": SUITE, "seed": args.seed, **machine(), "rows": rows}
    write_result(args.folder, "memory", result, as_markdown(result))


def size(text: str) -> Size:
    """Return what 1000x10 says."""
    cases, _, repeats = text.partition("x")
    return Size(int(cases), int(repeats or 1))


def measure_all(wanted: Size, seed: int) -> Iterator[dict[str, Any]]:
    """Yield what each command took, in an empty folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite, outputs, results = folder / "suite.jsonl", folder / "o.jsonl", folder / "results"
        known = load_suite(SUITE).cases
        with suite.open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in case_rows(known, wanted.cases))
        with outputs.open("w", encoding="utf-8") as file:
            rows = output_rows(known, wanted, random.Random(seed))
            file.writelines(f"{json.dumps(row)}\n" for row in rows)
        model, repeats = f"replay:{outputs}", str(wanted.repeats)
        asked = ["--model", model, "--suite", str(suite), "--repeats", repeats]
        commands = {
            "run": ["run", *asked, "--results", str(results)],
            "score": ["score"],
            "leaderboard": ["leaderboard", "--results", str(results)],
            "report": ["report", "--output", str(folder / "report.html")],
        }
        for command, arguments in commands.items():
            runs = [str(path.parent) for path in results.glob("*/run.json")]
            found = measure([*arguments, *(runs if command in ("score", "report") else [])])
            (log,) = results.glob("*/samples.jsonl")
            yield {**wanted._asdict(), "command": command, "log_bytes": log.stat().st_size, **found}
            sys.stderr.write(f"{wanted} {command}: {found}\n")


def case_rows(known: Sequence[Case], n_cases: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a suite."""
    for number in range(n_cases):
        case = known[number % len(known)]
        row = msgspec.to_builtins(case)
        row["id"] = case_id(number)
        row["messages"][-1]["content"] += f" This is question {number}."
        yield {key: value for key, value in row.items() if key != "reply"}


def output_rows(
    known: Sequence[Case], wanted: Size, choose: random.Random
) -> Iterator[dict[str, Any]]:
    """Yield recorded outputs, one after the other repeat of all cases."""
    for repeat in range(wanted.repeats):
        for number in range(wanted.cases):
            calls = [answered(choose, c) for c in known[number % len(known)].expected[0]]
            row: dict[str, Any] = {"id": case_id(number), "repeat": repeat}
            if choose.random() < 0.5:
                row["text"] = render(calls) if calls else "I cannot do that."
            else:
                functions = [{"name": c.name, "arguments": json.dumps(c.arguments)} for c in calls]
                row["tool_calls"] = [{"type": "function", "function": f} for f in functions]
            yield row | {"output_tokens": choose.randrange(200), "seconds": choose.random()}


def case_id(number: int) -> str:
    return f"case{number:06d}"


def measure(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what a new process says of one command."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", "--measure", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measured(arguments: Sequence[str]) -> dict[str, Any]:
    """Run a command and return what it took."""
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        code = fcbench(list(arguments))
    if code:
        raise SystemExit(f"{arguments} ended with {code}")
    return {"peak_bytes": peak_bytes(), "cpu_seconds": time.process_time() - began}


def as_markdown(result: dict[str, Any]) -> str:
    """Return the result as a table."""
    rows = [
        [
            f"{row['cases']:,}",
            f"{row['repeats']:,}",
            f"{row['cases'] * row['repeats']:,}",
            f"{row['log_bytes'] / 1e6:,.1f}",
            row["command"],
            f"{row['peak_bytes'] / 1e6:,.1f}",
            f"{row['cpu_seconds']:,.1f}",
        ]
        for row in result["rows"]
    ]
    peaks = {
        row["command"]: row["peak_bytes"]
        for row in result["rows"]
        if row["cases"] * row["repeats"] >= MANY
    }
    over = [command for command, peak in peaks.items() if peak > LIMIT_MB * 1e6]
    limit = f"Of {MANY:,} answers {', '.join(over) or 'none'} took more than {LIMIT_MB} MB."
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    align = [*["right"] * 4, "left", "right", "right"]
    table = tabulate(rows, COLUMNS, tablefmt="github", colalign=align, disable_numparse=True)
    return "\n".join(
        [
            "# Memory of runs, scores and reports",
            "",
            (
                f"Suites made of the cases of {result['suite']}, answered by recorded outputs (seed "
                f"{result['seed']}), each command in a process of its own, by "
                f"`python -m tests.benchmarks.memory`. {limit if peaks else ''} {result['processor']}, "
                f"{result['cpus']} CPUs, {result['python']}, {versions}."
            ),
            "",
            table,
            "",
        ]
    )


if __name__ == "__main__":
    main()
