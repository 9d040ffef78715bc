"""The Ray cluster that replicas stand on: one that runs already, or one of this process alone."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING, Any

from fcbench.errors import MissingExtra, UsageError

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as error:
    if str(error.name).partition(".")[0] != "ray":
        raise
    raise MissingExtra("ray", "ray") from error

if TYPE_CHECKING:
    from fcbench.executors import Where

__all__ = ["Cluster", "RayError", "RayTaskError", "ray"]

SECONDS_TO_ANSWER = 10.0
STORE_BYTES = 256_000_000
"""What passes between processes: prompts and answers, never weights."""


class Cluster:
    """A connection to Ray, and what each worker takes of it. UsageError if there is none."""

    def __init__(self, where: Where) -> None:
        self.n_workers = where.workers or 1
        self.gpus = where.gpus_per_worker or 0.0
        self.cpus = where.cpus
        address = where.cluster
        if address is not None and address.startswith("ray://"):
            raise UsageError(
                f"{address}: answers cannot be streamed through Ray's client",
                hint="run on a node of the cluster with --ray-address auto, or `ray job submit`",
            )
        # A program that is connected already keeps its connection.
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            if address is not None:
                _refuse_silence(address)
            self._connect(address)
            if address is None:
                self._refuse_lack_of_gpus()

    def _connect(self, address: str | None) -> None:
        # Ray tells its makers how it is used unless it is told not to. A user's word stands.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        own: dict[str, Any] = {
            "num_cpus": self.n_workers * self.cpus,
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
        }
        _let_it_print(allowed=False)
        try:
            ray.init(
                address="local" if address is None else address,
                log_to_driver=False,  # what workers write
                logging_level=logging.ERROR,
                **(own if address is None else {}),
            )
        except (OSError, RuntimeError, ValueError, RayError) as error:
            _let_it_print(allowed=True)
            what = (
                "no cluster can be started here" if address is None else f"no answer at {address}"
            )
            raise UsageError(
                f"Ray: {what}: {error}",
                hint="ray status, on a node of the cluster" if address else None,
            ) from error

    def _refuse_lack_of_gpus(self) -> None:
        there = float(ray.cluster_resources().get("GPU", 0))
        if self.n_workers * self.gpus > there:
            self.close()
            raise UsageError(
                f"{self.n_workers} workers of {self.gpus:g} GPUs each need more than the "
                f"{there:g} that are here",
                hint="fewer --workers, or a part of one, as in --gpus-per-worker 0.5",
            )

    @property
    def n_sharing(self) -> int:
        """How many replicas at most share the memory of one node, or of one GPU."""
        if self.gpus:
            return max(1, int(1 / self.gpus))
        cpus = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
        return max(1, min(self.n_workers, int(max(cpus, default=1) // self.cpus)))

    def describe_lack(self) -> str:
        """Return what workers ask for and what there is, for somebody who waits for them."""
        free = ray.available_resources()
        return (
            f"each asks for {self.cpus} CPUs and {self.gpus:g} GPUs; free are "
            f"{free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} GPUs (or it still loads)"
        )

    def close(self) -> None:
        """Let go of the connection, and so of all workers, if it was made here."""
        if self._is_ours and ray.is_initialized():
            ray.shutdown()
            _let_it_print(allowed=True)


def _refuse_silence(address: str) -> None:
    """Raise UsageError where nobody listens at HOST:PORT: Ray itself would ask for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"a Ray cluster: nobody listens at {address}: {error}",
            hint="the head node's HOST:PORT, which `ray start --head` prints",
        ) from error


def _let_it_print(*, allowed: bool) -> None:
    """Say whether Ray may write about lost workers on stdout, where `--json` is.

    It asks nobody about that. Its own debugger keeps it quiet in the same way.
    """
    with contextlib.suppress(AttributeError):
        ray._private.worker._worker_logs_enabled = allowed  # noqa: SLF001
