"""How much memory there is, and how many sequences fit in it."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

MOST = 128
"""Sequences answered together at most: beyond it a pass takes longer by as much as it does more."""

GROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may take."""


def free_bytes(device: torch.device) -> int:
    """Return how many bytes a device has left, within the limit of the container it may be in."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    try:
        limit = (GROUP / "memory.max").read_text(encoding="ascii")
        used = (GROUP / "memory.current").read_text(encoding="ascii")
        return max(0, min(free, int(limit) - int(used)))
    except (OSError, ValueError):  # no such system, or no limit
        return free


def n_sequences(free: int, bytes_each: int) -> int:
    """Return how many sequences to answer together, half of the free memory being theirs."""
    return max(1, min(MOST, free // 2 // max(1, bytes_each)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "memory" in str(error)
