"""Files: where grammars/ and suites/ are, in the wheel or beside the package, writing, hashes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def write_whole(path: Path, content: Iterable[bytes]) -> None:
    """Write a file so that it is either whole or as it was. OSError if it cannot be written.

    Of processes that write it together, the last one's stays. A link goes on leading to its file,
    and what is no plain file, such as /dev/stdout, is written to.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            file.writelines(content)
        return
    target = Path(os.path.realpath(path))
    partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}.partial")
    try:
        # Its own: nobody else writes to it, and no link stands there.
        with partial.open("xb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # there was none
            shutil.copymode(target, partial)
        partial.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()  # which a full disk needs more than anybody
        raise
    flush_folder(target.parent)


def flush_folder(path: Path) -> None:
    """Let a new name in a folder survive a power cut, where the system can be asked for that."""
    with contextlib.suppress(OSError):
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


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
