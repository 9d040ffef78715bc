"""What a model's files may do while they are loaded: be read as numbers, and nothing else.

Two kinds of files run code: Python that a config names (`auto_map`), and pickles, which PyTorch's
`.bin` and `.pt` files are. A hub's `config.json` is somebody else's text, so what it can ask for is
looked at here, before transformers does as it says.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from fcbench.errors import ModelError
from fcbench.text import in_a_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcbench.types import Json

SAFE = ".safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
NO_WEIGHTS = ("training_args", "optimizer", "scheduler", "scaler", "rng_state")
"""What files begin with that a training leaves behind; nothing of ours reads them here."""
CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
CODE_FILES = (CONFIG, "tokenizer_config.json", "processor_config.json")
TO_TRUST = "--trust-remote-code runs code from the model's repository, with all your rights"
CONVERT = "if you trust it: load it with transformers or peft, whose save_pretrained converts it"


def refuse_pickles(folder: Path, name: str) -> None:
    """Raise ModelError for a folder whose weights are pickles, wherever it says so."""
    weights = [path for path in folder.iterdir() if path.suffix in (SAFE, *PICKLES)]
    pickles = sorted(
        path.name
        for path in weights
        if path.suffix != SAFE and not path.name.startswith(NO_WEIGHTS)
    )
    if pickles and not any(path.suffix == SAFE for path in weights):
        raise _pickled(name, pickles[0])
    for shard in _shards(_read(folder, INDEX, name)):
        if not shard.endswith(SAFE):
            raise _pickled(name, shard)
        if Path(shard).name != shard:
            raise ModelError(f"{name}: {INDEX} names a file outside of the folder: {shard}")


def _shards(index: dict[str, Json]) -> list[str]:
    """Return the files that an index names; none where it names them otherwise: loading tells."""
    weight_map = index.get("weight_map")
    return sorted(set(map(str, weight_map.values()))) if isinstance(weight_map, dict) else []


def _read(folder: Path, file: str, name: str) -> dict[str, Json]:
    """Return a file's object, empty where there is no such file or no object in it.

    ModelError for what cannot be read here: to another reader, with more stack, it may say a lot.
    """
    try:
        # As transformers reads it: json guesses the encoding of bytes.
        value = json.loads((folder / file).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{name}: {file} cannot be read: {in_a_line(error)}") from None
    return value if isinstance(value, dict) else {}


def refuse_demands(name: str, config: Json, *, trusted: bool) -> None:
    """Raise ModelError for a config that asks for a pickle, or for compiled code of the hub."""
    explicit = config.get("transformers_weights") if isinstance(config, dict) else None
    if explicit is not None and not str(explicit).endswith((SAFE, f"{SAFE}.index.json")):
        raise _pickled(name, str(explicit))
    for field, value in _leaves(config):
        # Where the package `kernels` is installed, OWNER/NAME here is downloaded and run.
        if field.endswith("_implementation") and "/" in str(value) and not trusted:
            raise ModelError(
                f"{name}: its config names code of the hub to compute with: {field} {value}",
                hint=TO_TRUST,
            )


def refuse_other_adapters(folder: Path, name: str) -> None:
    """Raise ModelError for an adapter other than LoRA's, or one that names a package to import."""
    config = _read(folder, ADAPTER_CONFIG, name)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ModelError(
            f"{name}: is no LoRA adapter: its {ADAPTER_CONFIG} says peft_type {kind!r}"
        )
    if config.get("megatron_config"):
        raise ModelError(f"{name}: is an adapter for Megatron, whose package it names to import")


def _leaves(value: Json, field: str = "") -> Iterator[tuple[str, Json]]:
    waiting = [(field, value)]
    while waiting:
        field, value = waiting.pop()
        if isinstance(value, dict):
            # What stands below a field is its own, as in {"attn_implementation": {"": …}}.
            is_own = field.endswith("_implementation")
            waiting += [(field if is_own else str(key), below) for key, below in value.items()]
        elif isinstance(value, list):
            waiting += [(field, below) for below in value]
        else:
            yield field, value


def refuse_code(folder: Path, name: str, why: str) -> None:
    """Raise ModelError for a folder that brings Python along, for those who would run it unasked.

    `why` ends the message.
    """
    others = _read(folder, CONFIG, name).get("configuration_files", [])
    if not isinstance(others, list):
        raise ModelError(f"{name}: configuration_files in {CONFIG} is no list of files")
    # Which of them is read in its place depends on the release of transformers that reads it.
    for file in (*CODE_FILES, *map(str, others)):
        if Path(file).name != file:
            raise ModelError(f"{name}: {CONFIG} names a file outside of the folder: {file}")
        # A string or number names no class, and transformers takes neither for one.
        auto_map = _read(folder, file, name).get("auto_map")
        if auto_map and isinstance(auto_map, dict | list):
            raise ModelError(f"{name}: {file} names code of its own (auto_map): {why}")


@contextmanager
def safetensors_only(name: str) -> Iterator[None]:
    """Let no pickle be read within, whatever an index, a config or an adapter names.

    transformers and peft fall back to torch.load by a file's ending, some ways past
    `use_safetensors`. What was looked at above is refused in better words; this cannot be missed.
    """

    def refuse(file: Any, *_: Any, **__: Any) -> NoReturn:
        raise _pickled(name, str(file))

    load = torch.load
    torch.load = refuse  # type: ignore[assignment]
    # Without it transformers asks a service for a converted copy that anybody may have proposed.
    before = os.environ.get("DISABLE_SAFETENSORS_CONVERSION")
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    try:
        yield
    finally:
        torch.load = load
        if before is None:
            del os.environ["DISABLE_SAFETENSORS_CONVERSION"]
        else:
            os.environ["DISABLE_SAFETENSORS_CONVERSION"] = before


def needs_code(name: str, error: Exception) -> ModelError | None:
    """Return the error for a model that transformers would load with its own code alone."""
    if "trust_remote_code" not in str(error):
        return None
    return ModelError(f"{name}: needs code from its repository, which is not run", hint=TO_TRUST)


def _pickled(name: str, file: str) -> ModelError:
    return ModelError(
        f"{name}: {Path(file).name} is a pickle, which can run code when it is read: only "
        "safetensors are",
        hint=CONVERT,
    )
