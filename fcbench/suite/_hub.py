"""Datasets of the Hugging Face hub in the schema of google/mobile-actions, read as they lie there.

`datasets` would fill absent arguments with None when it infers a struct from JSON, and unpack
whatever is an archive by its first bytes, however it is called and however large it becomes.
"""

from __future__ import annotations

from typing import Any

from fcbench.errors import MissingExtra, SuiteError
from fcbench.text import in_a_line

HUB = "hf://datasets/"
LARGEST = 512 * 2**20
"""Bytes of all files, which are in memory at once; mobile-actions has 11 MB, xLAM 100."""


def download(name: str) -> dict[str, bytes]:
    """Return the JSON lines files of a dataset, by path within it, in sorted order.

    Every line ends in a line feed, the last one too, so that a hash is over the same bytes
    everywhere. Raises MissingExtra without `datasets`, SuiteError when the dataset cannot be
    reached, holds no .jsonl file or files that are too large.
    """
    try:
        from fsspec.core import url_to_fs  # comes with datasets
    except ImportError as error:
        raise MissingExtra("datasets", "hf") from error
    try:
        filesystem, root = url_to_fs(f"{HUB}{name}")
        paths = sorted(filesystem.glob(f"{root}/**/*.jsonl"))
        files, n_bytes = {}, 0
        for path in paths:
            lines = _lines(filesystem, path, LARGEST - n_bytes)
            n_bytes += len(lines)
            files[str(path).removeprefix(root).lstrip("/")] = lines
    except SuiteError:
        raise
    # The boundary to a server: whatever the hub's client raises means that it cannot be read.
    except Exception as error:
        what = f"{type(error).__name__}: {in_a_line(error)}"
        raise SuiteError(
            f"hf:{name}: cannot be read from the hub: {what}",
            hint="download its .jsonl file and give its path instead",
        ) from error
    if not files:
        raise SuiteError(f"hf:{name}: the dataset holds no .jsonl file")
    return files


def _lines(filesystem: Any, path: str, most: int) -> bytes:
    with filesystem.open(path, "rb") as file:
        content: bytes = file.read(most + 1)
    if len(content) > most:
        raise SuiteError(f"hf:{path}: with it, more than {LARGEST} bytes are no suite")
    text = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text if text.endswith(b"\n") or not text else text + b"\n"
