"""What the model writes when nothing stops it, and what each stop token would make of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from fcbench import prompts
from fcbench.doctor._finding import FINE, NOT_APPLICABLE, found
from fcbench.doctor._subject import quoted
from fcbench.formats import parse
from fcbench.text import shorten
from fcbench.types import Decoding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject
    from fcbench.types import Parse, Sample

CHECK = "writing"
N_CASES, NEW_TOKENS = 4, 64
SHOWN = 88


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with the turns that the model writes, stop tokens and all."""
    samples = _write(subject)
    answered = [sample for sample in samples if sample.error is None]
    if not answered:
        seen = samples[0].error if samples else "no case to answer"
        yield found(CHECK, NOT_APPLICABLE, str(seen))
        return
    parses = [
        _parse(subject, s.text, cut=_first(s.text, subject.wire.STOP_TOKENS)) for s in answered
    ]
    seen = _described(subject, answered, parses)
    n_calls = sum(p.outcome == "calls" for p in parses)
    counts = dict(Counter(_outcome(p) for p in parses))
    yield from _cuts(subject, answered, parses)
    if not n_calls:
        yield found(CHECK, "writes_no_calls", seen, outcomes=counts, n=len(parses))
    elif n_calls < len(parses):
        yield found(CHECK, "writes_some_calls", seen, outcomes=counts, n=len(parses))
    else:
        yield found(CHECK, FINE, seen, outcomes=counts, n=len(parses))
    yield from _runs_on(subject, answered)


def _write(subject: Subject) -> Sequence[Sample]:
    """Return what is written under the prompt in use, to the token limit."""
    from fcbench.backends import ModelOptions
    from fcbench.backends.transformers import TransformersBackend

    unstopped = msgspec.structs.replace(subject.loaded, eos_ids=[])
    backend = TransformersBackend(unstopped, ModelOptions())
    asked = prompts.requests(subject.cases[:N_CASES], subject.prompt, subject.style)
    return list(backend.answer(asked, Decoding(max_new_tokens=NEW_TOKENS, format=subject.format)))


def _first(text: str, stops: Sequence[str]) -> int | None:
    """Return where the first of some stop tokens begins."""
    return min((at for at in map(text.find, stops) if at >= 0), default=None)


def _parse(subject: Subject, text: str, cut: int | None) -> Parse:
    """Return what a turn is that ends at a place, or at the limit."""
    return parse(text[:cut], subject.format, stop="limit" if cut is None else "token")


def _outcome(parsed: Parse) -> str:
    return parsed.outcome if parsed.failure is None else parsed.failure.kind


def _described(subject: Subject, samples: Sequence[Sample], parses: Sequence[Parse]) -> str:
    counts = Counter(_outcome(p) for p in parses).most_common()
    stopped = sum(_first(s.text, subject.wire.STOP_TOKENS) is not None for s in samples)
    outcomes = ", ".join(f"{name} {n}" for name, n in counts)
    head = f"{len(samples)} turns of {NEW_TOKENS} tokens under {subject.prompt}: {outcomes}; "
    shown = [f"  {quoted(shorten(sample.text, SHOWN))}" for sample in samples[:2]]
    return "\n".join([f"{head}{stopped} of them hold a stop token", *shown])


def _cuts(
    subject: Subject, samples: Sequence[Sample], parses: Sequence[Parse]
) -> Iterator[Finding]:
    """Yield a finding where a stop of the model's own makes less of a turn of calls."""
    n_tokens = len(subject.tokenizer)
    own = [subject.token(i) for i in subject.loaded.eos_ids if i < n_tokens]
    shortened, first = 0, ""
    for sample, parsed in zip(samples, parses, strict=True):
        at = _first(sample.text, own)
        if parsed.outcome != "calls" or at is None:
            continue
        cut = _parse(subject, sample.text, at)
        if cut.calls == parsed.calls:
            continue
        shortened += 1
        stop = next(stop for stop in own if sample.text.startswith(stop, at))
        first = first or f"{quoted(stop)} at character {at} leaves {_outcome(cut)}"
    if shortened:
        n = sum(parsed.outcome == "calls" for parsed in parses)
        yield found(CHECK, "stop_cuts_writing", f"{shortened} of {n} turns of calls; {first}")


def _runs_on(subject: Subject, samples: Sequence[Sample]) -> Iterator[Finding]:
    """Yield a finding where whole calls are followed by something, and no stop token ends them."""
    end, stops = subject.wire.WIRE.end, subject.wire.STOP_TOKENS
    if not end or not stops:
        return
    after = []
    for sample in samples:
        head, ended, tail = sample.text.rpartition(end)
        is_call = parse(head + ended, subject.format, stop="token").outcome == "calls"
        if is_call and tail and _first(sample.text, stops) is None:
            after.append(tail)
    if after:
        seen = (
            f"{len(after)} of {len(samples)} turns go on after calls with {quoted(after[0][:40])}"
        )
        yield found(CHECK, "runs_on", seen, n=len(after))
