"""Where a generator's decisions come from: a seed, or the bytes that a fuzzer mutates."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


class Choices(Protocol):
    """A source of decisions."""

    def below(self, n: int) -> int:
        """Return one of 0 … n - 1; n is at most 65536."""

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""

    def once_in(self, n: int) -> bool:
        """Whether what happens once in n times happens now."""

    def text(self) -> str:
        """Return text as the source has it, of any characters."""


class _Choices:
    def below(self, n: int) -> int:
        raise NotImplementedError

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def once_in(self, n: int) -> bool:
        # The last number, so that a source that has run dry (all zeros) decides no, and every
        # loop that asks "once more?" ends.
        return self.below(n) == n - 1


# Plain letters, what str.isspace and RFC 8259 call whitespace differently, digits that are not
# [0-9], what JSON may not hold raw, characters of two to four bytes, a lone surrogate of each half.
CHARACTERS = (
    "ab f1 0-.eE+:,{}[]()<>\"'`|/\\_$"
    "\n\r\t\x0b\x0c\x1c\x1f\x85\xa0\u1680\u2003\u2028\u3000\ufeff\u200b"
    "\x00\x7fé\u0661\uff11\u202e漢😀\ud83d\ude00"
)


class Seeded(_Choices):
    """Decisions of a seeded random generator; the same seed decides the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, n: int) -> int:
        # Four times as fast as randrange, and the bias of 2**-53 decides nothing here.
        return int(self._random() * n)

    def text(self) -> str:
        return "".join(self.pick(CHARACTERS) for _ in range(self.below(40)))


class FromBytes(_Choices):
    """Decisions read from bytes, so that a fuzzer that changes a byte changes one decision."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, n: int) -> int:
        width = 1 if n <= 256 else 2
        taken = self._data[self._at : self._at + width]
        self._at += width
        return int.from_bytes(taken, "big") % n

    def text(self) -> str:
        """Return all bytes that are left, as text: what a fuzzer's own mutations work on best."""
        taken = self._data[self._at :]
        self._at = len(self._data)
        try:
            return taken.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return taken.decode("latin-1")
