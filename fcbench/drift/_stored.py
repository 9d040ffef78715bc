"""Runs -> rows: those that were just made, and those that lie in folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.drift._prompts import read_prompts
from fcbench.drift._records import Row
from fcbench.drift._ways import short_name
from fcbench.errors import RunError
from fcbench.runs import read_run, score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
        texts=read_prompts(run.folder),
    )


def rows_of(folders: Sequence[Path], merged: str | None) -> list[Row]:
    """Return a row for each stored run, in the order of a drift's table.

    `merged` is the name of the model that is to be called so. RunError for a folder that holds no
    run.
    """
    runs = [read_run(path) for folder in folders for path in _runs_in(folder)]
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
    return sorted(rows, key=_rank)


def _runs_in(folder: Path) -> list[Path]:
    if (folder / "run.json").is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob("*/run.json"))
    if not found:
        raise RunError(f"{folder}: holds no run", hint="a run's folder, or a folder of them")
    return found


def _rank(row: Row) -> tuple[tuple[int, str], ...]:
    return tuple(
        (first.index(value) if value in first else len(first), value)
        for name, first in FIRST.items()
        for value in [getattr(row, name) or ""]
    )
