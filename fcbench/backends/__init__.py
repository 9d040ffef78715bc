"""Prompts -> samples. One file a backend; its name is the prefix of model names.

A backend's module has `open_model(name, options) -> Backend`, see fcbench.types.Backend, and
`check_model(name, options)`, which raises what can be known to be wrong without loading. It may
have `outline(name, options) -> Outline`, which tells of a model without loading it. Another
package adds a backend with an entry point that names such a module; then its prefix is known.

    [project.entry-points."fcbench.backends"]
    mine = "my_package.backend"
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from fcbench import registry
from fcbench.backends._http import checked_url
from fcbench.backends._native import not_json
from fcbench.errors import UsageError, nearest
from fcbench.types import ChatTemplate, DecodeMode, Request

if TYPE_CHECKING:
    from types import ModuleType

    from fcbench.types import Backend

__all__ = [
    "ModelOptions",
    "Outline",
    "check_model",
    "not_json",
    "open_model",
    "outline_model",
    "refuse_equal_repeats",
]

DEFAULT = "transformers"


class ModelOptions(msgspec.Struct, frozen=True):
    """How to load a model. A backend refuses an adapter that it cannot apply.

    `dtype` is "auto" (bfloat16 where the processor computes it fast, else float32), "float32",
    "bfloat16" or "float16"; `batch_size` the number of prompts answered together, None for as many
    as the backend finds good; `decode` and `temperature` how tokens will be chosen, which a backend
    refuses if it has no say in that; `repeats` how often each case will be asked, refused where all
    answers would be the same; `prefix_memory` the bytes that beginnings which prompts share may
    take, None for a part of what is free, 0 to share nothing. `allow_float16` is for models that
    are known to overflow in it. `trust_remote_code` runs code from the model's repository, with all
    the rights of this process. `native` is whether some prompts will be native, which a backend
    refuses that has no chat endpoint. `timeout_seconds` is how long a server may take to answer,
    `retries` how often it is asked again where that can help; for servers `batch_size` is the
    number of requests at a time. `n_sharing` is how many replicas share the machine's memory.
    """

    adapter: str | None = None
    dtype: str = "auto"
    batch_size: int | None = None
    decode: DecodeMode = "greedy"
    temperature: float = 0.0
    repeats: int = 1
    prefix_memory: int | None = None
    allow_float16: bool = False
    trust_remote_code: bool = False
    native: bool = False
    timeout_seconds: float = 600.0
    retries: int = 4
    n_sharing: int = 1


class Outline(msgspec.Struct, frozen=True):
    """What is known of a model without its weights: enough to write its prompts.

    `template` and `bos` are as a Backend has them. `count` returns how many tokens the prompt of a
    request is, None where nobody can tell; `counted_by` says by what, or why not.
    """

    template: ChatTemplate | None = None
    bos: str = "<bos>"
    count: Callable[[Request], int] | None = None
    counted_by: str = "models of this kind do not say"


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


def outline_model(name: str, options: ModelOptions) -> Outline:
    """Return what can be known of a model without its weights. Raises what check_model does.

    A backend's module may have `outline(name, options)`; a server is asked what it is.
    """
    module, target = _module_and_target(name)
    module.check_model(target, options)
    outline = getattr(module, "outline", None)
    return Outline() if outline is None else cast("Outline", outline(target, options))


def _module_and_target(name: str) -> tuple[ModuleType, str]:
    # One letter and a colon are a drive, where there are any.
    prefix = re.match(r"([A-Za-z][\w-]+):", name)
    if Path(name).exists() or prefix is None:
        _refuse_file(name)
        return registry.load("backends", DEFAULT), name
    backend = prefix.group(1)
    if backend in ("http", "https"):
        checked_url(name.replace("#", "/"))  # what would be refused there is not shown here
        model = "" if "#" in name else "#MODEL"
        raise UsageError(f"{name}: no backend is named", hint=f"openai:{name}{model}")
    known = registry.names("backends")
    if backend not in known:
        raise UsageError(
            f"{name}: no kind of model is called {backend}:",
            hint=nearest(backend, known) or f"one of {', '.join(known)}",
        )
    return registry.load("backends", backend), name.removeprefix(f"{backend}:")


def _refuse_file(name: str) -> None:
    """Raise UsageError for a file that is named without what reads it."""
    for ending, backend in ((".gguf", "gguf"), (".jsonl", "replay"), (".py", "python")):
        if name.endswith(ending) and not Path(name).is_dir():
            target = f"{Path(name).stem}:FUNCTION" if backend == "python" else name
            raise UsageError(f"{name}: no model folder", hint=f"--model {backend}:{target}")
