"""What a model has to write for some calls, and where the parts of it that make it calls stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from fcbench import prompts
from fcbench.doctor._subject import CHAT
from fcbench.types import Call, Case

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.doctor._subject import Subject

START, PREFIX, NAME, OPEN, QUOTE, NEXT, END, STOP = (
    "start",
    "prefix",
    "name",
    "open",
    "quote",
    "next",
    "end",
    "stop",
)
OPENING = "opening"
"""What makes a turn a call: the start with the prefix, where the format has one."""


class Span(NamedTuple):
    """Some characters of a target, and what part of a call they are."""

    part: str
    start: int
    end: int


def has_prefix(subject: Subject) -> bool:
    """Whether something stands between a call's start and its name that every call has.

    In JSON there are several right ways to go on after the start.
    """
    wire = subject.wire.WIRE
    text = str(subject.wire.render([Call("f")]))
    return bool(wire.prefix) and text.startswith(wire.start + wire.prefix)


def written(subject: Subject, calls: Sequence[Call], mode: str = CHAT) -> str:
    """Return the turn of some calls that training under a mode has, its stop token included.

    Under chat that is what the format writes.
    """
    case = Case("", [], [], [list(calls)])
    return prompts.targets([case], mode, subject.style)[0].text


def target_of(subject: Subject, calls: Sequence[Call], mode: str = CHAT) -> tuple[str, list[Span]]:
    """Return the turn of some calls under a mode, and the parts of it that make it one."""
    whole = written(subject, calls, mode)
    stop = _stop_of(subject, whole)
    text = whole[: len(whole) - len(stop)]
    wire = subject.wire.WIRE
    begun = len(wire.start) if text.startswith(wire.start) else 0
    names = [_name_of(subject, calls, i, mode, whole) for i in range(len(calls))]
    at, named = names[0]
    opened = next((i + 1 for i in range(named, len(text)) if text[i] in "{("), named)
    opening = at if has_prefix(subject) else begun or 1
    spans = [
        Span(START, 0, begun),
        Span(PREFIX, begun, at),
        *(Span(NAME, *place) for place in names),
        Span(OPEN, named, opened),
        *_controls(subject, text, [place for place, _ in names[1:]]),
        Span(STOP, len(text), len(whole)),
        Span(OPENING, 0, opening),
    ]
    return whole, [span for span in spans if span.end > span.start]


def _controls(subject: Subject, text: str, later: Sequence[int]) -> Iterator[Span]:
    """Yield every control token of a turn after its opening; `later` are names of later calls."""
    wire = subject.wire.WIRE
    if wire.quote in wire.controls:
        yield from _all_of(QUOTE, wire.quote, text)
    if wire.start in wire.controls:
        for place in later:
            begin = text.rindex(wire.start, 0, place)
            # What is between a tag and a name can be written in several ways.
            end = place if has_prefix(subject) else begin + len(wire.start)
            yield Span(NEXT, begin, end)
    if wire.end in wire.controls:
        yield from _all_of(END, wire.end, text)
    elif wire.end and text.endswith(wire.end):
        yield Span(END, len(text) - len(wire.end), len(text))


def _all_of(part: str, token: str, text: str) -> Iterator[Span]:
    at = text.find(token)
    while at >= 0:
        yield Span(part, at, at + len(token))
        at = text.find(token, at + len(token))


def _stop_of(subject: Subject, text: str) -> str:
    stops = (subject.wire.END_OF_CALLS, subject.wire.END_OF_WORDS)
    return next((stop for stop in stops if stop and text.endswith(stop)), "")


def _name_of(
    subject: Subject, calls: Sequence[Call], index: int, mode: str, text: str
) -> tuple[int, int]:
    """Return where the name of a call stands: where the turn changes with it, and nowhere else.

    Looking for the name itself would find it in the tokens around it, or in a string.
    """
    sentinel = "other"
    while sentinel in text:
        sentinel += "_name"
    renamed = [
        structs.replace(call, name=sentinel) if i == index else call for i, call in enumerate(calls)
    ]
    other = written(subject, renamed, mode)
    at = other.index(sentinel)
    return at, len(text) - (len(other) - at - len(sentinel))
