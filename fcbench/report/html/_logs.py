"""Training logs, as `train` writes them: what the loss says, above what the calls say."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from markupsafe import Markup

from fcbench.errors import RunError
from fcbench.metrics import HEADLINE
from fcbench.report.curves import Panel, Series, inline
from fcbench.report.html._text import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Json


class Cell(msgspec.Struct, frozen=True):
    """A measured metric."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class Line(msgspec.Struct, frozen=True):
    """A loss or a measurement of calls at a step."""

    step: int
    loss: float | None = None
    calls: dict[str, Cell] | None = None


class Log(msgspec.Struct, frozen=True):
    """A training log; `name` is its file's."""

    name: str
    lines: list[Line]

    @property
    def losses(self) -> list[tuple[float, float | None]]:
        """The finite losses by step."""
        lines = [line for line in self.lines if line.loss is not None]
        return [(line.step, _finite(line.loss)) for line in lines]

    @property
    def measured(self) -> list[tuple[int, dict[str, Cell]]]:
        """The measurements by step."""
        return [(line.step, line.calls) for line in self.lines if line.calls is not None]


def read_log(path: str | Path) -> Log:
    """Return a training log. RunError names the line that is none; half a last line is dropped."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read: {error}") from error
    # Training may be under way, or have been killed.
    whole = text[: text.rfind("\n") + 1].split("\n")
    lines = [_line(path, i, line) for i, line in enumerate(whole, start=1) if line.strip()]
    if not any(line.loss is not None or line.calls for line in lines):
        raise RunError(
            f"{path}: holds no loss and no measurement",
            hint="a training log is the curves.jsonl that `python -m fcbench train` writes",
        )
    return Log(Path(path).stem, lines)


def _line(path: str | Path, number: int, text: str) -> Line:
    try:
        row: Json = json.loads(text)
        return msgspec.convert(row, Line)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise RunError(
            f"{path}:{number}: not a line of a training log: {error}",
            hint="a training log is the curves.jsonl that `python -m fcbench train` writes",
        ) from error


def figure(log: Log) -> Markup:
    """Return the log's curves: the loss above, the headline metrics with their bands below."""
    panels = []
    if log.losses:
        panels.append(Panel("loss", [Series("loss", log.losses)]))
    if log.measured:
        n = max((cell.n for _, calls in log.measured for cell in calls.values()), default=0)
        title = f"calls, per cent of {n} cases, with 95 % intervals"
        panels.append(Panel(title, [_series(log, name) for name in HEADLINE], 100.0))
    label = f"training curves of {plain(log.name)}"
    return Markup(inline(panels, "step", label))  # noqa: S704  inline escapes its texts


def last(log: Log) -> list[tuple[str, Cell]]:
    """Return the headline metrics of the last measurement."""
    if not log.measured:
        return []
    _, calls = log.measured[-1]
    return [(name, calls[name]) for name in HEADLINE if name in calls]


def _series(log: Log, name: str) -> Series:
    cells: Sequence[tuple[float, Cell]] = [(x, c[name]) for x, c in log.measured if name in c]
    return Series(
        name.replace("_", " "),
        [(step, _per_cent(cell.value)) for step, cell in cells],
        [(step, _per_cent(cell.low), _per_cent(cell.high)) for step, cell in cells],
    )


def _per_cent(share: float | None) -> float | None:
    finite = _finite(share)
    return None if finite is None else 100 * finite


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
