"""New values from known ones: what a model can only copy, because it never comes again.

A value keeps its shape (capitals, quotes, braces, scripts) and gets other words: ones of the same
script from the other values, or two halves of them joined, as a name that nobody has heard of.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

REPLACED, JOINED = 0.7, 0.5  # shares of the words that are others, and of those made of two halves
SHORTEST = 3  # letters: shorter words hold a sentence together


def parts_of(text: str) -> list[str]:
    """Return a text in runs of letters with their marks, and what is between."""
    return ["".join(run) for _, run in itertools.groupby(text, is_of_word)]


def words_in(text: str) -> list[str]:
    """Return the runs of letters and their marks."""
    return [part for part in parts_of(text) if is_of_word(part[0])]


def is_of_word(character: str) -> bool:
    """Return whether it is a letter, or a mark on one."""
    return unicodedata.category(character)[0] in "LM"


@functools.cache
def script_of(word: str) -> str:
    """Return the script of a word's first letter, as Unicode names it."""
    return unicodedata.name(word[0], "").partition(" ")[0]


class Variety:
    """Draws other words in the place of known ones."""

    def __init__(self, rng: random.Random, values: Iterable[str]) -> None:
        """Take the words of all values."""
        self.rng = rng
        found: dict[tuple[str, bool], set[str]] = {}
        for value in values:
            for word in words_in(value):
                if len(word) >= SHORTEST:
                    found.setdefault((script_of(word), word[0].isupper()), set()).add(word)
        self.words = {kind: sorted(words) for kind, words in found.items()}

    def value(self, value: str) -> str:
        """Return a value of the same shape."""
        drawn = {
            word: self.word(word)
            for word in dict.fromkeys(words_in(value))
            if len(word) >= SHORTEST and self.rng.random() < REPLACED
        }
        return "".join(drawn.get(part, part) for part in parts_of(value))

    def word(self, word: str) -> str:
        """Return another word of the same script that is a capital or not as this one is."""
        others = self.words.get((script_of(word), word[0].isupper()), [word])
        drawn = self.rng.choice(others)
        if self.rng.random() < JOINED:
            first, second = halves(drawn)[0], halves(self.rng.choice(others))[1]
            drawn = first + second
        return drawn


def halves(word: str) -> tuple[str, str]:
    """Return a word in two, the second half small; no letter is parted from its marks."""
    middle = (len(word) + 1) // 2
    while middle < len(word) and unicodedata.category(word[middle])[0] == "M":
        middle += 1
    return word[:middle], word[middle:].lower()
