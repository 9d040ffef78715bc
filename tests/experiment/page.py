"""The page that tells the experiment, and every number on it from what is stored."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

import fcbench
from fcbench.errors import FcbenchError
from fcbench.metrics import HEADLINE
from fcbench.report.leaderboard import SHOWN, cell, turns
from fcbench.runs import read_run
from fcbench.train._curves import Curves
from tests.experiment.plan import (
    GOES,
    MODELS,
    PROMPTS,
    PUBLISHED,
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
EXACT = SHOWN.index("argument_exact_match")
HEADERS = ("model", "asked", *(name.replace("_", " ") for name in SHOWN))
TEMPLATE = Path(__file__).with_name("page.md")
NAMES = {
    "chat": "(a) trained on chat",
    "raw": "(b) trained on raw text",
    PUBLISHED: f"(a) with {sum(GOES.values()):,} more cases",
    None: "base",
    "cases-100": "100 cases, 3 epochs",
    "cases-300": "300 cases, 3 epochs",
    "epochs-1": "100 cases, 1 epoch",
    "epochs-10": "100 cases, 10 epochs",
    "hermes": "SmolLM2 135M, trained on Hermes",
}


def write() -> None:
    """Write the page: its words, and the tables of what is stored."""
    _runs.cache_clear()
    _scores.cache_clear()  # a step before this one may have asked what was missing
    words = TEMPLATE.read_text(encoding="utf-8")
    tables = {"calls": calls(), "losses": losses(), "doctor": doctor(), "others": others()}
    PAGE.write_text(words.format(**tables), encoding="utf-8")


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
            known = (*TRAININGS, PUBLISHED)
            training = next(t for t in known if adapter_of(t) == adapter["name"])
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


def calls() -> str:
    """Return each model asked in each way: the metrics, and what its turns were."""
    lines = []
    for training in MODELS:
        for prompt in PROMPTS:
            free, held = Row(training, prompt), Row(training, prompt, "constrained")
            line = [NAMES[training], prompt, *_cells(free), _cells(held)[EXACT], _turns(free)]
            lines.append(line)
    return _table(lines, [*HEADERS, "exact match, constrained", "what the 200 turns were"])


def others() -> str:
    """Return the metrics of the other ways out."""
    lines = [[NAMES[row.training], row.prompt, *_cells(row)] for row in SCALING]
    for row in SECOND:
        name = "SmolLM2 135M, base" if row.training is None else NAMES[row.training]
        lines.append([name, f"{row.prompt}, {row.format}", *_cells(row)])
    return _table(lines, HEADERS)


def _cells(row: Row) -> list[str]:
    scores = _scores(row)
    return ["—" if scores is None else cell(scores.metrics[metric]) for metric in SHOWN]


def _turns(row: Row) -> str:
    scores = _scores(row)
    return "—" if scores is None else turns(scores.outcomes)


def losses() -> str:
    """Return the loss beside the calls of both trainings, at a few of the steps measured."""
    (a, b) = (_measured(training) for training in ("chat", "raw"))
    both = sorted(a.keys() & b.keys())
    shown = both[:: max(1, (len(both) - 1) // 2)]  # begin, middle and end
    lines = [[str(step), *a[step], *b[step]] for step in shown]
    columns = ("loss", "valid %", "exact %")
    return _table(lines, ["step", *(f"({x}) {c}" for x in "ab" for c in columns)])


def _measured(training: str) -> dict[int, list[str]]:
    """Return the mean loss since the last measurement and the calls, by the step measured."""
    path = ROOT / f"curves-{training}.jsonl"
    if not path.is_file():
        return {}
    curves = Curves(path.parent, name=path.stem)
    found = {}
    for line in curves.measured:
        loss = curves.loss_at(line["step"])
        shares = [f"{100 * line['calls'][m]['value']:.3g}" for m in (HEADLINE[0], HEADLINE[2])]
        found[line["step"]] = ["—" if loss is None else f"{loss:.3f}", *shares]
    return found


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
