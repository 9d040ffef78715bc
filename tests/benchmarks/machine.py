"""What the numbers of a benchmark depend on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcbench.formats import grammar_sha256
from fcbench.runs import versions

if TYPE_CHECKING:
    from collections.abc import Sequence


JUDGING = ("fcbench", "lark", "lark-cython", "msgspec")
"""The packages that outputs are judged with."""


def machine(packages: Sequence[str] = JUDGING) -> dict[str, Any]:
    """Return what the numbers of judging depend on."""
    return {**system(packages), "grammar_sha256": grammar_sha256("functiongemma")}


def system(packages: Sequence[str]) -> dict[str, Any]:
    """Return what any numbers depend on, and nothing that names a machine or a folder."""
    return {
        "cpus": os.cpu_count(),
        "processor": processor(),
        "system": platform.system(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions(packages),
    }


def processor() -> str:
    """Return the processor's name, or its architecture where the system does not say."""
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    named = (line.partition(":")[2].strip() for line in facts.splitlines() if "model name" in line)
    return next(named, platform.machine())
