"""How much memory and time a million recorded outputs take to score, beside ten thousand.

    python -m tests.benchmarks.replay

The outputs are answers to the cases of mobile_actions, 5,000 to each: half of them texts, half
tool_calls in OpenAI's shape, one in three of those that call with a wrong argument. Once they say
nothing else, so that many are the same; once each says its tokens and seconds, so that hardly two
are the same and every one is judged anew. Each file is scored in a process of its own, as
`python -m fcbench score FILE --suite mobile_actions` does it, and its peak of memory is what the
system says it was.

Writes replay.json and replay.md, and prints the latter.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from fcbench import load_suite, render, score
from fcbench.types import Call
from tests.benchmarks.machine import machine
from tests.benchmarks.result import write_result

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = "mobile_actions"
ALONE, MEASURED = "answers alone", "with tokens and seconds"
COLUMNS = ("outputs", "lines", "file, MB", "peak memory, MB", "seconds", "lines a second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--seed", type=int, default=270)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.score is not None:  # this is the process that is measured
        sys.stdout.write(json.dumps(score_file(args.score)) + "\n")
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outputs.jsonl"
        for kind in (ALONE, MEASURED):
            for n_lines in args.lines:
                with path.open("w", encoding="utf-8") as file:
                    file.writelines(
                        f"{json.dumps(row)}\n" for row in outputs(n_lines, kind, args.seed)
                    )
                rows.append({"outputs": kind, "lines": n_lines, **measure(path)})
    result = {"suite": SUITE, "seed": args.seed, **machine(), "rows": rows}
    write_result(args.folder, "replay", result, as_markdown(result))


def outputs(n_lines: int, kind: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield recorded outputs, one after the other repeat of all cases."""
    choose = random.Random(seed)
    cases = load_suite(SUITE).cases
    for number in range(n_lines):
        repeat, place = divmod(number, len(cases))
        case = cases[place]
        calls = [answered(choose, call) for call in case.expected[0]]
        row: dict[str, Any] = {"id": case.id, "repeat": repeat}
        if choose.random() < 0.5:
            row["text"] = render(calls) if calls else "I cannot do that."
        else:
            row["tool_calls"] = [
                {
                    "id": f"call{number:09d}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                }
                for call in calls
            ]
        if kind == MEASURED:
            row |= {"output_tokens": choose.randrange(200), "seconds": choose.random()}
        yield row


def answered(choose: random.Random, call: Call) -> Call:
    """Return the call, in one of three cases with another value for one argument."""
    if not call.arguments or choose.random() > 1 / 3:
        return call
    other = {choose.choice(list(call.arguments)): f"something else {choose.randrange(100)}"}
    return Call(call.name, call.arguments | other)


def measure(path: Path) -> dict[str, Any]:
    """Return what a new process says of scoring a file."""
    command = [sys.executable, "-m", "tests.benchmarks.replay", "--score", str(path)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {"file_bytes": path.stat().st_size, **found}


def score_file(path: Path) -> dict[str, Any]:
    """Score a file and return what it took, the process's own CPU seconds included."""
    began, cpu_began = time.perf_counter(), time.process_time()
    scores = score(path, SUITE, keep_verdicts=False)
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu_began,
        "peak_bytes": peak_bytes(),
        "n_samples": scores.n_samples,
        "argument_exact_match": scores.metrics["argument_exact_match"].value,
    }


def peak_bytes() -> int:
    """Return the most memory that this process had at a time."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    # Where Linux starts a program, ru_maxrss begins at the peak of the process that started it.
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak) * 1024


def as_markdown(result: dict[str, Any]) -> str:
    """Return the result as a table."""
    rows = [
        [
            row["outputs"],
            f"{row['lines']:,}",
            f"{row['file_bytes'] / 1e6:,.1f}",
            f"{row['peak_bytes'] / 1e6:,.1f}",
            f"{row['cpu_seconds']:,.1f}",
            f"{row['lines'] / row['cpu_seconds']:,.0f}",
        ]
        for row in result["rows"]
    ]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    align = ("left", *["right"] * (len(COLUMNS) - 1))
    table = tabulate(rows, COLUMNS, tablefmt="github", colalign=align, disable_numparse=True)
    return "\n".join(
        [
            "# Scoring recorded outputs",
            "",
            (
                f"JSON lines over the cases of {result['suite']} (seed {result['seed']}), half "
                "texts and half tool_calls, each file in a process of its own, by "
                "`python -m tests.benchmarks.replay`. Seconds are the process's own CPU seconds. "
                "Answers that are the same are judged once; with tokens and seconds none are the "
                f"same. {result['processor']}, {result['cpus']} CPUs, {result['python']}, "
                f"{versions}."
            ),
            "",
            table,
            "",
        ]
    )


if __name__ == "__main__":
    main()
