"""Losses and measurements of a training run: JSON lines, an SVG, and lines for a terminal."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from fcbench.metrics import HEADLINE
from fcbench.report.curves import Panel, Series, drawing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fcbench.runs import Scores


WITHOUT_CALLS = "abstention"
"""Is measured beside the headline metrics where some of the cases expect no call."""
_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 60


class Curves:
    """What was seen at which step, in NAME.jsonl of a folder, one line each.

    A line of a loss has `step`, `epoch`, `loss` and `learning_rate`; one of a measurement has
    `step`, `epoch`, `n_cases`, `n_errors` and `calls`, which holds value, low, high and n of each
    headline metric, and of abstention where some cases expect no call. Lines of steps after `up_to`
    were done in vain, before an interruption, and are dropped; 0 begins anew.
    """

    def __init__(self, folder: Path, up_to: int | None = None, name: str = "curves") -> None:
        self.folder = folder
        self._file, self._drawing = folder / f"{name}.jsonl", folder / f"{name}.svg"
        self.lines: list[dict[str, Any]] = []
        file = self._file
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            # A killed run may have left half a line at the end.
            whole = text[: text.rfind("\n") + 1].splitlines()
            lines = [json.loads(line) for line in whole]
            self.lines = [line for line in lines if up_to is None or line["step"] <= up_to]
        if up_to is not None:
            self._write_all()

    @property
    def measured(self) -> list[dict[str, Any]]:
        """The lines of measurements."""
        return [line for line in self.lines if "calls" in line]

    @property
    def losses(self) -> list[dict[str, Any]]:
        """The lines of losses."""
        return [line for line in self.lines if "loss" in line]

    @property
    def last_measured(self) -> int:
        """The step of the last measurement, -1 before the first."""
        return max((int(line["step"]) for line in self.measured), default=-1)

    def add_loss(self, step: int, epoch: float, loss: float, rate: float | None) -> None:
        """Keep the loss of a step."""
        line = {"step": step, "epoch": round(epoch, 4), "loss": loss, "learning_rate": rate}
        self._append(line)

    def add_calls(self, step: int, epoch: float, scores: Scores) -> dict[str, Any]:
        """Keep a measurement and return its line; the drawing is brought up to date."""
        names: tuple[str, ...] = HEADLINE
        if scores.metrics[WITHOUT_CALLS].n:
            names = (*HEADLINE, WITHOUT_CALLS)
        calls = {
            name: {key: getattr(scores.metrics[name], key) for key in ("value", "low", "high", "n")}
            for name in names
        }
        line = {
            "step": step,
            "epoch": round(epoch, 4),
            "n_cases": len(scores.verdicts),
            "n_errors": scores.n_errors,
            "calls": calls,
        }
        self._append(line)
        self.draw()
        return line

    def draw(self) -> None:
        """Bring the drawing up to date."""
        self._drawing.write_text(self.svg(), encoding="utf-8")

    def _append(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _write_all(self) -> None:
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        fresh = self._file.with_suffix(".partial")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self._file)

    def sentence(self, line: Mapping[str, Any]) -> str:
        """Return a measurement in one line."""
        calls = line["calls"]
        parts = [f"{name} {_share(calls[name])}" for name in HEADLINE]
        parts[-1] += f" (n = {calls[HEADLINE[0]]['n']})"
        if WITHOUT_CALLS in calls:
            cell = calls[WITHOUT_CALLS]
            parts.append(f"{WITHOUT_CALLS} {_share(cell)} (n = {cell['n']})")
        if line["n_errors"]:
            parts.append(f"{line['n_errors']} errors")
        return ", ".join(parts)

    def text(self) -> str:
        """Return the losses as a row of bars, and a table of the measurements."""
        parts = []
        losses = [line["loss"] for line in self.losses]
        if losses:
            parts.append(f"loss {losses[0]:.3g} {_bars(losses)} {losses[-1]:.3g}")
        if self.measured:
            last = self.measured[-1]["calls"]
            rows = [
                [line["step"], _number(self.loss_at(line["step"]))]
                + [_share(line["calls"][name]) if name in line["calls"] else "—" for name in last]
                for line in self.measured
            ]
            names = [name.replace("_", " ") for name in last]
            parts.append(tabulate(rows, headers=["step", "loss", *names], disable_numparse=True))
            note = (
                "loss: the mean since the row before\n"
                f"per cent [95 % interval] of {last[HEADLINE[0]]['n']} cases that expect a call"
            )
            if WITHOUT_CALLS in last:
                note += f"; {WITHOUT_CALLS} of {last[WITHOUT_CALLS]['n']} that expect none"
            parts.append(note)
        return "\n\n".join(parts)

    def loss_at(self, step: int) -> float | None:
        """Return the mean loss of the steps since the measurement before, up to a step."""
        before = max((m["step"] for m in self.measured if m["step"] < step), default=0)
        losses = [line["loss"] for line in self.losses if before < line["step"] <= step]
        return sum(losses) / len(losses) if losses else None

    def svg(self) -> str:
        """Return both as a drawing: the loss above, the calls with their intervals below."""
        loss = Series("loss", [(line["step"], line["loss"]) for line in self.losses])
        calls = [self._series(name) for name in HEADLINE]
        return drawing(
            [Panel("loss", [loss]), Panel("calls, per cent, with 95 % intervals", calls, 100.0)],
            "step",
        )

    def _series(self, name: str) -> Series:
        cells = [(float(line["step"]), line["calls"][name]) for line in self.measured]
        return Series(
            name.replace("_", " "),
            [(step, _per_cent(cell["value"])) for step, cell in cells],
            [(step, _per_cent(cell["low"]), _per_cent(cell["high"])) for step, cell in cells],
        )


def _per_cent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"


def _share(cell: Mapping[str, Any]) -> str:
    if cell["value"] is None:
        return "—"
    return f"{100 * cell['value']:.3g} [{100 * cell['low']:.3g}–{100 * cell['high']:.3g}]"


def _bars(values: Sequence[float]) -> str:
    """Return values as at most 60 bars, each the mean of its part."""
    n = min(_WIDTH, len(values))
    cuts = [i * len(values) // n for i in range(n + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(cuts)]
    low, high = min(means), max(means)
    scale = (len(_BARS) - 1) / ((high - low) or 1)
    return "".join(_BARS[round((mean - low) * scale)] for mean in means)
