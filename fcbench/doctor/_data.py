"""Read what a model was trained on: cases, or whole texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.doctor._subject import CHAT, Training
from fcbench.errors import SuiteError, UsageError
from fcbench.suite import load_training

if TYPE_CHECKING:
    from fcbench.suite import Suite


def read_training_data(
    source: str | Path | None, mode: str | None, suite: Suite
) -> Training | None:
    """Return the training data that is named; with a mode alone it is the suite's own.

    A file whose first line has a `text` and no `messages` holds whole texts. SuiteError for what
    cannot be read, UsageError for a mode of texts, which have one already.
    """
    if source is None:
        return None if mode is None else Training(suite.name, mode, suite.training_cases())
    path = Path(source)
    if not (path.is_file() and _holds_texts(path)):
        return Training(str(source), mode or CHAT, load_training(source))
    if mode is not None:
        raise UsageError(
            f"{source}: its rows are whole texts, which have a style of their own",
            hint="leave --format-style out",
        )
    return Training(str(source), texts=_texts(path))


def _holds_texts(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            row = json.loads(next((line for line in file if line.strip()), "null"))
    except (OSError, ValueError):
        return False  # load_training says what is wrong with it
    return isinstance(row, dict) and isinstance(row.get("text"), str) and "messages" not in row


def _texts(path: Path) -> list[str]:
    texts = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise SuiteError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise SuiteError(f"{path}:{number}: $.text: expected str")
        texts.append(row["text"])
    return texts
