"""How many model outputs a second fcbench judges on one core, beside bfcl-eval and plain Lark.

    python -m tests.benchmarks.parse_and_match

Everything runs in one process and in alternation: in each round every contestant takes each group
of outputs once, in an order that rotates from round to round. Times are the process's own CPU
seconds, so that a neighbour on the machine costs a contestant little; the numbers are medians over
the rounds, ratios medians of each round's ratio. A group that holds others is their sum.

Writes parse.json and parse.md, and prints the latter. Contestants that cannot be had are left out,
and why is said.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lark.exceptions import UnexpectedInput
from tabulate import tabulate

from fcbench import parse
from fcbench.matching import judge
from tests.benchmarks import bfcl
from tests.benchmarks.machine import machine
from tests.benchmarks.result import write_result
from tests.benchmarks.workload import SHAPES, STATES, Output, outputs
from tests.fuzz import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # Takes outputs, and returns how many it accepts: as syntax or, where it matches, as right.
    Contestant = Callable[[Sequence[Output]], int]
    Cell = tuple[str, str]  # shape and state

PARSE, MATCH = "fcbench: parse", "fcbench: parse + match"
PYTHON_PARSE, PYTHON_MATCH = "fcbench, pythonic: parse", "fcbench, pythonic: parse + match"
LARK, CYTHON = "Lark", "Lark, lark-cython"
DECODE, CHECK = "bfcl-eval: decode", "bfcl-eval: decode + check"
RATIOS = (
    *((PARSE, DECODE), (MATCH, CHECK), (PYTHON_PARSE, DECODE), (PYTHON_MATCH, CHECK)),
    *((PARSE, LARK), (PARSE, CYTHON)),
)
ALL, MIXED = "all", "mixed"
FACTS = {
    "shape": "calls",
    "state": "outputs are",
    "outputs": "n",
    "distinct": "distinct",
    "mean_characters": "characters",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--outputs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seed", type=int, default=270)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    args = parser.parse_args()
    stay_on_one_core()
    # CPython warns of what models write, such as "1 is not callable".
    warnings.simplefilter("ignore")
    made = outputs(args.outputs, args.seed)
    contestants, missing = find_contestants()
    result = measure(made, contestants, args.rounds)
    result = {
        "seed": args.seed,
        **machine(),
        "bfcl_eval": bfcl.VERSION,
        "left_out": missing,
        **result,
    }
    write_result(args.folder, "parse", result, as_markdown(result))


def stay_on_one_core() -> None:
    """Keep this process on one core, where the system lets it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


# Contestants


def find_contestants() -> tuple[dict[str, Contestant], list[str]]:
    """Return the contestants by name, and a line for each that is left out."""
    contestants: dict[str, Contestant] = {
        PARSE: fcbench_parse,
        MATCH: fcbench_match,
        # The very texts that bfcl-eval reads.
        PYTHON_PARSE: fcbench_parse_pythonic,
        PYTHON_MATCH: fcbench_match_pythonic,
        LARK: lark_parse(cython=False),
    }
    missing = []
    try:
        contestants[CYTHON] = lark_parse(cython=True)
    except ImportError as error:
        missing.append(f"{CYTHON}: {error}")
    try:
        theirs = bfcl.load()
    except bfcl.Unavailable as error:
        missing.append(f"bfcl-eval: {error}")
    else:
        contestants[DECODE] = bfcl_decode(theirs.decode)
        contestants[CHECK] = bfcl_check(theirs.is_right)
    return contestants, missing


def fcbench_parse(made: Sequence[Output]) -> int:
    return sum(parse(output.sample.text).outcome == "calls" for output in made)


def fcbench_match(made: Sequence[Output]) -> int:
    return sum(
        judge(output.case, output.sample, parse(output.sample.text)).arguments is True
        for output in made
    )


def fcbench_parse_pythonic(made: Sequence[Output]) -> int:
    return sum(parse(output.python, "pythonic").outcome == "calls" for output in made)


def fcbench_match_pythonic(made: Sequence[Output]) -> int:
    return sum(
        judge(output.case, output.sample, parse(output.python, "pythonic")).arguments is True
        for output in made
    )


def lark_parse(*, cython: bool) -> Contestant:
    """Return plain Lark with fcbench's grammar and the referee's transformer.

    It only says no to a broken turn; fcbench also says why.
    """
    parse_turn = reference.lark_of("functiongemma", cython=cython).parse

    def contestant(made: Sequence[Output]) -> int:
        accepted = 0
        for output in made:
            try:
                parse_turn(output.sample.text)
            except (UnexpectedInput, reference.Broken):
                continue
            accepted += 1
        return accepted

    return contestant


def bfcl_decode(decode: Callable[[str], Any]) -> Contestant:
    def contestant(made: Sequence[Output]) -> int:
        accepted = 0
        for output in made:
            try:
                decode(output.python)
            except Exception:  # noqa: BLE001  its decoder raises whatever went wrong
                continue
            accepted += 1
        return accepted

    return contestant


def bfcl_check(is_right: Callable[..., bool]) -> Contestant:
    return lambda made: sum(is_right(o.python, o.functions, o.answers, o.category) for o in made)


# Measuring


def measure(
    made: Sequence[Output], contestants: dict[str, Contestant], rounds: int
) -> dict[str, Any]:
    """Return what every contestant accepts, and how fast, for every group of outputs."""
    members: dict[Cell, list[Output]] = {cell: [] for cell in cells_of(ALL, MIXED)}
    for output in made:
        members[output.shape, output.state].append(output)
    # Before anything is timed, this compiles the grammars and fills whatever is cached.
    accepted = {
        name: {cell: contestant(members[cell]) for cell in members}
        for name, contestant in contestants.items()
    }
    # What exists by now is no longer looked through whenever garbage is collected.
    gc.collect()
    gc.freeze()
    seconds = take_times(members, contestants, rounds)
    gc.unfreeze()
    groups = [
        group_of(shape, state, members, accepted, seconds)
        for shape in (*SHAPES, ALL)
        for state in (*STATES, MIXED)
    ]
    return {
        "outputs": len(made),
        "rounds": rounds,
        "mistakes": dict(Counter(o.mistake for o in made if o.mistake).most_common()),
        "agreement": agreement(made, contestants),
        "groups": groups,
    }


def group_of(
    shape: str,
    state: str,
    members: dict[Cell, list[Output]],
    accepted: dict[str, dict[Cell, int]],
    seconds: dict[str, dict[Cell, list[float]]],
) -> dict[str, Any]:
    """Return the figures of the outputs of a shape and state."""
    cells = cells_of(shape, state)
    texts = [output.sample.text for cell in cells for output in members[cell]]
    totals = {
        name: [sum(times) for times in zip(*(by_cell[cell] for cell in cells), strict=True)]
        for name, by_cell in seconds.items()
    }
    ratios = {
        f"{ours} / {theirs}": [b / a for a, b in zip(totals[ours], totals[theirs], strict=True)]
        for ours, theirs in RATIOS
        if theirs in totals
    }
    return {
        "shape": shape,
        "state": state,
        "outputs": len(texts),
        # A parser that remembered texts would gain by those that come twice.
        "distinct": len(set(texts)),
        "mean_characters": round(sum(map(len, texts)) / max(len(texts), 1)),
        "accepted": {n: sum(counts[cell] for cell in cells) for n, counts in accepted.items()},
        "outputs_per_second": {
            name: summary([len(texts) / total for total in times]) for name, times in totals.items()
        },
        "ratios": {name: summary(values) for name, values in ratios.items()},
    }


def cells_of(shape: str, state: str) -> list[Cell]:
    """Return the shapes and states that a group consists of."""
    return [(s, t) for s in SHAPES for t in STATES if shape in (s, ALL) and state in (t, MIXED)]


def take_times(
    members: dict[Cell, list[Output]], contestants: dict[str, Contestant], rounds: int
) -> dict[str, dict[Cell, list[float]]]:
    """Return the CPU seconds of each round, by contestant and cell."""
    seconds: dict[str, dict[Cell, list[float]]] = {
        name: {cell: [] for cell in members} for name in contestants
    }
    names = list(contestants)
    for number in range(rounds):
        first = number % len(names)
        for cell, inside in members.items():
            for name in names[first:] + names[:first]:
                start = time.process_time()
                contestants[name](inside)
                seconds[name][cell].append(time.process_time() - start)
    return seconds


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return the median of the rounds, the least and the greatest, to four figures."""
    numbers = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return {name: float(f"{value:.4g}") for name, value in numbers.items()}


def agreement(
    made: Sequence[Output], contestants: dict[str, Contestant]
) -> dict[str, dict[str, int]]:
    """Return on how many outputs of each state fcbench and bfcl-eval come to the same verdict."""
    if CHECK not in contestants:
        return {}
    counts = {state: {"outputs": 0, "same_verdict": 0} for state in STATES}
    for output in made:
        counts[output.state]["outputs"] += 1
        same = contestants[MATCH]([output]) == contestants[CHECK]([output])
        counts[output.state]["same_verdict"] += same
    return counts


# Reporting


def as_markdown(result: dict[str, Any]) -> str:
    """Return the result as tables."""
    groups = result["groups"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        "# Judging model outputs on one core",
        "",
        (
            f"{result['outputs']:,} outputs (seed {result['seed']}), medians of {result['rounds']} "
            f"rounds in alternation in one process, by `make bench`. {result['processor']}, "
            f"{result['cpus']} CPUs, {result['python']}, {versions}."
        ),
        "",
        *(f"Left out: {line}." for line in result["left_out"]),
        "Outputs a second:",
        "",
        table(groups, "outputs_per_second", lambda figures: f"{figures['median']:,.0f}"),
        "",
        "How many times as fast (least and greatest of the rounds):",
        "",
        table(groups, "ratios", ratio),
        "",
        (
            "How many were accepted: as syntax or, where it says match or check, as the right "
            "answer. bfcl-eval reads the same calls in Python's notation, with the same mistakes; "
            "not all of them are mistakes to it."
        ),
        "",
        table(groups, "accepted", "{:,}".format),
        "",
    ]
    for state, counts in result["agreement"].items():
        lines.append(
            f"fcbench and bfcl-eval come to the same verdict on {counts['same_verdict']:,} of "
            f"{counts['outputs']:,} {state} outputs."
        )
    return "\n".join(lines) + "\n"


def ratio(figures: dict[str, float]) -> str:
    return f"{figures['median']:.2f} ({figures['low']:.2f} to {figures['high']:.2f})"


def table(groups: Sequence[dict[str, Any]], what: str, cell: Callable[[Any], str]) -> str:
    """Return one row a group and one column a contestant or ratio."""
    columns = list(groups[0][what])
    rows = [
        [*(group[fact] for fact in FACTS), *(cell(group[what][name]) for name in columns)]
        for group in groups
    ]
    header = [*FACTS.values(), *columns]
    align = ("left", "left", *["right"] * (len(header) - 2))
    return tabulate(rows, header, tablefmt="github", colalign=align, disable_numparse=True)


if __name__ == "__main__":
    main()
