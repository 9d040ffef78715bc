"""The atheris target. campaign.py runs it in a process of its own, because libFuzzer ends that.

    python -m tests.fuzz.coverage_guided FINDINGS [libFuzzer's arguments]

Only fcbench.formats is instrumented: what else is imported would drown its branches in others.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any


def import_instrumented(atheris: Any) -> None:
    """Import fcbench.formats with coverage, after what it imports from the rest of fcbench."""
    for name in ("errors", "paths", "registry", "types"):
        importlib.import_module(f"fcbench.{name}")
    with atheris.instrument_imports(include=["fcbench"]):
        package = importlib.import_module("fcbench.formats")
        for module in pkgutil.iter_modules(package.__path__, "fcbench.formats."):
            if module.name.rpartition(".")[2] not in package.UNREGISTERED:  # they do not parse
                importlib.import_module(module.name)


def main() -> None:
    import atheris  # the extra `fuzz`, which the tests do without

    import_instrumented(atheris)
    # Only now, because these import fcbench.formats.
    from fcbench import registry
    from tests.fuzz.choices import FromBytes
    from tests.fuzz.findings import Findings
    from tests.fuzz.inputs import turn

    findings = Findings(Path(sys.argv.pop(1)))
    formats = tuple(registry.names("formats"))

    def judge(data: bytes) -> None:
        findings.judge(*turn(FromBytes(data), formats))

    atheris.Setup(sys.argv, judge)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
