"""The atheris process. campaign.py runs it in a process of its own, because libFuzzer ends that.

    python -m tests.fuzz.coverage_guided TARGET FINDINGS [libFuzzer's arguments]

Only the target's own parts of fcbench are instrumented: what else is imported would drown their
branches in others.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

PACKAGE = Path(__file__).parent.parent.parent / "fcbench"
# What each of them may have is said in its own file, which would import fcbench.
INSTRUMENTED = {
    "parser": ("fcbench.formats",),
    "suite": ("fcbench.suite", "fcbench.prompts"),
    "log": ("fcbench.runs", "fcbench.report"),
    "report": ("fcbench.report", "fcbench.text"),
    "message": ("fcbench.runs", "fcbench._pytest", "fcbench.text"),
}


def import_instrumented(atheris: Any, name: str) -> Target:
    """Return a target, imported with coverage of its own parts of fcbench."""
    files = (path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.py"))
    modules = [".".join(file.parts).removesuffix(".__init__") for file in files]
    beside = [m for m in modules if not f"{m}.".startswith(_prefixes(name))]
    with atheris.instrument_imports(include=["fcbench"], exclude=beside):
        from tests.fuzz import targets

        return targets.load(name)


def _prefixes(name: str) -> tuple[str, ...]:
    return tuple(f"{part}." for part in INSTRUMENTED[name])


def main() -> None:
    import atheris  # the extra `fuzz`, which the tests do without

    target = import_instrumented(atheris, sys.argv.pop(1))
    # Only now, because this imports fcbench.
    from tests.fuzz.findings import Findings

    findings = Findings(Path(sys.argv.pop(1)), target)
    atheris.Setup(sys.argv, findings.judge)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
