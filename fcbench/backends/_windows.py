"""Many requests, a part at a time."""

from __future__ import annotations

from itertools import islice, takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fcbench.types import Request

WINDOW = 4096
"""Requests that a backend reads ahead which sorts them: few enough to be kept, and so many that it
hardly matters when the last of them are answered with less company."""


def windows(requests: Iterable[Request], n: int = WINDOW) -> Iterator[list[Request]]:
    """Yield the requests in lists of `n`, the last one shorter; nothing is read ahead of them."""
    left = iter(requests)
    while part := list(islice(left, n)):
        yield part


def until_closed(part: Iterable[Request], whole: Sequence[Request]) -> Iterator[Request]:
    """Yield requests that were read ahead, until somebody has ended the run of all of them."""
    return takewhile(lambda _: not is_closed(whole), part)


def is_closed(requests: Sequence[Request]) -> bool:
    """Whether somebody has ended the run of these requests: what was not begun is not begun.

    A backend asks that reads ahead; who reads a request as it is answered finds no more of them.
    """
    return bool(getattr(requests, "is_closed", False))
