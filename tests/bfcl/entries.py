"""BFCL's entries as its own checker takes them, each with the case that fcbench made of it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from fcbench import Case, load_suite
from fcbench.suite import _bfcl, _bfcl_files, _bfcl_wheel


class Entry(NamedTuple):
    """One question: function docs, possible answers {name: {argument: [value]}}, and our case."""

    id: str
    category: str
    functions: list[dict[str, Any]]
    answers: list[dict[str, dict[str, list[Any]]]]
    case: Case


def entries() -> list[Entry]:
    """Return every entry with possible answers, from the wheel in the cache."""
    found = []
    with _bfcl_files.opened(_bfcl_wheel.cached_wheel()) as files:
        for category in _bfcl.ANSWERED:
            cases = {case.id: case for case in load_suite(f"bfcl:{category}").cases}
            name = f"BFCL_v4_{category}.json"
            answers = {row["id"]: row for row in _rows(files.read(f"possible_answer/{name}"))}
            found += [
                Entry(
                    row["id"],
                    category,
                    row["function"],
                    answers[row["id"]]["ground_truth"],
                    cases[row["id"]],
                )
                for row in _rows(files.read(name))
            ]
    return found


def _rows(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines() if line.strip()]
