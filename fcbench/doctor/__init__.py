"""Why does this model emit no calls? Checks that each say what they saw, and a verdict over them.

A check is a function Subject -> findings; it says no more than it saw, and the verdict is made of
findings by rules alone. A check that raises has failed: it stops no other, and where checks failed
nothing is said to be well.
"""

from __future__ import annotations

import logging
import random
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from fcbench import registry
from fcbench.backends import ModelOptions
from fcbench.doctor import (
    _adapter,
    _knowledge,
    _numbers,
    _rows,
    _stops,
    _template,
    _tokens,
    _training,
    _writing,
)
from fcbench.doctor._data import read_training_data
from fcbench.doctor._finding import FAILED, KINDS, Finding, Severity, found
from fcbench.doctor._subject import Subject
from fcbench.doctor._verdict import Cause, doubts, settled, verdict
from fcbench.errors import FcbenchError, FormatError, ModelError, SuiteError, UsageError
from fcbench.formats import grammar_of, guess_format, module_of
from fcbench.prompts._case_text import one_answer
from fcbench.suite import Suite, load_suite
from fcbench.types import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fcbench.backends.transformers import Loaded
    from fcbench.types import Case

    Check = Callable[[Subject], Iterable[Finding]]

__all__ = ["CHECKS", "KINDS", "Cause", "Finding", "Options", "Report", "Severity", "examine"]

log = logging.getLogger("fcbench")
AUTO, FALLBACK = "auto", "functiongemma"

CHECKS: Mapping[str, Check] = {
    "tokens": _tokens.check,
    "rows": _rows.check,
    "numbers": _numbers.check,
    "adapter": _adapter.check,
    "template": _template.check,
    "trigger": _template.trigger,
    "bos": _stops.bos,
    "stops": _stops.check,
    "training": _training.check,
    "knowledge": _knowledge.check,
    "writing": _writing.check,
}
"""Name -> check, in the order in which they are made: what the later ones rest on comes first."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a model is examined.

    `suite` names the cases that it is asked; `n_cases` of those that expect calls are drawn with
    `seed`. `train_data` is what it was trained on: a training file, a suite's name, or JSON lines
    with a whole `text` each; `format_style` the prompt mode in which it was shown cases, by which
    alone a suite's own training file is taken. `format` may be "auto": what the chat template
    writes.
    """

    adapter: str | None = None
    suite: str | Path | Suite = "mobile_actions"
    train_data: str | Path | None = None
    format_style: Literal["chat", "raw", "bare"] | None = None
    format: str = AUTO
    prompt: str = "chat"
    dtype: str = "auto"
    n_cases: int = 12
    seed: int = 0


class Report(Record, frozen=True):
    """What was found in a model: every check's findings, and the causes, the likeliest first."""

    model: str
    adapter: str | None
    dtype: str
    format: str
    prompt: str
    suite: str
    case_ids: list[str]
    findings: list[Finding]
    causes: list[Cause]
    doubts: list[Finding]

    @property
    def has_fault(self) -> bool:
        """Whether any check found a fault."""
        return bool(self.causes)

    @property
    def failed(self) -> list[str]:
        """The names of the checks that could not be made, in order."""
        names = [f.check for f in self.findings if f.severity == "failed"]
        return list(dict.fromkeys(names))


def examine(
    model: str | Loaded,
    options: Options | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Return what is wrong with a model, by its name or as one that is loaded.

    `progress` is told the name of each check as it begins. Raises UsageError, SuiteError,
    ModelError or MissingExtra for what cannot be examined at all; whatever goes wrong later is a
    finding.
    """
    chosen = options or Options()
    suite = chosen.suite if isinstance(chosen.suite, Suite) else load_suite(chosen.suite)
    _check_options(chosen)
    training = read_training_data(chosen.train_data, chosen.format_style, suite)
    loaded, misfit = _load(model, chosen) if isinstance(model, str) else (model, None)
    format = _format_of(loaded, chosen.format)
    cases = _draw(suite, format, chosen)
    related = [*suite.cases, *(suite.training_cases() if suite.training else [])]
    subject = Subject(
        *(loaded, format, chosen.prompt, cases, training, related, misfit),
        max_new_tokens=suite.max_new_tokens,
    )
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        if progress is not None:
            progress(name)
        findings += _made(name, check, subject)
    findings = settled(findings)
    return Report(
        model=str(loaded.manifest.get("name", "")),
        adapter=chosen.adapter,
        dtype=str(loaded.manifest.get("dtype", "")),
        format=format,
        prompt=chosen.prompt,
        suite=suite.name,
        case_ids=[case.id for case in cases],
        findings=findings,
        causes=verdict(findings),
        doubts=doubts(findings),
    )


def _check_options(options: Options) -> None:
    if options.n_cases < 1:
        raise UsageError(f"at least one case is needed, got {options.n_cases}")
    registry.load("prompts", options.prompt)
    if options.format != AUTO:
        grammar_of(options.format)


def _load(name: str, options: Options) -> tuple[Loaded, str | None]:
    """Return the model, and why the adapter is not on it where it does not fit."""
    from fcbench.backends import transformers

    # A dtype that is known to overflow is a finding here, not a refusal.
    asked = ModelOptions(adapter=options.adapter, dtype=options.dtype, allow_float16=True)
    transformers.check_model(name, asked)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an adapter that does nothing is what a check looks for
        try:
            return transformers.load(name, asked), None
        except ModelError as error:
            if options.adapter is None:
                raise
            alone = msgspec.structs.replace(asked, adapter=None)
            return transformers.load(name, alone), error.message


def _format_of(loaded: Loaded, format: str) -> str:
    if format != AUTO:
        return format
    return (loaded.template and guess_format(loaded.template.source)) or FALLBACK


def _draw(suite: Suite, format: str, options: Options) -> list[Case]:
    """Return some cases that expect calls which the format can write, in drawn order."""
    fitting = [case for case in suite.cases if case.expected and case.expects_call]
    random.Random(options.seed).shuffle(fitting)  # noqa: S311  a draw to repeat, not a secret
    drawn: list[Case] = []
    for case in fitting:
        if len(drawn) == options.n_cases:
            break
        try:
            module_of(format).render(one_answer(case))
        except FormatError:
            continue
        drawn.append(case)
    if not drawn:
        raise SuiteError(f"suite {suite.name} has no case that expects a call in {format}")
    return drawn


def _made(name: str, check: Check, subject: Subject) -> list[Finding]:
    """Return what a check found; one that raises has failed, with the reason."""
    try:
        return list(check(subject))
    # The boundary to somebody's model, tokenizer and template: any of them may raise anything.
    except Exception as error:
        log.debug("the check %s", name, exc_info=True)
        said = error.message if isinstance(error, FcbenchError) else str(error)
        what = " ".join(said.split())[:300]
        return [found(name, FAILED, f"{type(error).__name__}: {what}")]
