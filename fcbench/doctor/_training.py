"""Whether what the model was trained on is what it is asked with, and valid."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from fcbench import prompts
from fcbench.doctor._difference import drawn, first_difference
from fcbench.doctor._finding import FINE, NOT_APPLICABLE, found
from fcbench.doctor._subject import CHAT, quoted
from fcbench.doctor._texts import check_texts
from fcbench.text import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject, Training

CHECK = "training"
N_COMPARED, SHOWN = 12, 66


def check(subject: Subject) -> Iterator[Finding]:
    """Yield where training prompts differ from those in use, and targets that are malformed."""
    training = subject.training
    if training is None:
        yield found(CHECK, NOT_APPLICABLE, "no training data was given (--train-data)")
    elif training.texts:
        yield from check_texts(subject, training.texts)
    else:
        findings = [*_prompts(subject, training), *_targets(subject, training)]
        n = len(training.cases)
        seen = (
            f"{n} cases under {training.mode}: the prompts in use, token for token, and valid calls"
        )
        yield from findings or [found(CHECK, FINE, seen)]


def _prompts(subject: Subject, training: Training) -> Iterator[Finding]:
    n = min(N_COMPARED, len(training.cases))
    some = random.Random(0).sample(list(training.cases), n)  # noqa: S311  a draw to repeat
    pairs = [
        (
            c,
            subject.encode(subject.ask(c, training.mode)),
            subject.encode(subject.ask(c, subject.prompt)),
        )
        for c in some
    ]
    different = [(case, d) for case, a, b in pairs if (d := first_difference(a, b)) is not None]
    if not different:
        return
    case, first = different[0]
    seen = (
        f"{len(different)} of {n} prompts: trained under {training.mode}, asked under "
        f"{subject.prompt}; case {case.id} parts at token {first.place} "
        f"of {len(first.trained)} and {len(first.asked)}:\n{drawn(subject, first)}"
    )
    yield found(
        CHECK,
        "training_prompt_differs",
        seen,
        means=f"it was trained under the {training.mode} prompt, and is asked under "
        f"{subject.prompt}",
        do=_advice(training.mode, subject.prompt),
        n_different=len(different),
        n_compared=n,
        place=first.place,
        trained=training.mode,
    )


def _advice(trained: str, asked: str) -> str:
    """Return which of the two to change: the model's own template is the one to keep."""
    train = f"train on the {asked} prompt (--format-style {asked})"
    ask = f"ask as it was trained (--prompt {trained})"
    return f"{ask}; or {train}" if trained == CHAT else f"{train}; or {ask}"


def _targets(subject: Subject, training: Training) -> Iterator[Finding]:
    targets = prompts.targets(training.cases, training.mode, subject.style)
    faults = [target for target in targets if target.fault is not None]
    if not faults:
        return
    kinds = Counter(t.fault.kind for t in faults if t.fault is not None)
    counted = ", ".join(f"{kind} {n}" for kind, n in kinds.most_common())
    seen = f"{len(faults)} of {len(targets)} targets: {counted}\n  {_example(faults[0])}"
    yield found(
        CHECK, "targets_malformed", seen, kinds=dict(kinds), n_faults=len(faults), n=len(targets)
    )


def _example(target: prompts.Target) -> str:
    fault = target.fault
    where = "" if fault is None or fault.offset is None else f"character {fault.offset} of "
    return where + quoted(shorten(target.text, SHOWN))
