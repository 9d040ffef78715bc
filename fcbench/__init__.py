"""Say whether a model's function calls work, and if not, exactly why.

A turn is what a model writes. A strict grammar says whether it holds calls, and where it fails:

>>> import fcbench
>>> wrong = "<start_function_call>call:show_map{query: <escape>Oslo<escape>}<end_function_call>"
>>> failure = fcbench.parse(wrong).failure
>>> failure.kind, failure.offset, failure.expected, failure.found
('stray_whitespace', 41, 'a value', ' ')
>>> fcbench.parse(fcbench.render([fcbench.Call("show_map", {"query": "Oslo"})])).calls
[Call(name='show_map', arguments={'query': 'Oslo'})]

A suite is cases: messages, tools, and every answer that is right. It is one that comes with fcbench
(`python -m fcbench suites`), or a file of your own, see `pydoc fcbench.suite`:

>>> suite = fcbench.load_suite("original_experiment")
>>> case = suite.cases[1]
>>> case.messages[-1]["content"], len(case.tools)
('Show me Coit Tower on the map.', 7)
>>> case.expected
[[Call(name='show_map', arguments={'query': 'Coit Tower'})]]

A run asks a model each case and keeps what it says. The model has a name, as on the command line
("google/functiongemma-270m-it", "gguf:FILE", "openai:URL#MODEL"), or is a function of yours, or an
object that is a `fcbench.types.Backend`. With `results="results"` the run is kept in a folder:

>>> def answer(prompts):
...     return [[fcbench.Call("show_map", {"query": "Coit Tower"})] for _ in prompts]
>>> run = fcbench.run(answer, suite, prompt="chat")

Scores are made of a run, or of outputs from elsewhere: {"map": "…", …}. Each number has its 95 %
interval and its n; a failure of the machinery is in none of them:

>>> scores = fcbench.score(run)
>>> found = scores.metrics["argument_exact_match"]
>>> f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}] of {found.n}, {scores.n_errors} errors"
'0.20 [0.04, 0.62] of 5, 0 errors'
>>> print(scores.to_pandas()[["case_id", "reason"]][:2].to_string(index=False, header=False))
flashlight-and-event expected turn_on_flashlight, called show_map
                 map                                         None

`to_pandas(by="argument")` has a row an argument, `to_datasets()` the same for datasets. Two runs
over the same cases are compared case by case, and the p value says what chance does:

>>> right = {case.id: fcbench.render(case.expected[0]) for case in suite.cases}
>>> better = fcbench.score(right, suite)
>>> comparison = fcbench.compare(scores, better)
>>> comparison.difference.value, comparison.p_value, [flip.case_id for flip in comparison.flips][:2]
(0.8, 0.125, ['flashlight-and-event', 'email'])

A metric of your own is a function of a verdict, see `pydoc fcbench.metrics`:

>>> def one_call(verdict):
...     return float(len(verdict.parse.calls) == 1)
>>> fcbench.score(run, metrics=[one_call]).metrics["one_call"].value
1.0

A gate in a test takes the lower bound, see `pydoc fcbench.pytest_plugin`:

>>> better.assert_at_least(argument_exact_match=0.5)
>>> better.assert_at_least(argument_exact_match=0.9)  # doctest: +ELLIPSIS
Traceback (most recent call last):
AssertionError: argument_exact_match 100.0% [56.6%, 100.0%] of 5 is not at least 0.9 ...

What is wrong with a name, a file or an option is an FcbenchError, whose hint says what to do.
Further: `fcbench.types` (every record), `fcbench.runs`, `fcbench.train`, `fcbench.doctor` (why does
it emit no calls?), `fcbench.drift`, `fcbench.lint`, and `python -m fcbench --help`.
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
