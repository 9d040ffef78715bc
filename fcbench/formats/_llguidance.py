"""The language of a constraint in llguidance's variant of Lark's syntax.

Source: llguidance's documentation of its grammar syntax and of parametric grammars.
"""

from __future__ import annotations

import json

from fcbench.formats import _regex
from fcbench.formats._items import (
    PAIRS,
    Control,
    Item,
    Items,
    Language,
    Members,
    Repeated,
    Rule,
    Terminal,
    Text,
)


def as_llguidance(language: Language, controls: dict[str, int]) -> str:
    """Return a language in llguidance's variant of Lark's syntax.

    `controls` are the ids of control tokens. Declared pairs become a rule with a parameter whose
    bits say which are there already: any order, each at most once.
    """
    return _Writer(language, controls).text()


class _Writer:
    def __init__(self, language: Language, controls: dict[str, int]) -> None:
        self._language = language
        self._controls = controls
        self._names: dict[object, str] = {}
        self._lines: list[str] = []

    def text(self) -> str:
        start = self._rule(self._language.start)
        return "\n".join([f"start: {start}", *self._lines, ""])

    def _rule(self, key: str) -> str:
        if key in self._names:
            return self._names[key]
        name = self._names[key] = f"rule_{len(self._names)}"
        alternatives = [self._items(items) for items in self._language.rules[key]]
        self._lines.append(f"{name}: {' | '.join(alternatives)}")
        return name

    def _items(self, items: Items) -> str:
        return " ".join(map(self._item, items)) or '""'

    def _item(self, item: Item) -> str:
        match item:
            case Text(value):
                # Its lexer takes no DEL as such.
                return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
            case Control(token):
                return f"<[{self._controls[token]}]>"
            case Rule(name):
                return self._rule(name)
            case Repeated(Rule(name), least, most):
                return f"({self._rule(name)}){{{least},{most}}}"
            case Terminal():
                return self._terminal(item)
            case Members():
                return self._members(item)

    def _terminal(self, item: Terminal) -> str:
        if item not in self._names:
            name = self._names[item] = f"{item.name.strip('_')}_{len(self._names)}"
            self._lines.append(f"{name}: {terminal(item.open_tree)}")
        return self._names[item]

    def _members(self, members: Members) -> str:
        if members in self._names:
            return self._names[members]
        name = self._names[members] = f"members_{len(self._names)}"
        opening, closing = self._items(members.opening), self._items(members.closing)
        separator = self._items(members.separator)
        if members.free is not None:
            pair = self._items(members.free)
            further = f"({separator} {pair}){{0,{PAIRS - 1}}}"
            self._lines.append(f"{name}: {opening} ({pair} {further})? {closing}")
            return name
        if not members.declared:
            self._lines.append(f"{name}: {opening} {closing}")
            return name
        pairs = [self._items(pair) for pair in members.declared]
        first = [f"{pair} {name}_more::set_bit({i})" for i, pair in enumerate(pairs)]
        more = [
            f"{separator} {pair} {name}_more::set_bit({i}) %if bit_clear({i})"
            for i, pair in enumerate(pairs)
        ]
        if members.n_required:
            more.append(f"{closing} %if is_ones([0:{members.n_required}])")
        else:
            first.append(closing)
            more.append(closing)
        self._lines.append(f"{name}: {opening} {name}_first::0")
        self._lines.append(f"{name}_first::_: " + "\n  | ".join(first))
        self._lines.append(f"{name}_more::_: " + "\n  | ".join(more))
        return name


# Terminals


def terminal(tree: _regex.Tree) -> str:
    """Return a tree as llguidance writes a terminal: /pattern/, or patterns joined by & and ~."""
    if isinstance(tree, _regex.Without):
        return f"{terminal(tree.tree)} & ~{terminal(tree.excluded)}"
    return f"/{_pattern(tree)}/"


def _pattern(tree: _regex.Tree) -> str:
    match tree:
        case _regex.Chars(ranges):
            return "(?s:.)" if tree is _regex.ANY else f"[{''.join(map(_range, ranges))}]"
        case _regex.Then(head, tail):
            return f"{_pattern(head)}{_pattern(tail)}"
        case _regex.Either(options):
            return f"(?:{'|'.join(map(_pattern, options))})"
        case _regex.Repeat(item, least, most):
            times = (
                "?" if (least, most) == (0, 1) else f"{{{least},{'' if most is None else most}}}"
            )
            return f"(?:{_pattern(item)}){times}"
        case _regex.Empty():
            return ""
        case _regex.Without():
            raise ValueError("an exclusion stands outermost")


def _range(ends: tuple[int, int]) -> str:
    low, high = ends
    return _char(low) if low == high else f"{_char(low)}-{_char(high)}"


def _char(point: int) -> str:
    char = chr(point)
    return char if char.isascii() and char.isalnum() else f"\\x{{{point:X}}}"
