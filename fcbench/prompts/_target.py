"""What a model has to write under a prompt: the targets of training, and whether they are valid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench import registry
from fcbench.errors import FormatError
from fcbench.formats import parse
from fcbench.prompts._case_text import one_answer
from fcbench.types import Case, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.prompts._style import Style

NO_REPLY, INEXPRESSIBLE, ATTEMPT = "no_reply", "inexpressible", "attempts_call"
WITHOUT_TEXT = (NO_REPLY, INEXPRESSIBLE)
"""Faults of targets for which there is nothing to write."""


class Fault(Record, frozen=True):
    """Why a target teaches what fcbench would refuse.

    `kind` is a failure kind of the strict grammar; "no_reply" where a case expects no call and
    says no words, "inexpressible" where the format cannot write the calls, "attempts_call" where
    the words of a reply would be read as an attempt to call. `offset` counts characters.
    """

    kind: str
    hint: str
    offset: int | None = None


class Target(Record, frozen=True):
    """What the model is to write for a case, its end-of-turn token included."""

    case: Case
    text: str
    fault: Fault | None = None


def targets(cases: Sequence[Case], mode: str, style: Style) -> list[Target]:
    """Return what the model has to write for each case under a prompt mode, and what is wrong.

    A case's first acceptable answer is taken, or its reply where it expects no call. The turn ends
    with the token that the format ends it with; formats without one leave that to the caller.
    """
    return [_target(case, mode, style) for case in cases]


def _target(case: Case, mode: str, style: Style) -> Target:
    if not case.expects_call:
        return Target(case, case.reply + style.wire.END_OF_WORDS, _fault_of_reply(case, style))
    calls = one_answer(case)
    answer = getattr(registry.load("prompts", mode), "answer", None)
    try:
        if answer is None:
            text = style.wire.render(calls) + style.wire.END_OF_CALLS
        else:
            text = answer(calls, style)
    except FormatError as error:
        return Target(case, "", Fault(INEXPRESSIBLE, error.message))
    failure = parse(text, style.format, stop="token").failure
    if failure is None:
        return Target(case, text)
    return Target(case, text, Fault(failure.kind, failure.hint, failure.offset))


def _fault_of_reply(case: Case, style: Style) -> Fault | None:
    if not case.reply.strip():
        return Fault(NO_REPLY, "expects no call, and does not say which words are right")
    if parse(case.reply, style.format, stop="token").outcome != "abstained":
        return Fault(ATTEMPT, "the words of this reply would be read as an attempt to call")
    return None
