"""Tables in Markdown files that people keep by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.errors import RunError
from fcbench.report import page

if TYPE_CHECKING:
    from pathlib import Path


def insert(file: Path, name: str, text: str) -> None:
    """Replace what stands between <!-- NAME: begin --> and end.

    RunError without these markers, and for a text that holds one: it would end there next time.
    """
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{file}: cannot be read: {error}") from error
    first, last = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, begin, rest = content.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise RunError(f"{file}: holds no {first.strip()} … {last}")
    if first.strip() in text or last in text:
        raise RunError(f"{file}: what belongs there holds a marker of its own")
    page.write(file, f"{before}{begin}\n{text}\n{end}{after}")
