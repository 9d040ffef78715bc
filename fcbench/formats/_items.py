"""What the language of a decoding constraint is made of: rules, and the items they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.formats import _regex

PAIRS = 16
"""Keys of an object, where no schema says which."""


@dataclass(frozen=True)
class Text:
    """Exactly these characters."""

    value: str


@dataclass(frozen=True)
class Control:
    """One control token."""

    token: str


@dataclass(frozen=True, eq=False)
class Terminal:
    """A text that a tree matches; a key must not stand twice in one object."""

    name: str
    tree: _regex.Tree
    open_tree: _regex.Tree
    """The same without the bounds on long texts, which would make each mask slower to compute."""
    is_key: bool = False


@dataclass(frozen=True)
class Rule:
    """One of the alternatives of a rule, by its name."""

    name: str


@dataclass(frozen=True)
class Repeated:
    """A rule `least` to `most` times."""

    rule: Rule
    least: int
    most: int


@dataclass(frozen=True, eq=False)
class Members:
    """An object or the arguments of a call: pairs between `opening` and `closing`.

    Either `declared` pairs, each at most once, the first `n_required` of them always, or up to
    PAIRS of `free` ones, whose keys differ.
    """

    opening: Items
    separator: Items
    closing: Items
    declared: tuple[Items, ...] = ()
    n_required: int = 0
    free: Items | None = None


Item = Text | Control | Terminal | Rule | Repeated | Members
Items = tuple[Item, ...]


@dataclass(frozen=True, eq=False)
class Language:
    """Rules by name, each a list of alternatives; a turn is the rule `start`."""

    rules: Mapping[str, Sequence[Items]]
    start: str
