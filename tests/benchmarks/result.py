"""Where what a benchmark found is written."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def write_result(folder: Path, name: str, result: dict[str, Any], text: str) -> None:
    """Write NAME.json and NAME.md, and print the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(result, indent=2) + "\n"
    (folder / f"{name}.json").write_text(content, encoding="utf-8")
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
