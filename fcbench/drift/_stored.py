"""Runs -> rows: those that were just made, and those that lie in folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from fcbench.drift._records import Row
from fcbench.drift._ways import short_name
from fcbench.errors import FcbenchError, RunError
from fcbench.report import leaderboard
from fcbench.runs import RunFolder, read_run, score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Run

FIRST = {
    "prompt": ("chat", "raw", "bare"),
    "weights": ("adapter", "merged", "base"),
    "dtype": ("float32", "bfloat16", "float16"),
}
"""What comes first in a table of stored runs; others follow, by name."""


def row_of(run: Run, weights: str) -> Row:
    """Return the row of a run whose weights are called so."""
    model, prompt = run.manifest["model"], run.manifest["prompt"]
    examples = f"+{prompt['few_shot']}" if prompt["few_shot"] else ""
    dtype, adapter = model.get("dtype"), model.get("adapter")
    return Row(
        prompt=f"{prompt['file'] or prompt['mode']}{examples}",
        dtype=None if dtype is None else str(dtype),
        weights=weights,
        backend=str(model.get("backend", "")),
        run=run.folder or "",
        adapter_active=None if adapter is None else bool(adapter.get("active", True)),
        scores=score(run),
        texts={} if run.folder is None else RunFolder(Path(run.folder)).prompts(),
    )


def rows_of(folders: Sequence[Path], merged: str | None) -> tuple[list[Row], list[str]]:
    """Return a row for each stored run, in the order of a drift's table, and what was left out.

    Of a folder of runs those are left out that cannot be read, and of runs that are the same but
    for their time all but the newest. `merged` is the name of the model that is to be called so.
    RunError for a folder that holds no run.
    """
    runs, notes = [], []
    for folder in folders:
        found, left_out = _runs_in(folder)
        runs += found
        notes += left_out
    models = [run.manifest["model"] for run in runs]
    adapters = list(dict.fromkeys(m["adapter"]["name"] for m in models if m.get("adapter")))
    bases = {m["name"] for m in models if m.get("adapter")}
    rows = []
    for run, model in zip(runs, models, strict=True):
        if model.get("adapter"):
            name = str(model["adapter"]["name"])
            weights = "adapter" if len(adapters) == 1 else short_name(name)
        else:
            name = str(model["name"])
            names = dict.fromkeys(bases, "base") | {merged: "merged"}
            weights = names.get(name) or short_name(name)
        rows.append(row_of(run, weights))
    unusual = [leaderboard.unusual(run.manifest) for run in runs]
    shared = set.intersection(*map(set, unusual))
    for i, parts in enumerate(unusual):
        own = tuple(part for part in parts if part not in shared)
        rows[i] = structs.replace(rows[i], decoding=own)
    return sorted(rows, key=_rank), notes


def _runs_in(folder: Path) -> tuple[list[Run], list[str]]:
    """Return a run, or the newest ones in a folder of them, and a line for each left out."""
    if (folder / "run.json").is_file():
        return [read_run(folder)], []
    runs: dict[str, Run] = {}
    shown, left_out = [], []
    for path in sorted(path.parent for path in folder.glob("*/run.json")):
        try:
            run = read_run(path)
            shown.append(leaderboard.row_of(str(path), score(run), ()))
        except FcbenchError as error:
            left_out.append(f"left out: {error.message}")
        else:
            runs[str(path)] = run
    if not runs:
        hint = "; ".join(left_out) or "a run's folder, or a folder of them"
        raise RunError(f"{folder}: holds no run", hint=hint)
    newest = [row.run for row in leaderboard.newest(shown)]
    left_out += [
        f"left out: {path}, of which there is a newer run" for path in runs if path not in newest
    ]
    return [runs[path] for path in newest], left_out


def _rank(row: Row) -> tuple[tuple[int, str], ...]:
    return tuple(
        (first.index(value) if value in first else len(first), value)
        for name, first in FIRST.items()
        for value in [getattr(row, name) or ""]
    )
