"""Regular expressions as trees: bounded, stepped through one character at a time, and completed.

A grammar's terminals are read from their patterns, their open repeats are bounded, and the same
tree is then written in llguidance's syntax and walked here by Brzozowski's derivatives, so that
both sides of the decoding constraint have one language.

Source: Brzozowski, Derivatives of Regular Expressions, JACM 11 (1964). Complement and intersection
come for free with derivatives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from re import _constants as sre  # no public name gives the tree
from re import _parser
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LAST = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)  # no UTF-8 text holds these
ASCII = 128
REMEMBERED = 1 << 16  # derivatives kept


@dataclass(frozen=True, eq=False, slots=True)
class Chars:
    """One character of these inclusive ranges of code points."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Then:
    """One tree, then another."""

    head: Tree
    tail: Tree


@dataclass(frozen=True, eq=False, slots=True)
class Either:
    """One of several trees."""

    options: tuple[Tree, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Repeat:
    """A tree `least` to `most` times; a `most` of None is no bound."""

    item: Tree
    least: int
    most: int | None


@dataclass(frozen=True, eq=False, slots=True)
class Without:
    """What a tree matches and another one does not."""

    tree: Tree
    excluded: Tree


@dataclass(frozen=True, eq=False, slots=True)
class Empty:
    """The empty text."""


Tree = Chars | Then | Either | Repeat | Without | Empty

EMPTY = Empty()
NOTHING = Either(())


@lru_cache(REMEMBERED)
def _made(kind: Any, *parts: Any) -> Any:
    """Return the one tree of these parts: trees are compared and hashed by identity, at once."""
    return kind(*parts)


# Building


def chars(ranges: Iterable[tuple[int, int]]) -> Tree:
    """Return one character of these ranges."""
    found = tuple(ranges)
    return _made(Chars, found) if found else NOTHING


def sequence(*trees: Tree) -> Tree:
    """Return trees one after the other."""
    built: Tree = EMPTY
    for tree in reversed(trees):
        if tree is NOTHING or built is NOTHING:
            return NOTHING
        built = built if tree is EMPTY else tree if built is EMPTY else _made(Then, tree, built)
    return built


def either(options: Iterable[Tree]) -> Tree:
    """Return the choice between trees."""
    flat: dict[Tree, None] = {}
    for option in options:
        flat |= dict.fromkeys(option.options if isinstance(option, Either) else (option,))
    if not flat:
        return NOTHING
    return next(iter(flat)) if len(flat) == 1 else _made(Either, tuple(flat))


def repeat(item: Tree, least: int, most: int | None) -> Tree:
    """Return a tree `least` to `most` times."""
    if most == 0 or item is EMPTY:
        return EMPTY
    return item if least == most == 1 else _made(Repeat, item, least, most)


ANY = chars(((0, SURROGATES[0] - 1), (SURROGATES[1] + 1, LAST)))
ANYTHING = repeat(ANY, 0, None)


def literal(text: str) -> Tree:
    """Return the tree of one text."""
    return sequence(*(chars(((ord(c), ord(c)),)) for c in text))


def containing(options: Iterable[Tree]) -> Tree:
    """Return texts that hold one of the options."""
    return sequence(ANYTHING, either(options), ANYTHING)


def without(tree: Tree, excluded: Tree) -> Tree:
    """Return what a tree matches and another does not."""
    if isinstance(tree, Chars) and isinstance(excluded, Chars):
        kept = set(_complement([*_complement(tree.ranges), *excluded.ranges]))
        return chars(sorted(kept))
    return tree if excluded is NOTHING else _made(Without, tree, excluded)


def bounded(pattern: str, bounds: Sequence[int | None]) -> Tree:
    """Return the tree of a terminal's pattern, its open repeats bounded.

    `bounds` are the most repetitions of each open repeat, outermost and leftmost first, None for
    any number; those that are not named get 0, or what they need at least. Lookaheads are left
    out: what they exclude has to be excluded by the caller. Word and digit classes are ASCII's.
    """
    remaining = iter(bounds)
    return _read(_parser.parse(pattern), remaining)


def _read(items: Any, bounds: Iterator[int | None]) -> Tree:
    return sequence(*(_node(code, value, bounds) for code, value in items))


def _node(code: Any, value: Any, bounds: Iterator[int | None]) -> Tree:
    if code is sre.LITERAL:
        return chars(((value, value),))
    if code is sre.NOT_LITERAL:
        return chars(_complement([(value, value)]))
    if code is sre.ANY:
        return chars(_complement([(ord("\n"), ord("\n"))]))
    if code is sre.IN:
        return chars(_ranges(value))
    if code is sre.BRANCH:
        return either([_read(option, bounds) for option in value[1]])
    if code is sre.SUBPATTERN:
        return _read(value[3], bounds)
    if code in (sre.MAX_REPEAT, sre.POSSESSIVE_REPEAT, sre.MIN_REPEAT):
        least, most, item = value
        if most is sre.MAXREPEAT:
            bound = next(bounds, 0)
            most = None if bound is None else max(least, bound)
        return repeat(_read(item, bounds), least, most)
    if code in (sre.ASSERT, sre.ASSERT_NOT, sre.AT):
        return EMPTY
    raise ValueError(f"the constraint knows no {code} in a terminal")


def _ranges(items: Sequence[tuple[Any, Any]]) -> tuple[tuple[int, int], ...]:
    """Return the code points of a character class."""
    negated = items[0][0] is sre.NEGATE
    ranges: list[tuple[int, int]] = []
    only_ascii = False
    for code, value in items[negated:]:
        if code is sre.LITERAL:
            ranges.append((value, value))
        elif code is sre.RANGE:
            ranges.append(value)
        else:
            only_ascii |= value not in (sre.CATEGORY_SPACE, sre.CATEGORY_NOT_SPACE)
            ranges += _category(value)
    found = _complement(ranges) if negated else tuple(sorted(ranges))
    if only_ascii:
        found = tuple((low, min(high, ASCII - 1)) for low, high in found if low < ASCII)
    return found


@cache
def _category(category: Any) -> list[tuple[int, int]]:
    sign = {
        sre.CATEGORY_SPACE: r"\s",
        sre.CATEGORY_NOT_SPACE: r"\S",
        sre.CATEGORY_DIGIT: r"\d",
        sre.CATEGORY_NOT_DIGIT: r"\D",
        sre.CATEGORY_WORD: r"\w",
        sre.CATEGORY_NOT_WORD: r"\W",
    }[category]
    whole = "".join(map(chr, range(LAST + 1)))
    return [(found.start(), found.end() - 1) for found in re.finditer(f"{sign}+", whole)]


def _complement(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    free, low = [], 0
    for start, end in sorted([*ranges, SURROGATES]):
        if low < start:
            free.append((low, start - 1))
        low = max(low, end + 1)
    return (*free, (low, LAST)) if low <= LAST else tuple(free)


# Walking


@lru_cache(REMEMBERED)
def step(tree: Tree, char: str) -> Tree:
    """Return what may follow a character; NOTHING when the character cannot stand here."""
    match tree:
        case Chars(ranges):
            point = ord(char)
            return EMPTY if any(low <= point <= high for low, high in ranges) else NOTHING
        case Then(head, tail):
            after = sequence(step(head, char), tail)
            return either([after, step(tail, char)]) if can_end(head) else after
        case Either(options):
            return either(
                found for option in options if (found := step(option, char)) is not NOTHING
            )
        case Repeat(item, least, most):
            fewer = None if most is None else most - 1
            return sequence(step(item, char), repeat(item, max(least - 1, 0), fewer))
        case Without(kept, excluded):
            after = step(kept, char)
            return NOTHING if after is NOTHING else without(after, step(excluded, char))
        case Empty():
            return NOTHING


@lru_cache(REMEMBERED)
def can_end(tree: Tree) -> bool:
    """Whether a tree matches the empty text."""
    match tree:
        case Chars():
            return False
        case Then(head, tail):
            return can_end(head) and can_end(tail)
        case Either(options):
            return any(map(can_end, options))
        case Repeat(item, least, _):
            return least == 0 or can_end(item)
        case Without(kept, excluded):
            return can_end(kept) and not can_end(excluded)
        case Empty():
            return True


def matches(tree: Tree, text: str) -> bool:
    """Whether a tree matches a whole text."""
    for char in text:
        tree = step(tree, char)
    return can_end(tree)


@lru_cache(REMEMBERED)
def shortest(tree: Tree) -> str | None:
    """Return a text, as short as can be, that a tree matches; None when there is none.

    Of an exclusion it is the shortest of a few hundred candidates.
    """
    match tree:
        case Chars(ranges):
            return chr(_plainest(ranges)) if ranges else None
        case Then(head, tail):
            first, rest = shortest(head), shortest(tail)
            return None if first is None or rest is None else first + rest
        case Either(options):
            found = [s for option in options if (s := shortest(option)) is not None]
            return min(found, key=len, default=None)
        case Repeat(item, least, _):
            one = shortest(item) if least else ""
            return None if one is None else one * least
        case Without():
            return _shortest_by_trying(tree)
        case Empty():
            return ""


def starts(tree: Tree) -> set[tuple[int, int]]:
    """Return the code points that a match may begin with; a few more where words are excluded."""
    match tree:
        case Chars(ranges):
            return set(ranges)
        case Then(head, tail):
            return starts(head) | (starts(tail) if can_end(head) else set())
        case Either(options):
            return {pair for option in options for pair in starts(option)}
        case Repeat(item, _, _):
            return starts(item)
        case Without(kept, _):
            return starts(kept)
        case Empty():
            return set()


@lru_cache(REMEMBERED)
def n_starts(tree: Tree) -> int:
    """Return how many characters a match may begin with, some of them counted twice."""
    return sum(high - low + 1 for low, high in starts(tree))


def can_hold(tree: Tree, text: str) -> bool:
    """Whether a tree has characters to spell a text with; it may all the same not match it."""
    ranges = {pair for found in _classes(tree) for pair in found.ranges}
    return all(any(low <= ord(char) <= high for low, high in ranges) for char in text)


def _plainest(ranges: Sequence[tuple[int, int]]) -> int:
    """Return a code point of a class, a letter or digit where it holds one."""
    for wanted in "a0A":
        if any(low <= ord(wanted) <= high for low, high in ranges):
            return ord(wanted)
    return ranges[0][0]


def _shortest_by_trying(tree: Without) -> str | None:
    """Search breadth first over a few characters of each kind that the tree is about."""
    alphabet = sorted({chr(_plainest(found.ranges)) for found in _classes(tree.tree)} | set("a0_"))
    reached: list[tuple[str, Tree]] = [("", tree)]
    for _ in range(8):
        for written, state in reached:
            if can_end(state):
                return written
        following = {
            after: written + char
            for written, state in reached
            for char in alphabet
            if (after := step(state, char)) is not NOTHING
        }
        reached = [(written, state) for state, written in following.items()]
    return None


def _classes(tree: Tree) -> Iterator[Chars]:
    match tree:
        case Chars():
            yield tree
        case Then(head, tail):
            yield from _classes(head)
            yield from _classes(tail)
        case Either(options):
            for option in options:
                yield from _classes(option)
        case Repeat(item, _, _):
            yield from _classes(item)
        case Without(kept, _):
            yield from _classes(kept)
        case Empty():
            return
