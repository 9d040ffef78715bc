"""A model that is at hand: a function, or a Backend that somebody wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from fcbench.backends import ModelOptions
from fcbench.backends.python import open_function
from fcbench.errors import UsageError
from fcbench.text import shorten, show

if TYPE_CHECKING:
    from fcbench.types import Backend, ModelFunction

PARTS = ("template", "bos", "manifest", "has_answered")
LOADING = (
    "adapter",
    "dtype",
    "batch_size",
    "prefix_memory",
    "allow_float16",
    "trust_remote_code",
    "timeout_seconds",
    "retries",
)


def backend_of(model: Backend | ModelFunction, options: ModelOptions) -> Backend:
    """Return the backend of a function, or a Backend as it is, which nothing has to load.

    UsageError for an object that is neither, and for options that come too late for a Backend.
    """
    if isinstance(model, type):
        raise UsageError(f"a model is an object, {model.__name__} is its class: {model.__name__}()")
    if not hasattr(model, "answer"):
        if not callable(model):
            what = shorten(show(model))
            raise UsageError(f"a model is a name, a function or a Backend, got {what}")
        return open_function(model, options)
    backend = cast("Backend", model)
    kind = type(backend).__name__
    absent = [name for name in PARTS if not hasattr(backend, name)]
    if absent:
        raise UsageError(
            f"{kind} is no Backend: it has no {', '.join(absent)}",
            hint="see fcbench.types.Backend",
        )
    late = [name for name in LOADING if getattr(options, name) != getattr(ModelOptions(), name)]
    if late:
        raise UsageError(f"{kind} is loaded already: it comes too late for {', '.join(late)}")
    _check_manifest(backend, kind)
    return backend


def _check_manifest(backend: Backend, kind: str) -> None:
    """Raise UsageError for a manifest that a run could not store, or that names no model."""
    try:
        json.dumps(backend.manifest, allow_nan=False, ensure_ascii=False).encode()
        named = isinstance(backend.manifest.get("name"), str)
    except (AttributeError, TypeError, ValueError, RecursionError) as error:  # or no UTF-8
        raise UsageError(f"{kind}.manifest is no JSON object: {error}") from error
    if not named:
        raise UsageError(
            f"{kind}.manifest has no name",
            hint='manifest = {"name": "my-model", "backend": "mine"}',
        )
