"""Prompts -> samples. One file a backend; its name is the prefix of model names.

A backend's module has `open_model(name, options) -> Backend`, see fcbench.types.Backend, and
`check_model(name, options)`, which raises what can be known to be wrong without loading.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from fcbench import registry
from fcbench.backends._native import not_json
from fcbench.errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType

    from fcbench.types import Backend, DecodeMode

__all__ = ["ModelOptions", "check_model", "not_json", "open_model", "refuse_equal_repeats"]

DEFAULT = "transformers"


class ModelOptions(msgspec.Struct, frozen=True):
    """How to load a model. A backend refuses an adapter that it cannot apply.

    `dtype` is "auto" (bfloat16 where the processor computes it fast, else float32), "float32",
    "bfloat16" or "float16"; `batch_size` the number of prompts answered together, None for as many
    as the backend finds good; `decode` and `temperature` how tokens will be chosen, which a backend
    refuses if it has no say in that; `repeats` how often each case will be asked, refused where all
    answers would be the same; `prefix_memory` the bytes that beginnings which prompts share may
    take, None for a part of what is free, 0 to share nothing. `allow_float16` is for models that
    are known to overflow in it. `native` is whether some prompts will be native, which a backend
    refuses that has no chat endpoint. `timeout_seconds` is how long a server may take to answer,
    `retries` how often it is asked again where that can help; for servers `batch_size` is the
    number of requests at a time.
    """

    adapter: str | None = None
    dtype: str = "auto"
    batch_size: int | None = None
    decode: DecodeMode = "greedy"
    temperature: float = 0.0
    repeats: int = 1
    prefix_memory: int | None = None
    allow_float16: bool = False
    native: bool = False
    timeout_seconds: float = 600.0
    retries: int = 4


def refuse_equal_repeats(options: ModelOptions) -> None:
    """Raise UsageError for repeats that would all be the same answer."""
    if options.repeats > 1 and not options.temperature:
        raise UsageError(
            f"{options.repeats} repeats at temperature 0 are one answer, written "
            f"{options.repeats} times: they measure nothing",
            hint="--temperature 0.7, for one, or no --repeats",
        )


def open_model(name: str, options: ModelOptions | None = None) -> Backend:
    """Return a model, loaded and ready.

    `name` is "PREFIX:…" for a backend by its prefix, else a transformers model: a hub name, a
    folder, or the packaged "gemma3-270m". UsageError for an unknown prefix, ModelError for a model
    that cannot be loaded, MissingExtra when its backend's package is absent.
    """
    module, target = _module_and_target(name)
    return cast("Backend", module.open_model(target, options or ModelOptions()))


def check_model(name: str, options: ModelOptions) -> None:
    """Raise what open_model would, as far as that can be known without loading the model."""
    module, target = _module_and_target(name)
    module.check_model(target, options)


def _module_and_target(name: str) -> tuple[ModuleType, str]:
    prefix = re.match(r"([a-z]+):", name)
    backend = prefix.group(1) if prefix is not None and not Path(name).exists() else DEFAULT
    return registry.load("backends", backend), name.removeprefix(f"{backend}:")
