"""How likely the model finds the right calls, token by token, under every prompt mode."""

from __future__ import annotations

from collections import Counter
from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple

from fcbench.doctor._finding import FINE, NOT_APPLICABLE, found
from fcbench.doctor._forward import logits_at
from fcbench.doctor._subject import CHAT, quoted
from fcbench.errors import ModelError
from fcbench.prompts._case_text import one_answer
from fcbench.types import Call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject
    from fcbench.types import Json

    Part = Mapping[str, Json]
    Parts = Mapping[str, Part]

CHECK = "knowledge"
MODES = (CHAT, "raw", "bare")
KNOWN, UNKNOWN = 0.5, 0.1
"""Mean probabilities of a call's opening from which it is known, and below which it is not."""
START, PREFIX, NAME, OPEN, QUOTE, END, STOP = (
    "start",
    "prefix",
    "name",
    "open",
    "quote",
    "end",
    "stop",
)
OPENING = "opening"
"""The start and the prefix together: what makes a turn a call."""


class Span(NamedTuple):
    """Some characters of a target, and what part of a call they are."""

    part: str
    start: int
    end: int


class Seen(NamedTuple):
    """One part of one target: rank of its worst token, probability of all, what came first."""

    rank: int
    probability: float
    instead: str | None


def check(subject: Subject) -> Iterator[Finding]:
    """Yield whether the model knows how a call is written, and under which prompts."""
    targets = [(case, *target_of(subject, one_answer(case))) for case in subject.cases]
    measures: dict[str, Parts] = {}
    for mode in dict.fromkeys([subject.prompt, *MODES]):
        parts: dict[str, list[Seen]] = {}
        for case, text, spans in targets:
            seen = _ask(subject, subject.ask(case, mode), text, spans)
            for part, one in (seen or {}).items():
                parts.setdefault(part, []).append(one)
        measures[mode] = {part: _summary(parts[part]) for part in parts}
    if not measures[subject.prompt]:
        yield found(CHECK, NOT_APPLICABLE, "every prompt exceeds the model's context")
        return
    yield from _judge(subject, measures)


def target_of(subject: Subject, calls: Sequence[Call]) -> tuple[str, list[Span]]:
    """Return the turn of some calls in the format, and the parts of it that make it one."""
    wire = subject.wire.WIRE
    text = subject.wire.render(calls)
    begun = len(wire.start) if text.startswith(wire.start) else 0
    at = text.index(calls[0].name, begun)
    named = at + len(calls[0].name)
    opened = next((i + 1 for i in range(named, len(text)) if text[i] in "{("), named)
    spans = [
        Span(START, 0, begun),
        Span(PREFIX, begun, at),
        Span(NAME, at, named),
        Span(OPEN, named, opened),
    ]
    if wire.quote in wire.controls:
        quote = text.find(wire.quote, opened)
        spans += [Span(QUOTE, quote, quote + len(wire.quote))] if quote >= 0 else []
    if wire.end and text.endswith(wire.end):
        spans.append(Span(END, len(text) - len(wire.end), len(text)))
    stop = subject.wire.END_OF_CALLS
    spans.append(Span(STOP, len(text), len(text) + len(stop)))
    return text + stop, [span for span in spans if span.end > span.start]


def _ask(subject: Subject, prompt: str, text: str, spans: Sequence[Span]) -> dict[str, Seen] | None:
    """Return how a target's parts were expected after a prompt; None where it is too long."""
    import torch

    encoded = subject.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    target, offsets = encoded["input_ids"], encoded["offset_mapping"]
    asked = subject.encode(prompt)
    if len(asked) + len(target) > subject.loaded.context_length:
        return None
    first = len(asked) - 1  # the place whose logits are of the target's first token
    wanted = {
        i: span.part
        for i, (start, end) in enumerate(offsets)
        for span in spans
        # A token counts where it begins; what has no width belongs to a character before it.
        if span.start <= start < span.end and end > start
    }
    places = sorted(wanted)
    logits = logits_at(subject.loaded, [*asked, *target], [first + i for i in places])
    if not bool(logits.isfinite().all()):
        raise ModelError(f"the logits after a {len(asked)}-token prompt are not finite")
    chosen = torch.tensor([target[i] for i in places], device=logits.device)
    right = logits.gather(1, chosen[:, None])
    ranks = ((logits > right).sum(dim=1) + 1).tolist()
    probabilities = logits.softmax(dim=1).gather(1, chosen[:, None])[:, 0].tolist()
    likeliest = logits.argmax(dim=1).tolist()
    parts: dict[str, Seen] = {}
    for place, rank, probability, other in zip(
        places, ranks, probabilities, likeliest, strict=True
    ):
        one = Seen(rank, probability, None if rank == 1 else subject.token(other))
        names = [wanted[place]]
        names += [OPENING] if wanted[place] in (START, PREFIX) else []
        for name in names:
            parts[name] = _both(parts[name], one) if name in parts else one
    return parts


def _both(one: Seen, next_: Seen) -> Seen:
    return Seen(
        max(one.rank, next_.rank),
        one.probability * next_.probability,
        next_.instead if one.instead is None else one.instead,
    )


def _summary(seen: Sequence[Seen]) -> Part:
    """Return what a part's cases have in common; `instead` is what mostly came first."""
    others = Counter(one.instead for one in seen if one.instead is not None)
    return {
        "n": len(seen),
        "median_rank": median(one.rank for one in seen),
        "mean_probability": fmean(one.probability for one in seen),
        "share_first": fmean(one.rank == 1 for one in seen),
        "instead": others.most_common(1)[0][0] if others else None,
    }


def _judge(subject: Subject, measures: Mapping[str, Parts]) -> Iterator[Finding]:
    """Yield what the probabilities say, by rules over those of a call's opening."""
    used, prompt = measures[subject.prompt], subject.prompt
    kind, mode = judged(measures, prompt)
    opening = {m: parts[OPENING]["mean_probability"] for m, parts in measures.items() if parts}
    numbers = ", ".join(f"{p:.3f} under {m}" for m, p in opening.items())
    seen = f"P(opening of a call): {numbers}{_instead(subject, measures[mode], mode)}"
    words = {"means": "", "do": ""}
    if kind == "prompt_mismatch":
        words["means"] = f"it knows calls under the {mode} prompt, but not under {prompt}"
        words["do"] = _how_to_ask(mode, prompt)
    kept: dict[str, Json] = {"parts": measures, "opening": opening}
    yield found(CHECK, kind, f"{seen}\n{_table(subject, measures)}", **words, **kept)
    later = [p for p in (OPEN, QUOTE, END, STOP) if p in used]
    unsure = [p for p in later if used[p]["mean_probability"] < KNOWN]
    if kind == FINE and unsure:
        texts = _texts(subject)
        said = [f"P({texts[p]}) {used[p]['mean_probability']:.3f}" for p in unsure]
        yield found(CHECK, "unsure_inside", ", ".join(said))


def judged(measures: Mapping[str, Parts], prompt: str) -> tuple[str, str]:
    """Return the kind of finding that the parts' probabilities amount to, and the mode it is of."""

    def p(mode: str, part: str) -> float | None:
        return measures[mode][part]["mean_probability"] if part in measures[mode] else None

    opening = {mode: p(mode, OPENING) or 0.0 for mode in measures}
    best = max(opening, key=lambda mode: opening[mode])
    if opening[prompt] >= KNOWN:
        return FINE, prompt
    if opening[best] >= KNOWN:
        return "prompt_mismatch", best
    # What is seen under the prompt in use counts first, then what is seen under others.
    for mode in (prompt, *(m for m in measures if m != prompt)):
        start, rest = p(mode, START), p(mode, PREFIX)
        if start is None or rest is None:
            continue
        if start >= KNOWN and rest < UNKNOWN:
            return "skips_prefix", mode
        if start < UNKNOWN and rest >= KNOWN and mode == prompt:
            return "begins_no_call", mode
    return ("never_learned" if opening[best] < UNKNOWN else "learned_weakly"), prompt


def _how_to_ask(best: str, prompt: str) -> str:
    if best == CHAT:
        return (
            "ask through the chat template: --prompt chat, or in your own code "
            "tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True)"
        )
    return f"ask as it was trained (--prompt {best}), or train it on the {prompt} prompt"


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
    """Return what each part of a call is called, by an example of it."""
    text, spans = target_of(subject, [Call("NAME", {"k": "v"})])
    texts = {span.part: quoted(text[span.start : span.end]) for span in spans}
    return {**texts, NAME: "the name"}


def _table(subject: Subject, measures: Mapping[str, Parts]) -> str:
    """Return the parts of a call as rows, the prompt modes as columns."""
    texts = {part: text.strip("`") for part, text in _texts(subject).items()}
    in_use = {m: f"{m} (in use)" if m == subject.prompt else m for m in measures}
    wide = max(map(len, texts.values()))
    lines = [
        "  mean probability, median rank, share of cases in which it comes first:",
        f"  {'':{wide}}" + "".join(f"  {in_use[m]:18}" for m in measures),
    ]
    for part, text in texts.items():
        cells = (_cell(parts.get(part)) for parts in measures.values())
        lines.append(f"  {text:{wide}}" + "".join(f"  {cell:18}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def _cell(part: Part | None) -> str:
    if part is None:
        return "-"
    rank = f"#{part['median_rank']:.0f}"
    return f"{part['mean_probability']:.3f} {rank:>7} {part['share_first']:>4.0%}"
