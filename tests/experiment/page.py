"""The page that tells the experiment, and every number on it from what is stored."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

import fcbench
from fcbench.errors import FcbenchError
from fcbench.metrics import HEADLINE
from fcbench.report.leaderboard import cell
from fcbench.report.markdown import insert
from fcbench.runs import read_run
from fcbench.train._curves import Curves
from tests.experiment.plan import (
    MAIN,
    MODELS,
    PROMPTS,
    ROOT,
    RUNS,
    SCALING,
    SECOND,
    TRAININGS,
    Row,
    adapter_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.runs import Scores
    from fcbench.types import Run

PAGE = ROOT / "README.md"
TEMPLATE = Path(__file__).with_name("page.md")
NAMES = {
    "chat": "(a) trained on chat",
    "raw": "(b) trained on raw text",
    "more": "(a) with 16,000 more cases",
    None: "base",
    "cases-100": "100 cases, 3 epochs",
    "cases-300": "300 cases, 3 epochs",
    "epochs-1": "100 cases, 1 epoch",
    "epochs-10": "100 cases, 10 epochs",
    "hermes": "SmolLM2 135M, trained on Hermes",
}


def write() -> None:
    """Write the page: its words, and the tables of what is stored between their markers."""
    shutil.copyfile(TEMPLATE, PAGE)
    for name, text in tables().items():
        insert(PAGE, name, text)


def tables() -> dict[str, str]:
    """Return the tables by the name of their markers."""
    return {
        "calls": calls([row for row in MAIN if row.decode == "greedy"]),
        "constrained": calls([row for row in MAIN if row.decode != "greedy"]),
        "failures": failures(),
        "losses": losses(),
        "doctor": doctor(),
        "scaling": calls([*SCALING, Row("chat")]),
        "second": calls(SECOND),
    }


@cache
def _runs() -> dict[Row, Run]:
    found = {}
    for path in sorted(RUNS.glob("*/run.json")):
        try:
            run = read_run(path.parent)
        except FcbenchError:
            continue
        manifest = run.manifest
        adapter = manifest["model"]["adapter"]
        training = None
        if adapter is not None:
            training = next(t for t in TRAININGS if adapter_of(t) == adapter["name"])
        key = (manifest["prompt"]["mode"], manifest["decoding"]["mode"], manifest["format"]["name"])
        found[Row(training, *key)] = run
    return found


def stored(row: Row) -> Run | None:
    """Return the stored run of a row, if there is one."""
    _runs.cache_clear()
    return _runs().get(row)


@cache
def _scores(row: Row) -> Scores | None:
    run = _runs().get(row)
    return None if run is None else fcbench.score(run)


def calls(rows: Sequence[Row]) -> str:
    """Return the three metrics and abstention of rows, asked as the table says."""
    lines = []
    for row in rows:
        scores = _scores(row)
        name = NAMES[row.training]
        if row.training is None and row.format == "hermes":
            name = "SmolLM2 135M, base"
        values = ["—"] * 4
        if scores is not None:
            values = [cell(scores.metrics[metric]) for metric in (*HEADLINE, "abstention")]
        lines.append([name, row.prompt, *values])
    headers = ["model", "asked", *(m.replace("_", " ") for m in (*HEADLINE, "abstention"))]
    return _table(lines, headers)


def failures() -> str:
    """Return what the turns were, of greedy rows that are of a trained model."""
    lines = []
    for training in MODELS:
        for prompt in PROMPTS:
            scores = _scores(Row(training, prompt))
            kinds = {} if scores is None else scores.outcomes
            said = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
            lines.append([NAMES[training], prompt, said or "—"])
    return _table(lines, ["model", "asked", "what the 200 turns were"])


def losses() -> str:
    """Return the loss beside the calls of both trainings, step by step."""
    measured: dict[int, list[str]] = {}
    for column, training in enumerate(("chat", "raw")):
        for step, loss, line in _measured(training):
            row = measured.setdefault(step, ["—"] * 6)
            values = [f"{100 * line['calls'][m]['value']:.3g}" for m in (HEADLINE[0], HEADLINE[2])]
            row[3 * column : 3 * column + 3] = ["—" if loss is None else f"{loss:.3f}", *values]
    lines = [[str(step), *row] for step, row in sorted(measured.items())]
    columns = ("loss", "valid %", "exact %")
    return _table(lines, ["step", *(f"({x}) {c}" for x in "ab" for c in columns)])


def _measured(training: str) -> list[tuple[int, float | None, dict[str, Any]]]:
    """Return each measurement's step, the mean loss since the one before, and its line."""
    path = ROOT / f"curves-{training}.jsonl"
    if not path.is_file():
        return []
    curves = Curves(path.parent, name=path.stem)
    return [(line["step"], curves.loss_at(line["step"]), line) for line in curves.measured]


def doctor() -> str:
    """Return doctor's verdict on each model, asked through the chat template."""
    lines = []
    for training in MODELS:
        path = ROOT / f"doctor-{training or 'base'}.json"
        if not path.is_file():
            lines.append([NAMES[training], "—", "—"])
            continue
        report = json.loads(path.read_text("utf-8"))
        causes = [cause["words"] for cause in report["causes"]] or ["no fault found"]
        (known,) = (f for f in report["findings"] if f["check"] == "knowledge")
        openings = [f"{mode} {p:.3f}" for mode, p in known["measures"]["opening"].items()]
        lines.append([NAMES[training], causes[0], ", ".join(openings)])
    return _table(lines, ["model", "doctor's first cause", "P(start token, `call:`) under"])


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
