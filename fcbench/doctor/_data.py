"""Read what a model was trained on: cases, or whole texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.doctor._subject import CHAT, Training
from fcbench.errors import SuiteError, UsageError
from fcbench.suite import load_suite, load_training
from fcbench.suite._lines import Fault, decode, decode_json, lines, located_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcbench.suite import Suite
    from fcbench.types import Json


def read_training_data(
    source: str | Path | None, mode: str | None, suite: Suite
) -> Training | None:
    """Return the training data that is named; with a mode alone it is the suite's own.

    A file whose first line has a `text` and no `messages` holds whole texts. SuiteError for what
    cannot be read, UsageError for a mode of texts, which have one already.
    """
    if source is None:
        if mode is None:
            return None
        cases = suite.training_cases()
        return Training(suite.name, mode, cases, rows=_rows_of(suite.training))
    path = Path(source)
    if not (path.is_file() and _holds_texts(path)):
        file = path if path.is_file() else load_suite(source).training
        return Training(str(source), mode or CHAT, load_training(source), rows=_rows_of(file))
    if mode is not None:
        raise UsageError(
            f"{source}: its rows are whole texts, which have a style of their own",
            hint="leave --format-style out",
        )
    return Training(str(source), texts=_texts(path))


def _holds_texts(path: Path) -> bool:
    try:
        row = next((decode(line) for _, line in lines(path.read_bytes())), {})
    except (OSError, Fault):
        return False  # load_training says what is wrong with it
    return isinstance(row.get("text"), str) and "messages" not in row


def _texts(path: Path) -> list[str]:
    texts = []
    for number, line in lines(path.read_bytes()):
        with located_in(str(path), number):
            row = decode(line)
        if not isinstance(row.get("text"), str):
            raise SuiteError(f"{path}:{number}: $.text: expected str")
        texts.append(row["text"])
    return texts


def _rows_of(path: Path | None) -> dict[str, dict[str, Json]]:
    """Return the rows of a file of cases as they stand in it, by the cases' ids."""
    if path is None:
        return {}
    named = ((row.get("id") or f"{path.stem}:{number}", row) for number, row in _rows(path))
    return {str(name): row for name, row in named}


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Json]]]:
    content = path.read_bytes()
    if path.suffix == ".json" and content.lstrip()[:1] == b"[":
        yield from enumerate(decode_json(content), start=1)
        return
    for number, line in lines(content):
        yield number, decode(line)
