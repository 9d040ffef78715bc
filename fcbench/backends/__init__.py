"""Prompts -> samples. One file a backend; its name is the prefix of model names.

A backend's module has `open_model(name, options) -> Backend`; see fcbench.types.Backend.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from fcbench import registry

if TYPE_CHECKING:
    from fcbench.types import Backend

DEFAULT = "transformers"


class ModelOptions(msgspec.Struct, frozen=True):
    """How to load a model. Backends ignore what has no meaning for them.

    `dtype` is "auto" (bfloat16 where the processor computes it fast, else float32), "float32",
    "bfloat16" or "float16"; `batch_size` the number of prompts answered together.
    """

    adapter: str | None = None
    dtype: str = "auto"
    batch_size: int = 16


def open_model(name: str, options: ModelOptions | None = None) -> Backend:
    """Return a model, loaded and ready.

    `name` is "PREFIX:…" for a backend by its prefix, else a transformers model: a hub name, a
    folder, or the packaged "gemma3-270m". UsageError for an unknown prefix, ModelError for a model
    that cannot be loaded, MissingExtra when its backend's package is absent.
    """
    prefix = re.match(r"([a-z]+):", name)
    known = prefix is not None and not Path(name).exists()
    backend = prefix.group(1) if prefix is not None and known else DEFAULT
    target = name.removeprefix(f"{backend}:")
    module = registry.load("backends", backend)
    return cast("Backend", module.open_model(target, options or ModelOptions()))
