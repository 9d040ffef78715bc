"""What a fuzzing run found: one line a rule that was broken, with a small input that does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.fuzz.properties import Violation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.targets import Target


class Findings:
    """Judges inputs and writes each new kind of violation to a file at once.

    At once, because libFuzzer ends the process without a word. A run goes on after a violation, so
    that one shallow bug does not hide the others.
    """

    def __init__(self, file: Path, target: Target) -> None:
        self._file = file
        self._target = target
        self._seen: set[str] = set()
        self.n_inputs = 0

    def judge(self, data: bytes) -> None:
        """Check an input, and keep what it breaks."""
        self.n_inputs += 1
        try:
            self._target.check(data)
        except Violation as violation:
            if violation.rule in self._seen:
                return
            self._seen.add(violation.rule)
            said = str(violation)
            row = {"rule": violation.rule, "violation": said, "data": data.hex()}
        else:
            return
        # Written at once, and again with the small input: making it small may take long, or crash.
        self._write(row)
        self._write({**row, "input": self._target.smallest(data, row["rule"])})

    def _write(self, row: dict[str, str]) -> None:
        with self._file.open("a", encoding="ascii") as file:
            # ASCII with escapes, so that lone surrogates and controls can be copied from it.
            file.write(json.dumps(row) + "\n")


def read(file: Path) -> list[dict[str, str]]:
    """Return the last line of each rule that was broken."""
    rows = [json.loads(line) for line in file.read_text("ascii").splitlines()]
    return list({row["rule"]: row for row in rows}.values())
