"""Plan, generate, log, score: from a model and a suite to a run, and from a run to scores.

A run is evidence: what was asked of which model, and what it answered, stored once in a folder.
Scores are made of it as often as wanted, without the model; so they are of outputs that were made
elsewhere. What a run would do, and in how much time, `preview` says without one.

    made = run("gemma3-270m", "mobile_actions", "chat", results="results", sample=50)
    scores = score(made)                  # or of its folder: score("results/NAME")
    compare(score("results/A"), scores)   # is it more than chance?

>>> text = "<start_function_call>call:show_map{query:<escape>Oslo<escape>}<end_function_call>"
>>> scores = score([{"id": "map", "text": text}], suite="original_experiment")
>>> [(scores.metrics[name].value, scores.metrics[name].n) for name in ("name_match", "argument_f1")]
[(1.0, 1), (0.0, 1)]
>>> reason(scores.verdicts[1])
"show_map.query: different: expected 'Coit Tower', called 'Oslo'"
>>> scores.outcomes  # what the turns were; for four cases of the suite no output was given
{'error': 4, 'calls': 1}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import msgspec

from fcbench.backends._given import backend_of
from fcbench.backends.python import is_known_again
from fcbench.errors import UsageError
from fcbench.executors import open_model
from fcbench.packages import versions
from fcbench.runs._command import command_of
from fcbench.runs._compare import Comparison, Flip, Side, compare, compare_all
from fcbench.runs._folder import RunFolder, make_folder
from fcbench.runs._forecast import Forecast
from fcbench.runs._generate import execute
from fcbench.runs._place import check_resume
from fcbench.runs._plan import DECODE_MODES, Options, Plan, plan
from fcbench.runs._preview import Preview, preview, tokens_of
from fcbench.runs._read import read_run
from fcbench.runs._reason import outcome_of, reason
from fcbench.runs._reproduce import (
    FieldDifference,
    Reproduction,
    SampleDifference,
    differences,
    plan_again,
)
from fcbench.runs._score import score, verdicts_of
from fcbench.runs._scores import Scores

if TYPE_CHECKING:
    from pathlib import Path

    from fcbench.suite import Suite
    from fcbench.types import Backend, DecodeMode, ModelFunction, Run

__all__ = [
    "DECODE_MODES",
    "Comparison",
    "FieldDifference",
    "Flip",
    "Forecast",
    "Options",
    "Plan",
    "Preview",
    "Reproduction",
    "RunFolder",
    "SampleDifference",
    "Scores",
    "Side",
    "check_resume",
    "command_of",
    "compare",
    "compare_all",
    "differences",
    "execute",
    "make_folder",
    "outcome_of",
    "plan",
    "plan_again",
    "preview",
    "read_run",
    "reason",
    "run",
    "score",
    "tokens_of",
    "verdicts_of",
    "versions",
]


def run(  # noqa: PLR0913  the six that everybody uses; all others are Options
    model: str | Backend | ModelFunction,
    suite: str | Path | Suite,
    prompt: str = "chat",
    adapter: str | None = None,
    decode: DecodeMode | None = None,
    results: str | Path | None = None,
    **options: Unpack[Options],
) -> Run:
    """Answer a suite's cases with a model and return the run: its manifest and samples.

    `model`, `suite` and `prompt` are named as on the command line: "gemma3-270m", a folder or hub
    name, "openai:URL#MODEL"; "mobile_actions", a path, "hf:OWNER/NAME"; "chat", "raw", "bare", or
    "raw+3" for three examples. A model may also be a function, that takes a list of prompts and
    returns as many texts or lists of Call, or an object that is a fcbench.types.Backend.

    `decode` is "sample" where a temperature is given, else "greedy", unless it is named. Nothing
    is written unless `results` names a folder.
    All other options are fields of Options.

    A failure of the machinery is a sample with `error`, not an answer. Raises SuiteError,
    UsageError, ModelError, MissingExtra or RunError before the first sample where something
    cannot be used.
    """
    name = model if isinstance(model, str) else ""
    made = plan(name, suite, prompt, adapter, decode, results, **options)
    if isinstance(model, str):
        return execute(made)
    backend = backend_of(model, made.model_options)
    if made.resume and not is_known_again(backend):
        raise UsageError(
            f"{backend.manifest['name']} cannot be known again: no way to tell that an earlier "
            "run's model is this one",
            hint="resume with a function at the top of a module, or with a Backend of your own",
        )
    computed = open_model(backend, made.model_options, made.where)
    return execute(msgspec.structs.replace(made, model=backend.manifest["name"]), computed)
