"""Whether the format's control tokens are single entries of the vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.doctor._finding import FINE, NOT_APPLICABLE, found
from fcbench.doctor._subject import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject

CHECK = "tokens"


def needed_tokens(subject: Subject) -> list[str]:
    """Return the control tokens without which no prompt and no call is what the format means.

    Tags around JSON may be in pieces: many models were trained to write them so.
    """
    module, wire = subject.wire, subject.wire.WIRE
    turns = "".join(module.open_turn(role) for role in ("user", "assistant"))
    openers = wire.openers if _writes_tokens(subject) else ()
    stops = wire.stops if _writes_tokens(subject) else ()
    needed = [*openers, *stops, module.END_OF_CALLS, module.END_OF_WORDS]
    needed += [token for token in wire.controls if token in turns]
    return [token for token in dict.fromkeys(needed) if token]


def tags(subject: Subject) -> list[str]:
    """Return the tokens around calls that a model may write in pieces."""
    return [] if _writes_tokens(subject) else list(subject.wire.WIRE.openers)


def _writes_tokens(subject: Subject) -> bool:
    """Whether calls are made of control tokens inside too, as FunctionGemma's strings are."""
    wire = subject.wire.WIRE
    return wire.quote in wire.controls


def check(subject: Subject) -> Iterator[Finding]:
    """Yield the control tokens that are split, unknown, or decode to something else."""
    needed, loose = needed_tokens(subject), tags(subject)
    others = [t for t in subject.wire.WIRE.controls if t not in (*needed, *loose)]
    if not needed:
        yield found(CHECK, NOT_APPLICABLE, f"{subject.format} has no control tokens")
        return
    split, pieces, absent = (
        [f"{t} {why}" for t in tokens if (why := _why_not_single(subject, t))]
        for tokens in (needed, loose, others)
    )
    if split:
        seen = f"{len(split)} of {len(needed)} control tokens: {listed(split)}"
        yield found(CHECK, "split_control", seen, n_split=len(split), n_needed=len(needed))
    if pieces:
        yield found(CHECK, "split_tags", f"written in pieces: {listed(pieces)}")
    if absent:
        yield found(CHECK, "absent_control", listed(absent))
    if not split and not absent and not pieces:
        yield found(CHECK, FINE, _as_it_should_be(subject, [*needed, *loose, *others]))


def _as_it_should_be(subject: Subject, tokens: list[str]) -> str:
    seen = f"{len(tokens)} control tokens of {subject.format} are one id each"
    special = set(subject.tokenizer.all_special_ids)
    opener = subject.wire.WIRE.start or tokens[0]
    if subject.single_id(opener) in special:
        seen += "; they are special, so decode with skip_special_tokens=False or they vanish"
    return seen


def _why_not_single(subject: Subject, token: str) -> str | None:
    """Return what is wrong with a token, or None."""
    ids = subject.encode(token)
    if len(ids) != 1:
        return f"is {len(ids)} tokens"
    back = subject.token(ids[0])
    # A model's unknown token may itself be one of the format's, as SmolLM2's <|endoftext|> is.
    if back == token:
        return None
    if ids[0] == subject.tokenizer.unk_token_id:
        return "is unknown"
    return f"(id {ids[0]}) decodes to {back!r}"
