"""Where two sequences of tokens part."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fcbench.text import n_alike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.doctor._subject import Subject

BEFORE, AFTER = 4, 5


class Difference(NamedTuple):
    """The first place where two texts' tokens are not the same, and how many each has."""

    place: int
    trained: Sequence[int]
    asked: Sequence[int]


def first_difference(trained: Sequence[int], asked: Sequence[int]) -> Difference | None:
    """Return where two sequences of ids part, or None if they are the same."""
    if list(trained) == list(asked):
        return None
    return Difference(n_alike(trained, asked), trained, asked)


def drawn(subject: Subject, difference: Difference) -> str:
    """Return both texts around the place, one above the other, the token there in >> <<."""
    place = difference.place
    return "\n".join(
        f"  {name} {_around(subject, ids, place)}"
        for name, ids in (("trained:", difference.trained), ("asked:  ", difference.asked))
    )


def _around(subject: Subject, ids: Sequence[int], place: int) -> str:
    before = [subject.token(i) for i in ids[max(0, place - BEFORE) : place]]
    after = [subject.token(i) for i in ids[place + 1 : place + 1 + AFTER]]
    here = subject.token(ids[place]) if place < len(ids) else "(the end)"
    text = "".join([*before, f" >>{here}<< ", *after]).replace("\n", "\\n")
    return ("…" if place > BEFORE else "") + text + ("…" if place + 1 + AFTER < len(ids) else "")
