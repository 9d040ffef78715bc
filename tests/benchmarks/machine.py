"""What the numbers of a benchmark depend on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from fcbench.formats import grammar_sha256


def machine() -> dict[str, Any]:
    """Return what the numbers depend on, and nothing that names a machine or a folder."""
    versions = {}
    for name in ("fcbench", "lark", "lark-cython", "msgspec"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpus": os.cpu_count(),
        "processor": processor(),
        "system": platform.system(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions,
        "grammar_sha256": grammar_sha256("functiongemma"),
    }


def processor() -> str:
    """Return the processor's name, or its architecture where the system does not say."""
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    named = (line.partition(":")[2].strip() for line in facts.splitlines() if "model name" in line)
    return next(named, platform.machine())
