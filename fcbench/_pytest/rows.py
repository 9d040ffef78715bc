"""What reports say of the runs behind tests: properties of each test, and a table at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from fcbench.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fcbench.runs import Scores

HEADER_BEFORE = ("model", "prompt", "suite", "cases")
WIDEST_NAME = 32


class Row(TypedDict):
    """One run, as plain values, which pytest-xdist's workers can send."""

    header: list[str]
    cells: list[str]
    folder: str
    properties: list[tuple[str, str]]


def row_of(scores: Scores) -> Row:
    """Return what reports say of a run."""
    from fcbench.report.leaderboard import SHOWN, cell, row_of

    row = row_of(scores.folder or "", scores, [])
    suite = f"{row.suite} ({row.selection})" if row.selection else row.suite
    told = [("model", row.model), ("prompt", row.prompt), ("suite", suite)]
    told += [("suite_sha256", row.suite_sha256), ("run", row.run)]
    told += [("cases", str(row.n_cases)), ("errors", str(row.n_errors))]
    for name in SHOWN:
        found = scores.metrics[name]
        for end, number in zip(("", ".low", ".high", ".n"), found, strict=True):
            if found.n:
                told.append((name + end, f"{number:.6g}"))
    cells = [row.model, row.prompt, suite, str(row.n_cases)]
    cells += [*(cell(scores.metrics[name]) for name in SHOWN), str(row.n_errors)]
    return Row(
        header=[*HEADER_BEFORE, *(name.replace("_", " ") for name in SHOWN), "errors"],
        cells=[visible(text) for text in cells],
        # One worker made the run, in a folder as it was named; others read it.
        folder=visible(str(Path(row.run).absolute())) if row.run else "",
        properties=[(f"fcbench.{name}", visible(text)) for name, text in told],
    )


def table(rows: Iterable[Row]) -> str:
    """Return a line for each run: model, prompt, suite, headline metrics with their intervals."""
    from tabulate import tabulate

    listed = list(rows)
    header = listed[0]["header"]
    widths = [WIDEST_NAME, None, WIDEST_NAME, *[None] * (len(header) - 3)]
    body = [row["cells"] for row in listed]
    return tabulate(body, header, tablefmt="simple", disable_numparse=True, maxcolwidths=widths)
