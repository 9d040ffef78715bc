"""What a report is written to: a page, or a table for other programs."""

from __future__ import annotations

from pathlib import Path

from fcbench.errors import RunError
from fcbench.paths import write_whole


def write(file: str | Path, text: str) -> None:
    """Write a text, whole or not at all. RunError if it cannot be."""
    path = Path(file).expanduser()
    try:
        write_whole(path, [text.encode()])
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from error
