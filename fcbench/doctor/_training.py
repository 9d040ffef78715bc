"""Whether what the model was trained on is what it is asked with, and valid."""

from __future__ import annotations

import random
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench import prompts
from fcbench.doctor._difference import Difference, drawn, first_difference
from fcbench.doctor._finding import FINE, NOT_APPLICABLE, by_share, found
from fcbench.doctor._rendered import pair_of
from fcbench.doctor._subject import CHAT, counted, quoted
from fcbench.doctor._texts import check_texts, n_opening, tells_as_much
from fcbench.errors import FcbenchError
from fcbench.text import n_alike, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._rendered import Pair
    from fcbench.doctor._subject import Subject, Training
    from fcbench.types import Case, Json

CHECK = "training"
N_COMPARED, SHOWN = 12, 66
OUR_CONFIG = "config.toml"  # fcbench.train._fine_tune.CONFIG, which imports torch


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
        yield from findings
        if all(finding.kind == "targets_without_text" for finding in findings):
            yield found(CHECK, FINE, seen)


def _prompts(subject: Subject, training: Training) -> Iterator[Finding]:
    n = min(N_COMPARED, len(training.cases))
    some = random.Random(0).sample(list(training.cases), n)  # noqa: S311  a draw to repeat
    try:
        if training.mode != subject.prompt:
            yield from _modes(subject, training.mode, some)
        else:
            yield from _rows(subject, training, some)
    except FcbenchError as error:
        yield found(CHECK, "not_compared", f"assumed, not compared: {error.message}")


def _modes(subject: Subject, mode: str, cases: Sequence[Case]) -> Iterator[Finding]:
    """Yield where prompts under the mode of training differ from those under the mode in use."""
    differences = []
    for case in cases:
        trained, asked = (subject.encode(subject.ask(case, m)) for m in (mode, subject.prompt))
        if (difference := first_difference(trained, asked)) is not None:
            differences.append((case, difference))
    if not differences:
        return
    case, first = differences[0]
    seen = (
        f"{len(differences)} of {len(cases)} prompts: trained under {mode}, asked under "
        f"{subject.prompt}; {_where(subject, case, first)}"
    )
    yield found(
        CHECK,
        "training_prompt_differs",
        seen,
        means=f"it was trained under the {mode} prompt, and is asked under {subject.prompt}",
        do=_advice(mode, subject.prompt),
        n_different=len(differences),
        n_compared=len(cases),
        place=first.place,
        trained=mode,
    )


def _where(subject: Subject, case: Case, difference: Difference) -> str:
    return (
        f"case {case.id} parts at token {difference.place} of {len(difference.trained)} and "
        f"{len(difference.asked)}:\n{drawn(subject, difference)}"
    )


def _rows(subject: Subject, training: Training, cases: Sequence[Case]) -> Iterator[Finding]:
    """Yield where the template makes something else of the rows than what the model is asked."""
    if training.mode != CHAT or subject.loaded.template is None:
        seen = f"assumed, not compared: {training.mode} prompts are made by whoever trains"
        yield found(CHECK, "not_compared", seen)
        return
    if _is_our_trainer(subject):
        seen = "assumed, not compared: python -m fcbench train made the prompts that are in use"
        yield found(CHECK, "not_compared", seen)
        return
    compared = (pair_of(subject, case, training.rows.get(case.id)) for case in cases)
    pairs = [pair for pair in compared if pair is not None]
    if not pairs:
        seen = "assumed, not compared: no row holds messages that the template renders"
        yield found(CHECK, "not_compared", seen)
        return
    asked_else = [pair for pair in pairs if not pair.asks_the_same]
    answered_else = [pair for pair in pairs if pair.asks_the_same and not pair.is_same]
    if asked_else:
        yield _rows_differ(subject, "training_prompt_differs", asked_else, len(pairs))
    if answered_else:
        yield _rows_differ(subject, "training_answer_differs", answered_else, len(pairs))


def _is_our_trainer(subject: Subject) -> bool:
    """Whether the adapter or the model lies in a folder that `python -m fcbench train` wrote."""
    manifest = subject.loaded.manifest
    adapter = manifest.get("adapter")
    folder = Path(str(manifest["name"] if adapter is None else adapter["name"])).expanduser()
    try:
        config = tomllib.loads((folder / OUR_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return config.get("format_style") == CHAT


def _rows_differ(subject: Subject, kind: str, pairs: Sequence[Pair], n: int) -> Finding:
    first = pairs[0]
    asked = [*subject.encode(first.prompt), *subject.encode(first.answer)]
    trained = subject.encode(first.trained)
    place = n_alike(trained, asked)
    difference = Difference(place, trained, asked)
    seen = (
        f"{len(pairs)} of {n} rows, as the chat template renders them whole, are not what is asked "
        f"and answered; {_where(subject, first.case, difference)}"
    )
    words = {}
    if kind == "training_prompt_differs":
        words = {
            "means": "a trainer that gives these rows to the chat template trains on other prompts "
            "than are asked",
            "do": "put into the rows what the prompt in use has (the developer message, say); "
            "python -m fcbench train does so by itself",
        }
    measures: dict[str, Json] = {"n_different": len(pairs), "n_compared": n, "place": place}
    finding = found(CHECK, kind, seen, **words, **measures, trained=CHAT)
    n_other = sum(not _calls_for_calls(subject, pair) for pair in pairs)
    return by_share(finding, n_other, n)


def _calls_for_calls(subject: Subject, pair: Pair) -> bool:
    """Whether training shows what makes a model call: the first turn, the trigger and the tools.

    Tools of another shape, or a call's results, keep no model from calling.
    """
    n_same = n_alike(subject.encode(pair.trained), subject.encode(pair.prompt))
    opens = n_same >= n_opening(subject, pair.prompt)
    return opens and tells_as_much(subject, pair.trained, pair.prompt)


def _advice(trained: str, asked: str) -> str:
    """Return which of the two to change: the model's own template is the one to keep."""
    train = f"train on the {asked} prompt (--format-style {asked})"
    ask = f"ask as it was trained (--prompt {trained})"
    return f"{ask}; or {train}" if trained == CHAT else f"{train}; or {ask}"


def _targets(subject: Subject, training: Training) -> Iterator[Finding]:
    targets = prompts.targets(training.cases, training.mode, subject.style)
    faults = [target.fault for target in targets if target.fault is not None]
    without = Counter(f.kind for f in faults if f.kind in prompts.WITHOUT_TEXT)
    if without:
        seen = f"{without.total()} of {len(targets)} cases: {counted(without)}"
        yield found(CHECK, "targets_without_text", seen, kinds=dict(without), n=len(targets))
    kinds = Counter(f.kind for f in faults if f.kind not in prompts.WITHOUT_TEXT)
    if not kinds:
        return
    first = next(t for t in targets if t.fault is not None and t.fault.kind in kinds)
    n, n_faults = len(targets) - without.total(), kinds.total()
    seen = f"{n_faults} of {n} targets: {counted(kinds)}\n  {_example(first)}"
    finding = found(CHECK, "targets_malformed", seen, kinds=dict(kinds), n_faults=n_faults, n=n)
    yield by_share(finding, n_faults, n)


def _example(target: prompts.Target) -> str:
    fault = target.fault
    where = "" if fault is None or fault.offset is None else f"character {fault.offset} of "
    return where + quoted(shorten(target.text, SHOWN))
