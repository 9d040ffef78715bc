"""A run's manifest -> the command that repeats it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fcbench.types import Json

LOADED_HERE = ("transformers", "vllm")
DTYPES = ("float32", "bfloat16", "float16")


def command_of(manifest: Mapping[str, Json]) -> str:
    """Return the command that asks the same model the same cases in the same way.

    A model that was an object, and no name, is not loaded by it.

    >>> command_of({
    ...     "model": {"name": "gguf:a b.gguf", "backend": "gguf"},
    ...     "suite": {"source": "types", "limit": None, "tags": []},
    ...     "prompt": {"mode": "raw", "few_shot": 3, "file": None},
    ...     "decoding": {"mode": "greedy", "max_new_tokens": 9},
    ...     "format": {"name": "functiongemma"}, "seed": 0,
    ... })
    "python -m fcbench run --model 'gguf:a b.gguf' --suite types --prompt raw+3 --max-new-tokens 9"
    """
    model, suite, prompt = manifest["model"], manifest["suite"], manifest["prompt"]
    drawn = manifest["decoding"]
    adapter = model.get("adapter")
    # Only what a backend of ours loads has a number type that can be asked for.
    is_loaded = model.get("backend") in LOADED_HERE and model.get("dtype") in DTYPES
    mode = f"{prompt['mode']}+{prompt['few_shot']}" if prompt["few_shot"] else prompt["mode"]
    if prompt["file"]:
        asked = {"--prompt-file": prompt["file"], "--few-shot": prompt["few_shot"] or None}
    else:
        asked = {"--prompt": mode}
    said = {
        "--model": model["name"],
        "--adapter": adapter["name"] if adapter else None,
        "--suite": suite["source"],
        "--tags": ",".join(suite["tags"]) or None,
        "--limit": suite.get("limit"),
        "--sample": suite.get("sample"),
        **asked,
        "--format": _other(manifest["format"]["name"], "functiongemma"),
        "--decode": _other(drawn["mode"], "greedy"),
        "--temperature": drawn.get("temperature") or None,
        "--repeats": _other(drawn.get("repeats", 1), 1),
        "--max-new-tokens": drawn["max_new_tokens"],  # a suite may have its own default
        "--dtype": model["dtype"] if is_loaded else None,
        "--batch-size": manifest.get("batch_size"),
        "--seed": manifest["seed"] or None,
    }
    words = [str(w) for option in said.items() if option[1] is not None for w in option]
    return shlex.join(["python", "-m", "fcbench", "run", *words])


def _other(value: Json, default: Json) -> Json:
    return None if value == default else value
