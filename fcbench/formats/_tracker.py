"""Where in a language a text is, character by character, and the shortest way to its end.

A place is a stack of what is still to come. All places that the text so far can be at are followed
together; there are few, because the grammars are nearly deterministic. llguidance computes masks
over a whole vocabulary from the same language; what it cannot say (the keys of an object differ)
and what it does not tell (how far the end is) is known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakValueDictionary

from fcbench.formats import _regex
from fcbench.formats._items import PAIRS, Control, Members, Repeated, Rule, Terminal, Text
from fcbench.formats._walk import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fcbench.formats._items import Item, Items, Language

NARROW = 64
"""Characters that may begin what a terminal still takes, where those are few."""

Piece = str | Control
"""Ordinary text, or one control token."""


class Way(NamedTuple):
    """What is written from some place to the end of a turn; `cost` is its length in tokens at most.

    Every character counts as the bytes it takes, since no token is shorter, and every control
    token as one.
    """

    cost: int
    pieces: tuple[Piece, ...]


NO_WAY = Way(0, ())


class _Matching(NamedTuple):
    """A terminal in the middle: what of it is still to come, and its text so far if it is a key."""

    terminal: Terminal
    tree: _regex.Tree
    key: str


class _Open(NamedTuple):
    """An object or arguments in the middle: which declared pairs and which free keys are there."""

    members: Members
    taken: int
    keys: frozenset[str]
    n_pairs: int


class _Again(NamedTuple):
    """A repeat in the middle: how often it may and must still stand."""

    repeated: Repeated
    n_done: int


class Place:
    """A stack of what is still to come: `item`, then what is `below`. None is below the last."""

    __slots__ = ("__weakref__", "_heads", "_way", "below", "item")

    def __init__(self, item: Item | _Matching | _Open | _Again, below: Place | None) -> None:
        self.item = item
        self.below = below
        self._heads: list[Place | None] | None = None
        self._way: Way | None = None


_PLACES: WeakValueDictionary[tuple[object, int], Place] = WeakValueDictionary()


def _place(item: Item | _Matching | _Open | _Again, below: Place | None) -> Place:
    """Return the one place of an item above another place, so that equal stacks are one object.

    Alternatives that match the same text meet again when what they differ in is over; without
    that their number would double with each of them.
    """
    key = (item, id(below))  # an entry keeps what is below it alive, so no other has that id
    found = _PLACES.get(key)
    if found is None:
        found = _PLACES[key] = Place(item, below)
    return found


class Tracker:
    """Follows texts through a language. Places are shared and never change."""

    def __init__(self, language: Language) -> None:
        self._rules = language.rules
        self._shortest: dict[str, Way] = {}
        # A bottom of its own keeps its places apart from those of other languages.
        self._end = Place(Text(""), None)
        self._end._heads = [None]  # noqa: SLF001  caches of this class in its own record
        self._end._way = NO_WAY  # noqa: SLF001
        self.start = [_place(Rule(language.start), self._end)]

    def after_char(self, places: Iterable[Place], char: str) -> list[Place]:
        """Return the places after a character of ordinary text; none if it cannot stand here."""
        found: list[Place] = []
        for head in self._all_heads(places):
            item = head.item
            if isinstance(item, Text):
                if item.value[0] == char:
                    rest, below = item.value[1:], head.below or self._end
                    found.append(_place(Text(rest), below) if rest else below)
            elif isinstance(item, _Matching):
                tree = _regex.step(item.tree, char)
                key = item.key + char if item.terminal.is_key else ""
                after = _Matching(item.terminal, tree, key)
                if tree is not _regex.NOTHING and _ending(after, head.below) is not None:
                    found.append(_place(after, head.below))
        return list(dict.fromkeys(found))

    def after_control(self, places: Iterable[Place], token: str) -> list[Place]:
        """Return the places after a control token."""
        return [
            head.below or self._end
            for head in self._all_heads(places)
            if isinstance(head.item, Control) and head.item.token == token
        ]

    def literal_chars(self, places: Iterable[Place]) -> set[str]:
        """Return the characters that stand next in texts which are given to the letter."""
        return {h.item.value[0] for h in self._all_heads(places) if isinstance(h.item, Text)}

    def is_narrow(self, places: Iterable[Place]) -> bool:
        """Whether only a few different characters may stand next."""
        matching = (h.item for h in self._all_heads(places) if isinstance(h.item, _Matching))
        return all(_regex.n_starts(item.tree) <= NARROW for item in matching)

    def may_end(self, places: Iterable[Place]) -> bool:
        """Whether the turn may be complete here."""
        return any(None in self._heads(place) for place in places)

    def must_end(self, places: Iterable[Place]) -> bool:
        """Whether the turn is complete here and nothing can follow."""
        return all(self._heads(place) == [None] for place in places)

    def shortest(self, places: Iterable[Place]) -> Way:
        """Return the shortest way to a complete turn."""
        return min((self._way(place) for place in places), key=lambda way: way.cost)

    # What a place comes down to

    def _all_heads(self, places: Iterable[Place]) -> list[Place]:
        heads = dict.fromkeys(head for place in places for head in self._heads(place))
        return [head for head in heads if head is not None]

    def _heads(self, place: Place) -> list[Place | None]:
        """Return the places, ready for a character or control token, that one stands for.

        None among them says that the turn may end.
        """
        if place._heads is None:  # noqa: SLF001  a cache of this class in its own record
            place._heads = list(dict.fromkeys(self._expand(place)))  # noqa: SLF001
        return place._heads  # noqa: SLF001

    def _expand(self, place: Place) -> Iterable[Place | None]:
        item, below = place.item, place.below
        match item:
            case Text() | Control():
                yield place
            case _Matching():
                yield place
                yield from self._after_match(item, below)
            case _Again():
                yield from self._repeat(item, below)
            case _Open():
                for following in _following(item, below):
                    yield from self._below(following)
            case Rule(name):
                for alternative in self._rules[name]:
                    yield from self._below(_stack(alternative, below))
            case _:
                yield from self._heads(_begun(item, below))

    def _after_match(self, item: _Matching, below: Place | None) -> Iterable[Place | None]:
        if not _regex.can_end(item.tree):
            return
        if not item.terminal.is_key:
            yield from self._below(below)
        elif (after := _with_key(below, key_of(item.key, item.terminal.name))) is not None:
            yield from self._heads(after)

    def _repeat(self, item: _Again, below: Place | None) -> Iterable[Place | None]:
        repeated, n_done = item
        if n_done < repeated.most:
            again = _place(_Again(repeated, n_done + 1), below)
            yield from self._heads(_place(repeated.rule, again))
        if n_done >= repeated.least:
            yield from self._below(below)

    def _below(self, place: Place | None) -> Iterable[Place | None]:
        return (None,) if place is None else self._heads(place)

    # The way out

    def _way(self, place: Place) -> Way:
        if place._way is None:  # noqa: SLF001
            rest = NO_WAY if place.below is None else self._way(place.below)
            place._way = _joined(self._own_way(place), rest)  # noqa: SLF001
        return place._way  # noqa: SLF001

    def _own_way(self, place: Place) -> Way:
        match place.item:
            case Terminal(_, tree, is_key=True) as terminal:
                return _spelled(_ending(_Matching(terminal, tree, ""), place.below) or "")
            case _Matching() as matching:
                return _spelled(_ending(matching, place.below) or "")
            case _Again(repeated, n_done):
                return self._times(repeated.rule, max(repeated.least - n_done, 0))
            case _Open(members, taken, _, n_pairs):
                missing = [i for i in range(members.n_required) if not taken >> i & 1]
                way = NO_WAY
                for index in missing:
                    if n_pairs:
                        way = _joined(way, self._items_way(members.separator))
                    way = _joined(way, self._items_way(members.declared[index]))
                    n_pairs += 1
                return _joined(way, self._items_way(members.closing))
            case item:
                return self._item_way(item)

    def _item_way(self, item: Item) -> Way:
        match item:
            case Text(value):
                return _spelled(value)
            case Control():
                return Way(1, (item,))
            case Terminal(_, tree):
                return _spelled(_regex.shortest(tree) or "")
            case Rule(name):
                if name not in self._shortest:
                    ways = map(self._items_way, self._rules[name])
                    self._shortest[name] = min(ways, key=lambda way: way.cost)
                return self._shortest[name]
            case Repeated(rule, least, _):
                return self._times(rule, least)
            case Members():
                inside = self._own_way(Place(_Open(item, 0, frozenset(), 0), None))
                return _joined(self._items_way(item.opening), inside)

    def _items_way(self, items: Items) -> Way:
        way = NO_WAY
        for item in items:
            way = _joined(way, self._item_way(item))
        return way

    def _times(self, rule: Rule, n: int) -> Way:
        way = self._item_way(rule) if n else NO_WAY
        return Way(way.cost * n, way.pieces * n)


def _begun(item: Terminal | Repeated | Members, below: Place | None) -> Place:
    """Return the place at the beginning of what has a middle."""
    match item:
        case Terminal():
            return _place(_Matching(item, item.tree, ""), below)
        case Repeated():
            return _place(_Again(item, 0), below)
        case Members():
            inside = _place(_Open(item, 0, frozenset(), 0), below)
            return _stack(item.opening, inside) or inside


def _stack(items: Sequence[Item], below: Place | None) -> Place | None:
    for item in reversed(items):
        below = _place(item, below)
    return below


def _following(open_: _Open, below: Place | None) -> Iterable[Place | None]:
    """Return what may follow inside an object: its closing, or a pair that is not there yet."""
    members, taken, keys, n_pairs = open_
    required = (1 << members.n_required) - 1
    if taken & required == required:
        yield _stack(members.closing, below)
    separator = members.separator if n_pairs else ()
    for index, pair in enumerate(members.declared):
        if not taken >> index & 1:
            after = _place(_Open(members, taken | 1 << index, keys, n_pairs + 1), below)
            yield _stack((*separator, *pair), after)
    if members.free is not None and n_pairs < PAIRS:
        after = _place(_Open(members, taken, keys, n_pairs + 1), below)
        yield _stack((*separator, *members.free), after)


def _with_key(place: Place | None, key: str) -> Place | None:
    """Return what is below a key, the key noted in its object; None if it stands there already."""
    if place is None:
        return None
    if not isinstance(place.item, _Open):
        below = _with_key(place.below, key)
        return None if below is None else _place(place.item, below)
    open_ = place.item
    if key in open_.keys:
        return None
    return _place(open_._replace(keys=open_.keys | {key}), place.below)


def _keys_of(place: Place | None) -> frozenset[str]:
    while place is not None and not isinstance(place.item, _Open):
        place = place.below
    return frozenset() if place is None else place.item.keys  # type: ignore[union-attr]


def _ending(matching: _Matching, below: Place | None) -> str | None:
    """Return how a terminal that has begun ends soonest, a key as one that is not there yet.

    None when it cannot: after a forbidden word nothing mends an exclusion, and a key that is
    closed stays what it is.
    """
    terminal, tree, begun = matching
    ending = _regex.shortest(tree)
    taken = _keys_of(below) if terminal.is_key else frozenset()
    if ending is None or not taken or key_of(begun + ending, terminal.name) not in taken:
        return ending
    for number in range(len(taken) + 1):
        for at in range(len(ending) + 1):  # a key in quotes grows before the last of them
            tried = f"{ending[:at]}{number}{ending[at:]}"
            known = not _regex.matches(tree, tried) or key_of(begun + tried, terminal.name) in taken
            if not known:
                return tried
    return None


def _spelled(text: str) -> Way:
    return Way(len(text.encode()), (text,)) if text else NO_WAY


def _joined(first: Way, second: Way) -> Way:
    return Way(first.cost + second.cost, first.pieces + second.pieces)
