"""What is wrong with a file, an adapter or an option, as far as it shows without loading."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.backends import refuse_equal_repeats
from fcbench.backends.gguf._file import MAGIC, Metadata, read_metadata
from fcbench.errors import MissingExtra, ModelError, UsageError, nearest
from fcbench.types import Decoding

if TYPE_CHECKING:
    from fcbench.backends import ModelOptions


def check(name: str, options: ModelOptions) -> Metadata:
    """Return what a file says of itself; raise what is wrong without it being loaded.

    UsageError for what llama.cpp is not asked for here, ModelError for a file or an adapter that is
    none, MissingExtra without llama.cpp.
    """
    shown = f"gguf:{name}"
    if options.dtype not in ("auto", "float32"):
        raise UsageError(
            f"{shown}: the file has chosen its dtype: no --dtype {options.dtype} here",
            hint="--dtype float32 computes in it what the file's weights leave open",
        )
    if Decoding(options.decode).is_constrained:
        raise UsageError(
            f"{shown}: llama.cpp is not held to a grammar here: no --decode {options.decode}",
            hint="a folder of the same model (transformers) is",
        )
    refuse_equal_repeats(options)
    model = _model_metadata(name)
    if options.adapter is not None:
        _check_adapter(options.adapter, model)
    for package in ("xllamacpp", "httpx"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "llama")
    return model


def _model_metadata(name: str) -> Metadata:
    path = Path(name).expanduser()
    if path.is_dir():
        raise ModelError(
            f"gguf:{name}: is a folder",
            hint=f"--model {name} for transformers; python -m fcbench export gguf makes a file",
        )
    if not path.is_file():
        hint = None
        if path.parent.is_dir():
            hint = nearest(path.name, (file.name for file in path.parent.glob("*.gguf")))
        raise ModelError(f"gguf:{name}: no such file", hint)
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ModelError(f"gguf:{name}: no GGUF", hint="python -m fcbench export gguf")
    metadata = read_metadata(path)
    if metadata.is_lora:
        raise ModelError(f"gguf:{name}: is an adapter", hint=f"--model gguf:BASE --adapter {name}")
    return metadata


def _check_adapter(adapter: str, model: Metadata) -> None:
    path = Path(adapter).expanduser()
    if path.is_dir():
        raise UsageError(
            f"{adapter}: llama.cpp takes adapters as GGUF files, not as folders",
            hint="python -m fcbench merge, then export gguf: the merged model needs no adapter; "
            "or llama.cpp's convert_lora_to_gguf.py, which leaves trained token rows out "
            "(trainable_token_indices)",
        )
    if not path.is_file():
        raise ModelError(f"{adapter}: no adapter here: no such file")
    metadata = read_metadata(path)
    if not metadata.is_lora:
        raise ModelError(f"{adapter}: a model, not an adapter", hint=f"--model gguf:{adapter}")
    if metadata.architecture != model.architecture:
        raise ModelError(
            f"{adapter}: does not fit the model: it is for {metadata.architecture}, "
            f"the model is {model.architecture}"
        )
