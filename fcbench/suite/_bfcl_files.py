"""The data files of the Berkeley Function Calling Leaderboard, in a wheel or in a folder."""

from __future__ import annotations

import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from fcbench.errors import SuiteError
from fcbench.paths import within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_IN_WHEEL = "bfcl_eval/data"
_LARGEST = 64 * 2**20  # the largest of them has 5 MB
_UNPACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Files(NamedTuple):
    """Where the files are, as errors show it, and how one is read by its name."""

    shown: str
    read: Callable[[str], bytes]


def is_bfcl(path: Path) -> bool:
    """Whether a path is one of ours to read: a wheel, or a folder that holds such files."""
    if path.is_dir():
        return not (path / "suite.toml").exists() and any(path.glob("BFCL_v4_*.json"))
    return path.suffix == ".whl"


@contextmanager
def opened(path: Path) -> Iterator[Files]:
    """Open a wheel or a folder. SuiteError for what cannot be read, here and when a file is."""
    if path.is_dir():
        yield Files(str(path), lambda name: _from_folder(path, name))
        return
    try:
        wheel = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise SuiteError(f"{path}: not a wheel: {error}") from error
    with wheel:
        shown = f"{path}/{_IN_WHEEL}"
        yield Files(shown, lambda name: _from_wheel(wheel, f"{_IN_WHEEL}/{name}", shown))


def _from_folder(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        with within(folder, name).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except ValueError as error:
        hint = "copy the file itself into the folder"
        raise SuiteError(f"{path}: cannot be read: {error}", hint) from error
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > _LARGEST:
        raise SuiteError(f"{path}: cannot be read: more than {_LARGEST} bytes are too many")
    return content


def _from_wheel(wheel: zipfile.ZipFile, name: str, shown: str) -> bytes:
    path = f"{shown}{name.removeprefix(_IN_WHEEL)}"
    try:
        info = wheel.getinfo(name)
        if info.file_size > _LARGEST:
            raise SuiteError(f"{path}: cannot be read: {info.file_size} bytes are too many")
        # zipfile unpacks the other kinds, and what is read without a number of bytes, whole before
        # it looks at the size that was promised.
        if info.compress_type not in _UNPACKED:
            raise SuiteError(f"{path}: cannot be read: packed in a way that wheels are not")
        with wheel.open(info) as file:
            return file.read(_LARGEST)
    except KeyError as error:
        raise SuiteError(f"{path}: cannot be read: no such file in the wheel") from error
    # What zipfile raises for damage, encryption and compression that it does not know.
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise SuiteError(f"{path}: cannot be read: {error}") from error
