"""Whole training texts, written by hand: which prompt they resemble, and what their turns hold."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from fcbench.doctor._difference import drawn, first_difference
from fcbench.doctor._finding import FINE, found
from fcbench.doctor._subject import CHAT, listed, quoted
from fcbench.formats import parse
from fcbench.prompts._case_text import last_user_text
from fcbench.text import n_alike, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject
    from fcbench.types import Case

CHECK = "training"
MODES = (CHAT, "raw", "bare")
N_COMPARED, SHOWN = 12, 66


class Turn(NamedTuple):
    """A training text, cut where the model's last turn opens."""

    prompt: str
    answer: str


def check_texts(subject: Subject, texts: Sequence[str]) -> Iterator[Finding]:
    """Yield what whole training texts teach that the prompt in use and the grammar do not want."""
    opening = str(subject.wire.open_turn("assistant"))
    turns = [_turn(text, opening) for text in texts]
    whole = [turn for turn in turns if turn is not None]
    findings = []
    if len(whole) < len(turns):
        seen = f"{len(turns) - len(whole)} of {len(turns)} texts lack {quoted(opening)}"
        findings.append(found(CHECK, "text_without_turn", seen))
    findings += [*_prompts(subject, whole), *_answers(subject, whole), *_bos(subject, texts)]
    seen = f"{len(texts)} texts begin as {subject.prompt} prompts do, and hold valid calls"
    yield from findings or [found(CHECK, FINE, seen)]


def _turn(text: str, opening: str) -> Turn | None:
    before, opened, answer = text.rpartition(opening)
    return Turn(before + opened, answer) if opened else None


def _prompts(subject: Subject, turns: Sequence[Turn]) -> Iterator[Finding]:
    different, shown, nearest = 0, "", Counter[str]()
    compared = turns[:N_COMPARED]
    for turn in compared:
        case = _case_of(subject, turn)
        asked = {
            mode: subject.encode(subject.ask(case or subject.cases[0], mode)) for mode in MODES
        }
        asked.setdefault(
            subject.prompt, subject.encode(subject.ask(subject.cases[0], subject.prompt))
        )
        trained = _as_trained(subject, turn.prompt)
        alike = {mode: n_alike(trained, ids) for mode, ids in asked.items()}
        best = [mode for mode in alike if alike[mode] == max(alike.values())]
        nearest[" or ".join(best)] += 1
        difference = first_difference(trained, asked[subject.prompt])
        # Beside a case of other words, texts of the right kind part too, but later.
        if difference is None or (case is None and subject.prompt in best):
            continue
        different += 1
        counts = ", ".join(f"{mode} for {n}" for mode, n in alike.items())
        stand_in = "" if case is not None else ", beside a case of other words"
        shown = shown or (
            f"the first ({len(trained)} tokens) agrees with {counts} tokens{stand_in}:\n"
            f"{drawn(subject, difference)}"
        )
    if not different:
        return
    mode = nearest.most_common(1)[0][0]
    seen = f"{different} of {len(compared)} texts are no {subject.prompt} prompts; {shown}"
    yield found(
        CHECK,
        "training_prompt_differs",
        seen,
        means=f"it was trained on texts that are not the {subject.prompt} prompt"
        + (f" (nearest: {mode})" if mode != subject.prompt else ""),
        do="write the training texts with the chat template and tools, the way it is asked",
        n_different=different,
        n_compared=len(compared),
        trained=mode,
    )


def _as_trained(subject: Subject, prompt: str) -> list[int]:
    """Return a prompt's ids with one beginning of text, which trainers add where there is none."""
    bos = subject.loaded.bos
    return subject.encode(prompt if not bos or prompt.startswith(bos) else bos + prompt)


def _case_of(subject: Subject, turn: Turn) -> Case | None:
    """Return the case whose user's words are in a prompt, the longest such words."""
    held = [c for c in (*subject.cases, *subject.related) if last_user_text(c).strip()]
    fitting = [c for c in held if last_user_text(c).strip() in turn.prompt]
    return max(fitting, key=lambda c: len(last_user_text(c)), default=None)


def _answers(subject: Subject, turns: Sequence[Turn]) -> Iterator[Finding]:
    stops, wire = subject.wire.STOP_TOKENS, subject.wire.WIRE
    kinds, bare, unstopped, first = Counter[str](), [], 0, ""
    for turn in turns:
        failure = parse(turn.answer, subject.format, stop="token").failure
        if failure is not None:
            kinds[failure.kind] += 1
            first = first or f"character {failure.offset} of {quoted(shorten(turn.answer, SHOWN))}"
        begun = [part.lstrip() for part in turn.answer.split(wire.start)[1:]] if wire.start else []
        if wire.prefix and any(not part.startswith(wire.prefix) for part in begun):
            bare.append(turn.answer)
        unstopped += bool(stops) and not any(stop in turn.answer for stop in stops)
    n = len(turns)
    if bare:
        seen = f"{len(bare)} of {n} model turns lack {quoted(wire.prefix)}:\n"
        seen += f"  {quoted(shorten(bare[0], SHOWN))}"
        yield found(CHECK, "targets_without_prefix", seen, n_without=len(bare), n=n)
    if kinds:
        counted = listed([f"{kind} {k}" for kind, k in kinds.most_common()])
        seen = f"{kinds.total()} of {n} model turns: {counted}\n  {first}"
        yield found(CHECK, "targets_malformed", seen, kinds=dict(kinds), n=n)
    if unstopped:
        seen = f"{unstopped} of {n} model turns hold none of {listed(list(map(quoted, stops)))}"
        yield found(CHECK, "text_without_stop", seen, n_without=unstopped, n=n)


def _bos(subject: Subject, texts: Sequence[str]) -> Iterator[Finding]:
    bos = subject.loaded.bos
    doubled = sum(bool(bos) and text.startswith(bos) for text in texts)
    if doubled:
        yield found(
            CHECK, "text_doubles_bos", f"{doubled} of {len(texts)} texts begin with {quoted(bos)}"
        )
