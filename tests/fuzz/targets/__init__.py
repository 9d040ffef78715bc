"""What is fuzzed: one file a target. An input is bytes, from which a target's decisions are read.

A target's module has
- `check(data)`, which raises a Violation of the first property that does not hold,
- `smallest(data, rule)`, which returns a text of a small input that breaks the same rule,
- `first()`, inputs to begin from, and `words()`, what a fuzzer may put in.
Which parts of fcbench guide it stands in coverage_guided.py.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from tests.fuzz.choices import Seeded
from tests.fuzz.properties import Violation, shortest

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("parser", "suite", "log", "report", "message")
SHRINKING_SECONDS = 10
CORPUS = Path(__file__).parent.parent / "corpus"


class Target(Protocol):
    """A target's module."""

    def check(self, data: bytes) -> None: ...
    def smallest(self, data: bytes, rule: str) -> str: ...
    def first(self) -> list[bytes]: ...
    def words(self) -> list[str]: ...


def load(name: str) -> Target:
    """Return a target by its name."""
    return cast("Target", importlib.import_module(f"tests.fuzz.targets.{name}"))


def kept(name: str) -> list[bytes]:
    """Return the inputs that earlier runs found worth keeping."""
    file = CORPUS / f"{name}.hex"
    lines = file.read_text("ascii").split() if file.is_file() else []
    return [bytes.fromhex(line) for line in lines]


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for one input, in memory where the system has such a place."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)


def seeded(n: int, size: int) -> list[bytes]:
    """Return some random inputs, the same each time."""
    choices = Seeded(0)
    return [bytes(choices.below(256) for _ in range(size)) for _ in range(n)]


def rule_of(target: Target, data: bytes) -> str | None:
    """Return the rule that an input breaks, None if it breaks none."""
    try:
        target.check(data)
    except Violation as violation:
        return violation.rule
    return None


def shrunk(check: Callable[[bytes], None], data: bytes, rule: str) -> bytes:
    """Return the shortest input found that breaks a rule."""

    end = time.monotonic() + SHRINKING_SECONDS

    def breaks(data: bytes) -> bool:
        if time.monotonic() > end:
            return False
        try:
            check(data)
        except Violation as violation:
            return violation.rule == rule
        return False

    return shortest(data, breaks)
