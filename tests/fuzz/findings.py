"""What a fuzzing run found: one line a rule that was broken, with the shortest text that does."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from tests.fuzz.properties import Violation, check, shortest

if TYPE_CHECKING:
    from pathlib import Path


class Findings:
    """Judges texts and writes each new kind of violation to a file at once.

    At once, because libFuzzer ends the process without a word. A kind is a rule and a format; a
    run goes on after a violation, so that one shallow bug does not hide the others.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: Counter[tuple[str, str]] = Counter()
        self.n_texts = 0

    def judge(self, format: str, text: str) -> None:
        """Check a text, and keep what it breaks."""
        self.n_texts += 1
        violation = violation_of(text, format)
        if violation is None:
            return
        kind = (format, violation.rule)
        self._seen[kind] += 1
        if self._seen[kind] > 1:
            return
        short = shortest(text, lambda text: _breaks(text, format, violation.rule))
        row = {"format": format, "text": short, "violation": str(violation_of(short, format))}
        with self._file.open("a", encoding="ascii") as file:
            # ASCII with escapes, so that lone surrogates and controls can be copied from it.
            file.write(json.dumps(row) + "\n")


def violation_of(text: str, format: str) -> Violation | None:
    """Return the first property that a text breaks, if it breaks one."""
    try:
        check(text, format)
    except Violation as violation:
        return violation
    return None


def _breaks(text: str, format: str, rule: str) -> bool:
    violation = violation_of(text, format)
    return violation is not None and violation.rule == rule
