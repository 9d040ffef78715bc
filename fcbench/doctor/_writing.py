"""What the model writes when nothing stops it, and what each stop token would make of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from fcbench import prompts
from fcbench.doctor._finding import FAILED, FINE, found
from fcbench.doctor._subject import quoted
from fcbench.doctor._target import written
from fcbench.formats import dialect_of, parse, until_stop
from fcbench.prompts._case_text import one_answer
from fcbench.text import shorten
from fcbench.types import Decoding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject
    from fcbench.types import Parse, Sample

CHECK = "writing"
N_CASES = 4
LEAST, MARGIN = 64, 48
"""Tokens that are written at least, and that an answer may take beyond the longest right one."""
CUT = "truncated"
SHOWN = 88


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with the turns that the model writes, stop tokens and all."""
    samples = _write(subject)
    answered = [sample for sample in samples if sample.error is None]
    errors = [str(sample.error) for sample in samples if sample.error is not None]
    if errors:
        yield found(CHECK, FAILED, f"{len(errors)} of {len(samples)} turns: {errors[0]}")
    if not answered:
        return
    # The limit counts only where no stop token came before it.
    parses = [parse(sample.text, subject.format, stop="limit") for sample in answered]
    yield from _other_format(subject, answered, parses)
    yield from _cuts(subject, answered, parses)
    yield _judged(_described(subject, answered, parses), parses)
    yield from _runs_on(subject, answered)


def _judged(seen: str, parses: Sequence[Parse]) -> Finding:
    """Return whether the turns are calls; one that the limit cut is neither right nor wrong."""
    outcomes = [_outcome(parsed) for parsed in parses]
    n_cut, n_calls = outcomes.count(CUT), outcomes.count("calls")
    n = len(outcomes) - n_cut
    if not n:
        kind = "cut_by_limit"
    elif not n_calls:
        kind = "writes_no_calls"
    else:
        kind = FINE if n_calls == n else "writes_some_calls"
    return found(CHECK, kind, seen, outcomes=dict(Counter(outcomes)), n=n, n_cut=n_cut)


def _write(subject: Subject) -> Sequence[Sample]:
    """Return what is written under the prompt in use, to the token limit."""
    from fcbench.backends import ModelOptions
    from fcbench.backends.transformers import TransformersBackend

    unstopped = msgspec.structs.replace(subject.loaded, eos_ids=[])
    backend = TransformersBackend(unstopped, ModelOptions())
    asked = prompts.requests(subject.cases[:N_CASES], subject.prompt, subject.style)
    decoding = Decoding(max_new_tokens=_limit(subject), format=subject.format)
    return list(backend.answer(asked, decoding))


def _limit(subject: Subject) -> int:
    """Return the tokens that the longest right answer takes and some more, within the suite's."""
    targets = (written(subject, one_answer(case)) for case in subject.cases[:N_CASES])
    longest = max(len(subject.encode(text)) for text in targets)
    return min(max(longest + MARGIN, LEAST), subject.max_new_tokens)


def _outcome(parsed: Parse) -> str:
    return parsed.outcome if parsed.failure is None else parsed.failure.kind


def _described(subject: Subject, samples: Sequence[Sample], parses: Sequence[Parse]) -> str:
    counts = Counter(_outcome(p) for p in parses).most_common()
    stops = subject.wire.STOP_TOKENS
    stopped = sum(until_stop(stops, s.text) != s.text for s in samples)
    outcomes = ", ".join(f"{name} {n}" for name, n in counts)
    head = f"{len(samples)} turns of {_limit(subject)} tokens under {subject.prompt}: {outcomes}; "
    shown = [f"  {quoted(shorten(sample.text, SHOWN))}" for sample in samples[:2]]
    return "\n".join([f"{head}{stopped} of them hold a stop token", *shown])


def _other_format(
    subject: Subject, samples: Sequence[Sample], parses: Sequence[Parse]
) -> Iterator[Finding]:
    """Yield a finding where more turns are calls in another format than in the one judged by."""
    foreign = Counter(
        str(dialect_of(until_stop(subject.wire.STOP_TOKENS, sample.text), subject.format))
        for sample, parsed in zip(samples, parses, strict=True)
        if _outcome(parsed) == "wrong_dialect"
    )
    if foreign.total() > sum(parsed.outcome == "calls" for parsed in parses):
        (other, n), *_ = foreign.most_common()
        yield found(
            CHECK,
            "other_format",
            f"{n} of {len(parses)} turns are calls in {other}; they are judged as {subject.format}",
            means=f"it writes calls in {other}, and is judged by another format",
            do=f"--format {other}, or train it on calls in {subject.format}",
            other=other,
        )


def _cuts(
    subject: Subject, samples: Sequence[Sample], parses: Sequence[Parse]
) -> Iterator[Finding]:
    """Yield a finding where a stop of the model's own makes less of a turn of calls."""
    n_tokens = len(subject.tokenizer)
    own = [subject.token(i) for i in subject.loaded.eos_ids if i < n_tokens]
    shortened, first = 0, ""
    for sample, parsed in zip(samples, parses, strict=True):
        head = until_stop(own, sample.text)
        if parsed.outcome != "calls" or head == sample.text:
            continue
        cut = parse(head, subject.format, stop="token")
        if cut.calls == parsed.calls:
            continue
        shortened += 1
        stop = next(stop for stop in own if sample.text.startswith(stop, len(head)))
        first = first or f"{quoted(stop)} at character {len(head)} leaves {_outcome(cut)}"
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
        if is_call and tail and until_stop(stops, sample.text) == sample.text:
            after.append(tail)
    if after:
        seen = (
            f"{len(after)} of {len(samples)} turns go on after calls with {quoted(after[0][:40])}"
        )
        yield found(CHECK, "runs_on", seen, n=len(after))
