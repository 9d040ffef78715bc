"""Files: where grammars/ and suites/ are, in the wheel or beside the package, and hashes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ADAPTER_WEIGHTS = "adapter_model.safetensors"
"""The file of a LoRA adapter's weights, as peft writes it."""
_PACKAGE = Path(__file__).resolve().parent


def data_folder(name: str) -> Path:
    """Return the folder `grammars` or `suites`, from the wheel's fcbench/_data or the checkout."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def sha256_of(path: Path) -> str:
    """Return the hash of a file, which is not read into memory whole. OSError if it cannot be."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return where what was prepared or fetched is kept: $FCBENCH_CACHE, else the user's cache."""
    chosen = os.environ.get("FCBENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fcbench"
