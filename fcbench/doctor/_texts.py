"""Whole training texts, written by hand: which prompt they resemble, and what their turns hold."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from fcbench.doctor._difference import Difference, drawn
from fcbench.doctor._finding import FINE, by_share, found
from fcbench.doctor._subject import listed, quoted
from fcbench.errors import FcbenchError
from fcbench.formats import parse
from fcbench.prompts._case_text import last_user_text
from fcbench.text import n_alike, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject
    from fcbench.types import Case

CHECK = "training"
N_COMPARED, SHOWN = 12, 66
NO_MODE = "another layout"
SPLIT = "\0"


class Turn(NamedTuple):
    """A training text, cut where the model's last turn opens."""

    prompt: str
    answer: str


class Likeness(NamedTuple):
    """How far a training prompt agrees with those that a case would get, mode by mode."""

    trained: list[int]
    asked: list[int]
    n_tokens: dict[str, int]
    nearest: list[str]
    case: Case | None
    is_same: bool


def check_texts(subject: Subject, texts: Sequence[str]) -> Iterator[Finding]:
    """Yield what whole training texts teach that the prompt in use and the grammar do not want."""
    opening = str(subject.wire.open_turn("assistant"))
    if not opening:
        seen = f"assumed, not compared: nothing opens a model's turn in {subject.format}"
        yield found(CHECK, "not_compared", seen)
        return
    turns = [_turn(text, opening) for text in texts]
    whole = [turn for turn in turns if turn is not None]
    findings = []
    n_without = len(turns) - len(whole)
    if n_without:
        seen = f"{n_without} of {len(turns)} texts lack {quoted(opening)}"
        finding = found(CHECK, "text_without_turn", seen, n_without=n_without)
        findings.append(by_share(finding, n_without, len(turns)))
    findings += [*_prompts(subject, whole), *_answers(subject, whole), *_bos(subject, texts)]
    seen = f"{len(texts)} texts begin as {subject.prompt} prompts do, and hold valid calls"
    yield from findings or [found(CHECK, FINE, seen)]


def _turn(text: str, opening: str) -> Turn | None:
    before, opened, answer = text.rpartition(opening)
    return Turn(before + opened, answer) if opened else None


def _prompts(subject: Subject, turns: Sequence[Turn]) -> Iterator[Finding]:
    try:
        compared = [_likeness(subject, turn) for turn in turns[:N_COMPARED]]
    except FcbenchError as error:  # the model's template refuses the prompt in use
        yield found(CHECK, "not_compared", f"assumed, not compared: {error.message}")
        return
    different = [one for one in compared if not one.is_same]
    if not different:
        return
    first = different[0]
    place = n_alike(first.trained, first.asked)
    counts = ", ".join(f"{mode} for {n}" for mode, n in first.n_tokens.items())
    stand_in = "" if first.case is not None else ", beside a case of other words"
    nearest = Counter(" or ".join(one.nearest) or NO_MODE for one in different)
    mode = nearest.most_common(1)[0][0]
    finding = found(
        CHECK,
        "training_prompt_differs",
        f"{len(different)} of {len(compared)} texts are no {subject.prompt} prompts; the first "
        f"({len(first.trained)} tokens) agrees with {counts} tokens{stand_in}:\n"
        f"{drawn(subject, Difference(place, first.trained, first.asked))}",
        means=f"it was trained on texts that are not the {subject.prompt} prompt"
        + (f" (nearest: {mode})" if mode != subject.prompt else ""),
        do="write the training texts with the chat template and tools, the way it is asked",
        n_different=len(different),
        n_compared=len(compared),
        trained=mode,
    )
    yield by_share(finding, len(different), len(compared))


def _likeness(subject: Subject, turn: Turn) -> Likeness:
    """Return which mode's prompt a training prompt is, by the case of its words or another."""
    case = _case_of(subject, turn)
    texts = _asked(subject, case or subject.cases[0])
    trained = _as_trained(subject, turn.prompt)
    ids = {mode: subject.encode(text) for mode, text in texts.items()}
    n_tokens = {mode: n_alike(trained, ids[mode]) for mode in ids}
    # All texts have a beginning and the mark of a turn in common, which tells nothing.
    best = max(n_tokens.values())
    nearest = [m for m in n_tokens if n_tokens[m] == best >= n_opening(subject, texts[m])]
    prompt = subject.prompt
    # As near to two modes, it is of the one whose tools and trigger it has.
    fitting = [mode for mode in nearest if tells_as_much(subject, turn.prompt, texts[mode])]
    is_same = trained == ids[prompt] or fitting == [prompt]
    return Likeness(trained, ids[prompt], n_tokens, nearest, case, is_same)


def _asked(subject: Subject, case: Case) -> dict[str, str]:
    """Return a case's prompts by mode; FcbenchError where the prompt in use is refused."""
    texts = {subject.prompt: subject.ask(case, subject.prompt)}
    for mode in subject.modes[1:]:
        with suppress(FcbenchError):
            texts[mode] = subject.ask(case, mode)
    return texts


def n_opening(subject: Subject, prompt: str) -> int:
    """Return the tokens of a prompt up to the words of its first turn."""
    bos, open_turn = subject.loaded.bos, subject.wire.open_turn
    openings = (bos + open_turn(role) for role in ("developer", "system", "user"))
    opening = next((text for text in openings if prompt.startswith(text)), bos)
    return max(1, len(subject.encode(opening)))


def tells_as_much(subject: Subject, trained: str, asked: str) -> bool:
    """Whether a training prompt has what makes the model call, where the prompt in use has it.

    The date, the tools and the words may be others.
    """
    marks = (subject.wire.TRIGGER, getattr(subject.wire.WIRE, "declaration", ""), '"parameters"')
    return all(mark in trained for mark in marks if mark and mark in asked)


def _as_trained(subject: Subject, prompt: str) -> list[int]:
    """Return a prompt's ids with one beginning of text, which trainers add where there is none."""
    bos = subject.loaded.bos
    return subject.encode(prompt if not bos or prompt.startswith(bos) else bos + prompt)


def _case_of(subject: Subject, turn: Turn) -> Case | None:
    """Return the case whose user's words are the last user turn of a prompt, or end it.

    Words by hand stand below the tools in one turn.
    """
    opening, closing = subject.wire.render_turn("user", SPLIT).split(SPLIT)
    said = turn.prompt.rpartition(opening)[2].partition(closing.strip() or closing)[0].strip()
    words = {
        text: case
        for case in (*subject.cases, *subject.related)
        if (text := last_user_text(case).strip())
    }
    fitting = [text for text in words if said == text or said.endswith("\n" + text)]
    return words[max(fitting, key=len)] if fitting else None


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
        finding = found(CHECK, "targets_without_prefix", seen, n_without=len(bare), n=n)
        yield by_share(finding, len(bare), n)
    if kinds:
        listed_kinds = listed([f"{kind} {k}" for kind, k in kinds.most_common()])
        seen = f"{kinds.total()} of {n} model turns: {listed_kinds}\n  {first}"
        finding = found(CHECK, "targets_malformed", seen, kinds=dict(kinds), n=n)
        yield by_share(finding, kinds.total(), n)
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
