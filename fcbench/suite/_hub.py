"""Datasets of the Hugging Face hub in the schema of google/mobile-actions, read as text lines.

`datasets` would fill absent arguments with None when it infers a struct from JSON; reading lines
as text and decoding them ourselves keeps an absent argument absent.
"""

from __future__ import annotations

from fcbench.errors import MissingExtra, SuiteError

HUB = "hf://datasets/"


def download(name: str) -> dict[str, bytes]:
    """Return the JSON lines files of a dataset, by path within it, in sorted order.

    Raises MissingExtra without `datasets`, SuiteError when the dataset cannot be reached or holds
    no .jsonl file.
    """
    try:
        import datasets
        from fsspec.core import url_to_fs  # comes with datasets
    except ImportError as error:
        raise MissingExtra("datasets", "hf") from error
    try:
        filesystem, root = url_to_fs(f"{HUB}{name}")
        paths = sorted(filesystem.glob(f"{root}/**/*.jsonl"))
        files = {
            str(path).removeprefix(root).lstrip("/"): _lines(
                datasets, filesystem.unstrip_protocol(path)
            )
            for path in paths
        }
    # The boundary to a server: whatever the hub's client raises means that it cannot be read.
    except Exception as error:
        what = " ".join(str(error).split())[:200]
        raise SuiteError(
            f"hf:{name}: cannot be read from the hub: {type(error).__name__}: {what}",
            hint="download its .jsonl file and give its path instead",
        ) from error
    if not files:
        raise SuiteError(f"hf:{name}: the dataset holds no .jsonl file")
    return files


def _lines(datasets: object, url: str) -> bytes:
    loaded = datasets.load_dataset("text", data_files=url, split="train")  # type: ignore[attr-defined]
    return "".join(f"{line}\n" for line in loaded["text"]).encode()
