"""In this process: one replica, and nothing between it and the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench import backends
from fcbench.errors import UsageError

if TYPE_CHECKING:
    from fcbench.backends import ModelOptions
    from fcbench.executors import Where
    from fcbench.types import Backend


def check(model: str, where: Where) -> None:
    """Raise UsageError for what only workers have."""
    del model
    for name in ("workers", "address", "cpus_per_worker", "gpus_per_worker"):
        if getattr(where, name) is not None:
            shown = "ray_address" if name == "address" else name
            raise UsageError(
                f"{shown} says how workers compute, and the executor {where.executor} has none",
                hint='--executor ray, or executor="ray"',
            )


def open_model(model: str | Backend, options: ModelOptions, where: Where) -> Backend:
    """Return the backend of a name, loaded, or a backend as it is."""
    del where
    return backends.open_model(model, options) if isinstance(model, str) else model
