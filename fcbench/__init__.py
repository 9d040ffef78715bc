"""Say whether a model's function calls work, and if not, exactly why.

>>> import fcbench
>>> fcbench.parse("<start_function_call>call:f{}<end_function_call>").outcome
'calls'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcbench.errors import FcbenchError
    from fcbench.formats import parse, render
    from fcbench.runs import Comparison, Scores, compare, run, score
    from fcbench.suite import Suite, load_suite
    from fcbench.types import Call, Case, Matching, Parse, Run, Sample, Tool, Verdict

# Resolved when first used (PEP 562), so that importing fcbench imports nothing heavy.
_HOMES = {
    "Call": "types",
    "Case": "types",
    "Comparison": "runs",
    "FcbenchError": "errors",
    "Matching": "types",
    "Parse": "types",
    "Run": "types",
    "Sample": "types",
    "Scores": "runs",
    "Suite": "suite",
    "Tool": "types",
    "Verdict": "types",
    "compare": "runs",
    "load_suite": "suite",
    "parse": "formats",
    "render": "formats",
    "run": "runs",
    "score": "runs",
}

__all__ = [
    "Call",
    "Case",
    "Comparison",
    "FcbenchError",
    "Matching",
    "Parse",
    "Run",
    "Sample",
    "Scores",
    "Suite",
    "Tool",
    "Verdict",
    "compare",
    "load_suite",
    "parse",
    "render",
    "run",
    "score",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'fcbench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"fcbench.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
