"""Two strict parsers over the same inputs: how many, how many valid, and where they disagree."""

from __future__ import annotations

import importlib
import itertools
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from tests.fuzz.choices import Seeded
from tests.fuzz.inputs import turn
from tests.fuzz.properties import shortest, shown, typed
from tests.fuzz.reference import BUILDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fcbench.types import Call

    Strict = Callable[[str, str], list[Call] | None]

CHUNK = 2000  # inputs of one seed, so that a run is the same on any number of processes
SHORTENED = 20  # disagreements of a chunk that are made short; the others are reported as they are

LEFT, RIGHT = "tests.fuzz.differential:of_fcbench", "tests.fuzz.reference:parse"


class Disagreement(NamedTuple):
    """A turn that two parsers read differently; `left` and `right` say how, in short."""

    format: str
    text: str
    left: str
    right: str


class Tally(NamedTuple):
    """What a comparison saw. `tried` and `valid` (to both parsers) count inputs by format."""

    tried: Counter[str]
    valid: Counter[str]
    n_disagreements: int
    disagreements: set[Disagreement]

    def __add__(self, other: Tally) -> Tally:  # type: ignore[override]
        return Tally(
            self.tried + other.tried,
            self.valid + other.valid,
            self.n_disagreements + other.n_disagreements,
            self.disagreements | other.disagreements,
        )


NOTHING = Tally(Counter(), Counter(), 0, set())


def of_fcbench(text: str, format: str) -> list[Call] | None:
    """Return the calls that fcbench.parse finds in strict mode, or None."""
    from fcbench import parse

    parsed = parse(text, format)
    return parsed.calls if parsed.outcome == "calls" else None


def compare(left: str, right: str, n: int, seed: int = 0, processes: int = 2) -> Iterator[Tally]:
    """Yield the tally so far, growing to n inputs, of two parsers named module:function.

    A parser is a function (text, format) -> list of calls, or None for what is not valid.
    """
    sizes = [min(CHUNK, n - start) for start in range(0, n, CHUNK)]
    seeds = [seed * 1_000_000 + index for index in range(len(sizes))]
    tasks = zip(itertools.repeat(left), itertools.repeat(right), seeds, sizes)
    total = NOTHING
    if processes == 1:
        for tally in map(_compare_chunk, tasks):
            total += tally
            yield total
        return
    with ProcessPoolExecutor(processes) as pool:
        for tally in pool.map(_compare_chunk, tasks):
            total += tally
            yield total


def cores() -> int:
    """Return how many processes may run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compare_chunk(task: tuple[str, str, int, int]) -> Tally:
    left, right, seed, size = task
    return compare_turns(_named(left), _named(right), _turns(seed, size))


def _turns(seed: int, size: int) -> Iterator[tuple[str, str]]:
    choices, formats = Seeded(seed), tuple(BUILDERS)
    return (turn(choices, formats) for _ in range(size))


def compare_turns(left: Strict, right: Strict, turns: Iterator[tuple[str, str]]) -> Tally:
    """Return the tally of two parsers over pairs (format, text)."""
    tried: Counter[str] = Counter()
    valid: Counter[str] = Counter()
    n_disagreements, found = 0, set()
    for format, text in turns:
        tried[format] += 1
        ours, theirs = _read(left, text, format), _read(right, text, format)
        if ours == theirs:
            valid[format] += isinstance(ours, list)
            continue
        n_disagreements += 1
        if n_disagreements <= SHORTENED:
            found.add(_shortest(left, right, text, format))
        else:
            found.add(_described(left, right, text, format))
    return Tally(tried, valid, n_disagreements, found)


def _read(parser: Strict, text: str, format: str) -> object:
    """Return what a parser makes of a text: typed calls, None, or what it raises."""
    try:
        calls = parser(text, format)
    except Exception as error:  # noqa: BLE001  a parser that raises disagrees with one that does not
        return f"raises {type(error).__name__}"
    return calls if calls is None else typed(calls)


def _shortest(left: Strict, right: Strict, text: str, format: str) -> Disagreement:
    def differs(shorter: str) -> bool:
        return _read(left, shorter, format) != _read(right, shorter, format)

    return _described(left, right, shortest(text, differs), format)


def _described(left: Strict, right: Strict, text: str, format: str) -> Disagreement:
    seen = (_read(parser, text, format) for parser in (left, right))
    ours, theirs = ("invalid" if calls is None else shown(calls) for calls in seen)
    return Disagreement(format, text, ours, theirs)


def _named(name: str) -> Strict:
    module, _, function = name.partition(":")
    parser: Strict = getattr(importlib.import_module(module), function)
    return parser
