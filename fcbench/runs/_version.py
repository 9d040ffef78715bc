"""The version of a run's log: what this fcbench writes, and which it can read.

It rises when a reader of today would take a log of tomorrow for something else, and with every new
field of a Sample: a line of `samples.jsonl` with a field that a reader does not know is none to it.
A field that is merely new in `run.json` does not raise it: what was not said before has a value in
_manifest.UNSAID, or a default in _read, and a reader passes over what it does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fcbench.types import Json

LOG_VERSION = 1
UPGRADE = "pip install --upgrade fcbench"


def refuse_newer(manifest: Mapping[str, Json], path: Path) -> None:
    """Raise RunError for a log that a later fcbench wrote, or whose version is no number."""
    version = manifest.get("log_version", LOG_VERSION)
    if type(version) is not int or version < 1:  # true is an int to Python
        raise RunError(f"{path}: $.log_version: expected a whole number from 1, got {version!r}")
    if version > LOG_VERSION:
        said = manifest.get("versions")
        wrote = said.get("fcbench") if isinstance(said, dict) else None
        by = f" (by fcbench {wrote})" if isinstance(wrote, str) else ""
        raise RunError(
            f"{path}: its log has version {version}{by}, this fcbench reads up to {LOG_VERSION}",
            hint=UPGRADE,
        )
