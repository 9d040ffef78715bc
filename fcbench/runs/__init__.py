"""Plan, generate, log, score: from a model and a suite to a run, and from a run to scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from fcbench.runs._compare import Comparison, Flip, Side, compare, compare_all
from fcbench.runs._folder import RunFolder, make_folder
from fcbench.runs._generate import execute, versions
from fcbench.runs._plan import Options, Plan, plan
from fcbench.runs._read import read_run
from fcbench.runs._reason import outcome_of, reason
from fcbench.runs._score import score
from fcbench.runs._scores import Scores

if TYPE_CHECKING:
    from pathlib import Path

    from fcbench.suite import Suite
    from fcbench.types import DecodeMode, Run

__all__ = [
    "Comparison",
    "Flip",
    "Options",
    "Plan",
    "RunFolder",
    "Scores",
    "Side",
    "compare",
    "compare_all",
    "execute",
    "make_folder",
    "outcome_of",
    "plan",
    "read_run",
    "reason",
    "run",
    "score",
    "versions",
]


def run(  # noqa: PLR0913  the six that everybody uses; all others are Options
    model: str,
    suite: str | Path | Suite,
    prompt: str = "chat",
    adapter: str | None = None,
    decode: DecodeMode | None = None,
    results: str | Path | None = None,
    **options: Unpack[Options],
) -> Run:
    """Answer a suite's cases with a model and return the run: its manifest and samples.

    `model`, `suite` and `prompt` are named as on the command line: "gemma3-270m", a folder or hub
    name, "python:module:function"; "mobile_actions", a path, "hf:OWNER/NAME"; "chat", "raw",
    "bare", or "raw+3" for three examples. `decode` is "sample" where a temperature is given, else
    "greedy", unless it is named. Nothing is written unless `results` names a folder.
    All other options are fields of Options.

    A failure of the machinery is a sample with `error`, not an answer. Raises SuiteError,
    UsageError, ModelError, MissingExtra or RunError before the first sample where something
    cannot be used.
    """
    return execute(plan(model, suite, prompt, adapter, decode, results, **options))
