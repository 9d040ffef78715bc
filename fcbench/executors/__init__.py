"""Where a run's model computes. One file an executor; its name is the value of `--executor`.

    local   in this process, as everything else
    ray     in worker processes on this machine or on a cluster, each with its own replica

An executor's module has `open_model(model, options, where) -> Backend`, where a model is a name or
a Backend that is at hand, and `check(model, where)`, which raises what can be known to be wrong
without loading. Whatever computes them, the samples of a run are the same; so an executor is
written down in a run's manifest, and is no part of what makes a run another one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

import msgspec

from fcbench import registry
from fcbench.errors import UsageError

if TYPE_CHECKING:
    from fcbench.backends import ModelOptions
    from fcbench.types import Backend, Json

__all__ = ["Where", "check_executor", "open_model"]


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Which executor computes, on how many workers, and what each of them may take.

    `address` is that of a cluster that runs already, None for one on this machine that ends with
    the process. `cpus_per_worker` None is an equal share of this machine's processors, and 1 on a
    cluster; `gpus_per_worker` may be a part of one, as 0.5.
    """

    executor: str = "local"
    workers: int | None = None
    address: str | None = None
    cpus_per_worker: int | None = None
    gpus_per_worker: float | None = None

    @property
    def cluster(self) -> str | None:
        """The address of a cluster that runs already, as it is said here or in RAY_ADDRESS.

        UsageError for one that holds a name, a password or a query: it would be shown.
        """
        address = self.address or os.environ.get("RAY_ADDRESS")
        if address is not None and set("@?") & set(address):
            raise UsageError("the address of a Ray cluster holds no name, password or query")
        return address

    @property
    def cpus(self) -> int:
        """How many processors a worker takes."""
        share = (os.cpu_count() or 1) // (self.workers or 1)
        return self.cpus_per_worker or (max(1, share) if self.cluster is None else 1)

    @property
    def manifest(self) -> dict[str, Json]:
        """What a run records of it. An address is left out: it is a name of one network's."""
        return {
            "name": self.executor,
            "workers": self.workers or 1,
            "cpus_per_worker": None if self.workers is None else self.cpus,
            "gpus_per_worker": self.gpus_per_worker,
        }


def check_executor(model: str, where: Where) -> None:
    """Raise UsageError for numbers and names that cannot be, MissingExtra for an absent package."""
    for name, least in (("workers", 1), ("cpus_per_worker", 1), ("gpus_per_worker", 0)):
        value = getattr(where, name)
        if value is not None and not value >= least:  # NaN is not either
            raise UsageError(f"{name} is at least {least}, got {value}")
    registry.load("executors", where.executor).check(model, where)


def open_model(model: str | Backend, options: ModelOptions, where: Where) -> Backend:
    """Return a model that computes where it is told to, ready to answer.

    Raises what fcbench.backends.open_model does, wherever the model was loaded.
    """
    module = registry.load("executors", where.executor)
    return cast("Backend", module.open_model(model, options, where))
