"""How long the worst texts take: a megabyte that never closes, nests or ends, in every format.

    python -m tests.benchmarks.adversarial

Each text is judged at half and at full length, strictly and leniently, as long as a model may write
and as long as an attacker likes. Linear time doubles with the length. Seconds are the process's own
CPU seconds, the least of a few runs. Writes adversarial.json and adversarial.md, prints the latter.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tabulate import tabulate

from fcbench import parse, registry
from fcbench.formats import module_of
from tests.benchmarks.machine import machine
from tests.benchmarks.result import write_result

MEGABYTE = 1_000_000
RUNS = 3
# What stands before the repeated piece: a call with one argument that has begun.
OPEN_CALLS = {
    "functiongemma": "<start_function_call>call:f{a:",
    "gemma4": "<|tool_call>call:f{a:",
    "hermes": '<tool_call>\n{"name": "f", "arguments": {"a": ',
    "mistral": '[TOOL_CALLS] [{"name": "f", "arguments": {"a": ',
    "llama3": '{"name": "f", "parameters": {"a": ',
    "json": '{"name": "f", "arguments": {"a": ',
    "pythonic": "[f(a=",
}


def texts(name: str, length: int) -> dict[str, str]:
    """Return adversarial texts of about a length, by what they are made of."""
    wire, start = module_of(name).WIRE, OPEN_CALLS[name]
    quote = wire.quote
    pieces = {
        "brackets": "[",
        "brackets in turn": "[{",
        "quotes": quote,
        "an unclosed string": f"{quote}{'x' * 64}"[: 64 + len(quote)],
        "numbers": "1,",
        "empty strings": f"{quote}{quote},",
        "digits": "1",
        "backslashes": "\\",
        "whitespace": " ",
        "openers": wire.start or "[{",
        "words": "call:f ",
    }
    made = {}
    for what, piece in pieces.items():
        begun = start + ("[" if what in ("numbers", "empty strings") else "")
        if what == "an unclosed string":
            made[what] = begun + quote + "x" * (length - len(begun) - len(quote))
        else:
            made[what] = begun + piece * ((length - len(begun)) // len(piece))
    pair = "k{}:1," if not wire.start.startswith("[") and quote != '"' else '"k{}": 1, '
    numbered = "".join(pair.format(n) for n in range(length // (len(pair) + 4)))
    made["keys"] = start + "{" + numbered
    made["prose"] = "no call here " * (length // 13)
    made["calls in prose"] = "call:f" * (length // 6)
    return made


def seconds(text: str, name: str, mode: str) -> float:
    """Return the least CPU seconds of a few runs."""
    times = []
    for _ in range(RUNS):
        started = time.process_time()
        parse(text, name, mode, stop="limit")
        times.append(time.process_time() - started)
    return min(times)


def measure(names: list[str], length: int) -> list[dict[str, object]]:
    """Return a row for each text of each format in each mode."""
    rows: list[dict[str, object]] = []
    for name in names:
        half, full = texts(name, length // 2), texts(name, length)
        for what, text in full.items():
            for mode in ("strict", "lenient"):
                at_half, at_full = (seconds(t, name, mode) for t in (half[what], text))
                rows.append(
                    {
                        "format": name,
                        "text": what,
                        "mode": mode,
                        "characters": len(text),
                        "seconds": round(at_full, 3),
                        "growth": round(at_full / at_half, 2) if at_half else None,
                    }
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--length", type=int, default=MEGABYTE)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    args = parser.parse_args()
    rows = measure(registry.names("formats"), args.length)
    write_result(args.folder, "adversarial", {**machine(), "rows": rows}, as_markdown(rows))


def as_markdown(rows: list[dict[str, object]]) -> str:
    """Return the slowest text of each format and mode, and the fastest growth of those that count."""
    worst: dict[tuple[object, object], dict[str, object]] = {}
    for row in rows:
        key = (row["format"], row["mode"])
        if key not in worst or float(str(row["seconds"])) > float(str(worst[key]["seconds"])):
            worst[key] = row
    table = tabulate(list(worst.values()), headers="keys", tablefmt="github")
    return (
        "# The slowest megabyte of each format\n\n"
        "`make bench` writes this: of every kind of text in adversarial.json the one that took "
        "longest,\nin CPU seconds; `growth` is the time at full length over that at half.\n\n"
        f"{table}\n"
    )


if __name__ == "__main__":
    main()
