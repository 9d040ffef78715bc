"""Whether the model's own stop tokens end a turn, and nothing earlier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.doctor._finding import FINE, NOT_APPLICABLE, as_warning, found
from fcbench.doctor._subject import CHAT, quoted
from fcbench.errors import FcbenchError
from fcbench.prompts._case_text import openai_tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject

CHECK = "stops"


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with the ids that generation_config and the tokenizer stop at."""
    ids, n_tokens = subject.loaded.eos_ids, len(subject.tokenizer)
    inside = [i for i in ids if i < n_tokens]
    configured = "configured: " + (", ".join(quoted(subject.token(i)) for i in inside) or "none")
    findings = [*_wrong(subject, inside, configured), *_missing(subject, ids, configured)]
    outside = [str(i) for i in ids if i >= n_tokens]
    if outside:
        seen = f"id {', '.join(outside)} of {n_tokens} tokens"
        findings.append(found(CHECK, "stop_outside", seen))
    yield from findings or [found(CHECK, FINE, configured)]


def _wrong(subject: Subject, ids: list[int], configured: str) -> Iterator[Finding]:
    end = subject.wire.WIRE.end
    if end and end != subject.wire.END_OF_CALLS and subject.single_id(end) in ids:
        yield found(CHECK, "stop_cuts_calls", f"{quoted(end)} is a stop token ({configured})")


def _missing(subject: Subject, ids: list[int], configured: str) -> Iterator[Finding]:
    calls, words = subject.wire.END_OF_CALLS, subject.wire.END_OF_WORDS
    if not calls and not ids:
        yield found(CHECK, "no_stop_of_calls", "the model has no stop token")
    # A token that there is none of is the tokenizer's fault, which its own check tells.
    if subject.single_id(calls) not in (None, *ids):
        seen = f"{quoted(calls)}, which ends a turn of calls, is none of them ({configured})"
        yield found(CHECK, "no_stop_of_calls", seen)
    if words != calls and subject.single_id(words) not in (None, *ids):
        seen = f"{quoted(words)}, which ends a turn of words, is none of them ({configured})"
        yield found(CHECK, "no_stop_of_words", seen)


def bos(subject: Subject) -> Iterator[Finding]:
    """Yield how many beginnings of text a prompt gets."""
    tokenizer, template = subject.tokenizer, subject.loaded.template
    if template is None or tokenizer.bos_token_id is None:
        what = "chat template" if template is None else "beginning-of-text token"
        yield found("bos", NOT_APPLICABLE, f"the tokenizer has no {what}")
        return
    case = subject.cases[0]
    try:
        prompt = template(subject.wire.prepare_messages(case.messages), openai_tools(case))
    except FcbenchError as error:
        yield found("bos", NOT_APPLICABLE, error.message)
        return
    mark = quoted(str(tokenizer.bos_token))
    written = _n_first(subject.encode(prompt), tokenizer.bos_token_id)
    added = _n_first(tokenizer.encode(prompt), tokenizer.bos_token_id) - written
    if written > 1:
        seen = f"the rendered prompt begins with {written} {mark}"
        doubled = found("bos", "two_bos_written", seen)
        yield doubled if subject.prompt == CHAT else as_warning(doubled)
    elif written and added:
        seen = f"the template writes {mark}, and tokenizer(prompt) adds another"
        yield found("bos", "bos_added", seen, n_written=written, n_added=added)
    elif added and not written:
        seen = f"the rendered prompt begins without {mark}"
        yield found("bos", "no_bos", seen)
    else:
        yield found("bos", FINE, f"a prompt begins with {written} {mark}")


def _n_first(ids: list[int], token_id: int) -> int:
    """Return how many times a token stands at the beginning."""
    return next((n for n, i in enumerate(ids) if i != token_id), len(ids))
