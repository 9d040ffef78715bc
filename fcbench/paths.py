"""Files: where grammars/ and suites/ are, in the wheel or beside the package, and hashes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path, PureWindowsPath

ADAPTER_WEIGHTS = "adapter_model.safetensors"
"""The file of a LoRA adapter's weights, as peft writes it."""
_PACKAGE = Path(__file__).resolve().parent


def data_folder(name: str) -> Path:
    """Return the folder `grammars` or `suites`, from the wheel's fcbench/_data or the checkout."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def within(folder: Path, name: str) -> Path:
    """Return the path of a file that somebody else's text names, which cannot leave the folder.

    ValueError with the reason for a name that leads out of it (.., an absolute path, a symbolic
    link), that no file can have, or that is there and no plain file: a pipe would never end.
    """
    # Windows' rules on every system: what is refused on one of them is refused on all.
    named = PureWindowsPath(name)
    if not name or "\0" in name:
        raise ValueError(f"no file has the name {name!r}")
    if named.drive or named.root or ".." in named.parts:
        raise ValueError(f"{name} leads out of its folder")
    path = folder / name
    try:
        is_within = path.resolve().is_relative_to(folder.resolve())
    except RuntimeError as error:
        raise ValueError(f"{name} is a symbolic link that leads to itself") from error
    if not is_within:
        raise ValueError(f"{name} is a symbolic link that leads out of its folder")
    # Looked at once: somebody may take the file away between two looks.
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"{name} is no plain file")
    return path


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
