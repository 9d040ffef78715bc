"""How likely the model finds the right calls, token by token, under every prompt mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fcbench.doctor._finding import FAILED, FINE, as_warning, found
from fcbench.doctor._likelihood import measured
from fcbench.doctor._subject import CHAT, quoted
from fcbench.doctor._target import (
    END,
    NAME,
    NEXT,
    OPEN,
    OPENING,
    PREFIX,
    QUOTE,
    START,
    STOP,
    has_prefix,
    target_of,
)
from fcbench.errors import FcbenchError
from fcbench.prompts._case_text import one_answer
from fcbench.types import Call

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._likelihood import Parts
    from fcbench.doctor._subject import Subject
    from fcbench.types import Json

CHECK = "knowledge"
KNOWN, UNKNOWN = 0.5, 0.1
"""Mean probabilities of a call's opening from which it is known, and below which it is not."""
MUCH_LESS = 0.5
"""The share of the best mode's probability below which the prompt in use is what differs."""
ENOUGH = 8
"""The cases from which a probability is taken for a cause."""


class Measures(NamedTuple):
    """The parts of calls by mode, none where a mode was not measured, and then why.

    `by_hand` names the modes under which calls are likelier as training by hand writes them than
    in the format.
    """

    parts: dict[str, Parts]
    why_not: dict[str, str]
    by_hand: list[str]


def check(subject: Subject) -> Iterator[Finding]:
    """Yield whether the model knows how a call is written, and under which prompts."""
    measures = _measure(subject)
    if measures.parts[subject.prompt]:
        yield from _judge(subject, measures)
        return
    seen = f"not measured under {subject.prompt}: {measures.why_not[subject.prompt]}"
    if any(measures.parts.values()):
        seen += f"; {_openings(measures.parts)}\n{_table(subject, measures)}"
    yield found(CHECK, FAILED, seen, **_kept(measures))


def _measure(subject: Subject) -> Measures:
    answers = [one_answer(case) for case in subject.cases]
    targets = [target_of(subject, calls) for calls in answers]
    parts: dict[str, Parts] = {}
    why_not: dict[str, str] = {}
    by_hand: list[str] = []
    for mode in subject.modes:
        try:
            asked = [subject.encode(subject.ask(case, mode)) for case in subject.cases]
        # One prompt that a template refuses says nothing of what is known under the others.
        except FcbenchError as error:
            parts[mode], why_not[mode] = {}, error.message
            continue
        parts[mode] = measured(subject, asked, targets)
        own = [target_of(subject, calls, mode) for calls in answers]
        if own != targets:
            as_trained = measured(subject, asked, own)
            if _opening(as_trained) > _opening(parts[mode]):
                parts[mode] = as_trained
                by_hand.append(mode)
        if not parts[mode]:
            why_not[mode] = "every prompt exceeds the model's context"
    return Measures(parts, why_not, by_hand)


def _judge(subject: Subject, measures: Measures) -> Iterator[Finding]:
    """Yield what the probabilities say, by rules over those of a call's opening."""
    parts, prompt = measures.parts, subject.prompt
    kind, mode = judged(parts, prompt, measures.by_hand, prefix=has_prefix(subject))
    seen = f"{_openings(parts)}{_instead(subject, parts[mode], mode)}"
    words = {"means": "", "do": ""}
    if kind == "prompt_mismatch":
        words = _mismatch(mode, prompt, by_hand=mode in measures.by_hand)
    seen += f"\n{_table(subject, measures)}"
    finding = found(CHECK, kind, seen, **words, **_kept(measures))
    n = parts[prompt][OPENING]["n"]
    yield finding if n >= ENOUGH else as_warning(finding)
    if kind == FINE and has_prefix(subject):
        yield from _unsure(subject, parts[prompt])


def _kept(measures: Measures) -> dict[str, Json]:
    """Return the numbers behind a finding."""
    return {
        "parts": measures.parts,
        "opening": {mode: _opening(parts) for mode, parts in measures.parts.items() if parts},
        "by_hand": measures.by_hand,
    }


def _opening(parts: Parts) -> float:
    return float(parts[OPENING]["mean_probability"]) if OPENING in parts else 0.0


def judged(
    measures: Mapping[str, Parts],
    prompt: str,
    by_hand: Collection[str] = (),
    *,
    prefix: bool = True,
) -> tuple[str, str]:
    """Return the kind of finding that the parts' probabilities amount to, and the mode it is of.

    `prefix` says whether every call of the format goes on in one way after its start.
    """
    opening = {mode: _opening(parts) for mode, parts in measures.items()}
    best = max(opening, key=lambda mode: opening[mode])
    if opening[prompt] >= KNOWN:
        return ("knows_by_hand" if prompt in by_hand else FINE), prompt
    if opening[best] >= KNOWN:
        is_other = opening[prompt] < MUCH_LESS * opening[best]
        return ("prompt_mismatch", best) if is_other else ("learned_weakly", prompt)
    if prefix:
        # What is seen under the prompt in use counts first, then what is seen under others.
        others = [mode for mode in measures if mode != prompt]
        for mode in (prompt, *(others if opening[prompt] < UNKNOWN else ())):
            kind = _broken_off(measures[mode], in_use=mode == prompt)
            if kind is not None:
                return kind, mode
    return ("never_learned" if opening[best] < UNKNOWN else "learned_weakly"), prompt


def _broken_off(parts: Parts, *, in_use: bool) -> str | None:
    """Return the kind of a call of whose opening one half is known and the other is not."""
    if START not in parts or PREFIX not in parts:
        return None
    start, rest = (parts[part]["mean_probability"] for part in (START, PREFIX))
    if start >= KNOWN and rest < UNKNOWN:
        return "skips_prefix"
    return "begins_no_call" if start < UNKNOWN and rest >= KNOWN and in_use else None


def _mismatch(best: str, prompt: str, *, by_hand: bool) -> dict[str, str]:
    """Return what it means that calls are known under another prompt, and what to do."""
    if by_hand:
        return {
            "means": f"it was trained otherwise than it is asked: it knows calls under the {best} "
            f"prompt, as training texts by hand write them, but not under {prompt}",
            "do": f"train on the {prompt} prompt (--format-style {prompt}): asking with --prompt "
            f"{best} gets calls that the strict grammar refuses",
        }
    return {
        "means": f"it knows calls under the {best} prompt, but not under {prompt}",
        "do": _how_to_ask(best, prompt),
    }


def _how_to_ask(best: str, prompt: str) -> str:
    if best == CHAT:
        return (
            "ask through the chat template: --prompt chat, or in your own code "
            "tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True)"
        )
    return f"ask as it was trained (--prompt {best}), or train it on the {prompt} prompt"


def _unsure(subject: Subject, used: Parts) -> Iterator[Finding]:
    """Yield a finding where a call goes on otherwise; in JSON that may be right as well."""
    later = (OPEN, QUOTE, NEXT, END, STOP)
    texts = _texts(subject)
    said = [
        f"P({texts[part]}) {used[part]['mean_probability']:.3f}"
        for part in later
        if part in used and used[part]["mean_probability"] < KNOWN
    ]
    if said:
        yield found(CHECK, "unsure_inside", ", ".join(said))


def _openings(measures: Mapping[str, Parts]) -> str:
    """Return the probability of a call's opening by mode, and over how many cases that is."""
    shown = {mode: parts for mode, parts in measures.items() if parts}
    counts = {parts[OPENING]["n"] for parts in shown.values()}
    n = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(*counts)
    numbers = ", ".join(f"{_opening(parts):.3f} under {mode}" for mode, parts in shown.items())
    return f"P(opening of a call), n = {n}: {numbers}"


def _instead(subject: Subject, parts: Parts, mode: str) -> str:
    """Return what the model would rather write where a call opens, under a mode."""
    texts = _texts(subject)
    others = [
        f"{quoted(str(parts[part]['instead']))} rather than {texts[part]}"
        for part in (START, PREFIX)
        if part in parts and parts[part]["instead"] is not None
        if parts[part]["share_first"] < KNOWN
    ]
    return f"; under {mode} it would write {', '.join(others)}" if others else ""


def _texts(subject: Subject) -> dict[str, str]:
    """Return what each part of a call is called, by an example of it, in the order of a turn."""
    calls = [Call("NAME", {"k": "v"})]
    text, spans = target_of(subject, calls)
    texts = {span.part: quoted(text[span.start : span.end]) for span in spans}
    del texts[OPENING]
    last = {part: texts.pop(part) for part in (END, STOP) if part in texts}
    more = {NEXT: "the next call"} if subject.wire.WIRE.start in subject.wire.WIRE.controls else {}
    return {**texts, NAME: "the name", **more, **last}


def _table(subject: Subject, measures: Measures) -> str:
    """Return the parts of a call as rows, the prompt modes as columns."""
    texts = {part: text.strip("`") for part, text in _texts(subject).items()}
    marks = {**dict.fromkeys(measures.by_hand, " (by hand)"), subject.prompt: " (in use)"}
    wide = max(map(len, texts.values()))
    lines = [
        "  mean probability, median rank, share of cases in which it comes first:",
        f"  {'':{wide}}" + "".join(f"  {mode + marks.get(mode, ''):18}" for mode in measures.parts),
    ]
    for part, text in texts.items():
        cells = (_cell(parts, part) for parts in measures.parts.values())
        lines.append(f"  {text:{wide}}" + "".join(f"  {cell:18}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def _cell(parts: Parts, part: str) -> str:
    if part not in parts:
        return "-"
    rank = f"#{parts[part]['median_rank']:.0f}"
    return f"{parts[part]['mean_probability']:.3f} {rank:>7} {parts[part]['share_first']:>4.0%}"
