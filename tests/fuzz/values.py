"""Hostile texts and JSON for fuzzing whatever reads or shows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.fuzz.choices import CHARACTERS
from tests.report.hostile import ATTACKS

if TYPE_CHECKING:
    from tests.fuzz.choices import Choices

Json = Any

WORDS = (
    *("", "a", "b", "f", "Oslo", "show_map", "query", "0", "1e5", "null", "user", "tool", "eval"),
    *("$any", "$optional", "__proto__", "constructor", "../../x", "/etc/passwd", "C:\\x", "~"),
    *("a" * 300, "é" * 90, "\n", "\r\n", "\t", " a ", "\x00", "\x1b[2J", "\u202e", "\ud800"),
    *("<start_function_call>call:f{}<end_function_call>", "<escape>", "```", "</script>"),
    *("--results", "; rm -rf x", "$(id)", "`id`", "%s%n", "{0.__class__}", "{{ 7 * 7 }}"),
)
NUMBERS = (0, 1, -1, 7, 1.0, 0.5, -0.0, 1e308, 2**53 + 1, 2**64, -(2**200), 10**4400)
"""The last has more digits than CPython prints."""
SCALARS = (None, True, False, *NUMBERS, float("nan"), float("inf"))
MOST_ROWS = 4


def text(choices: Choices) -> str:
    """Return a word, an attack on a page, some characters, or several of these."""
    way = choices.below(8)
    if way < 4:
        return choices.pick(WORDS)
    if way < 6:
        return choices.pick(ATTACKS)
    if way == 6:
        return "".join(choices.pick(CHARACTERS) for _ in range(choices.below(12)))
    return text(choices) + text(choices)


def name(choices: Choices, usual: str) -> str:
    """Return a name that is mostly the usual one, so that things fit together."""
    return text(choices) if choices.once_in(4) else usual


def value(choices: Choices, depth: int = 3) -> Json:
    """Return any JSON value, and what Python's JSON reads beyond them."""
    way = choices.below(8)
    if way < 3:
        return text(choices)
    if way < 6 or depth == 0:
        return choices.pick(SCALARS)
    if way == 6:
        return [value(choices, depth - 1) for _ in range(choices.below(4))]
    return {text(choices): value(choices, depth - 1) for _ in range(choices.below(4))}


def mutated(choices: Choices, tree: Json) -> Json:
    """Return a tree with up to three places changed: replaced, left out, doubled or wrapped."""
    for _ in range((0, 1, 1, 1, 1, 2, 2, 3)[choices.below(8)]):
        tree = _changed(choices, tree, choices.below(6))
    return tree


def _changed(choices: Choices, tree: Json, depth: int) -> Json:
    """Change one place of a tree, at most so deep."""
    if depth and isinstance(tree, dict) and tree:
        key = choices.pick(list(tree))
        if choices.once_in(6):
            return {k: v for k, v in tree.items() if k != key}
        if choices.once_in(8):
            return {**{k: v for k, v in tree.items() if k != key}, text(choices): tree[key]}
        return {**tree, key: _changed(choices, tree[key], depth - 1)}
    if depth and isinstance(tree, list) and tree:
        at = choices.below(len(tree))
        if choices.once_in(6):
            return tree[:at] + tree[at + 1 :]
        if choices.once_in(8):
            return [*tree, tree[at]]
        return [*tree[:at], _changed(choices, tree[at], depth - 1), *tree[at + 1 :]]
    return _replaced(choices, tree)


def _replaced(choices: Choices, tree: Json) -> Json:
    """Return something else in the place of a value, or the value within something."""
    if isinstance(tree, dict) and choices.once_in(2):
        return {**tree, text(choices): value(choices)}
    way = choices.below(12)
    if way == 0:
        return [tree]
    if way == 1:
        return {text(choices): tree}
    if way == 2:
        return _Deep(tree, choices.pick((10, 70, 900, 3000)))
    return value(choices)


class _Deep:
    """A value in so many lists, which json.dumps could not write."""

    def __init__(self, inner: Json, levels: int) -> None:
        self.inner, self.levels = inner, levels


def dumped(choices: Choices, tree: Json) -> bytes:
    """Return a tree as JSON in one of the ways that people write it."""
    ascii_only = choices.once_in(2)

    def write(node: Json) -> str:
        if isinstance(node, _Deep):
            return "[" * node.levels + write(node.inner) + "]" * node.levels
        if isinstance(node, dict):
            members = [f"{write(str(k))}: {write(v)}" for k, v in node.items()]
            return "{" + ", ".join(members) + "}"
        if isinstance(node, list):
            return "[" + ", ".join(map(write, node)) + "]"
        if isinstance(node, int) and not isinstance(node, bool) and abs(node) >= 10**4300:
            return "1" + "0" * 4400
        return json.dumps(node, ensure_ascii=ascii_only)

    return write(tree).encode("utf-8", choices.pick(("surrogatepass", "replace")))


def damaged(choices: Choices, content: bytes) -> bytes:
    """Return bytes of which some are cut off, left out, doubled or others, mostly none."""
    for _ in range((0, 0, 0, 0, 0, 1, 1, 2)[choices.below(8)]):
        at = choices.below(min(len(content) + 1, 65536))
        end = at + choices.below(20)
        way = choices.below(4)
        if way == 0:
            content = content[:at]
        elif way == 1:
            content = content[:at] + content[end:]
        elif way == 2:
            content = content[:end] + content[at:]
        else:
            odd = (b"\x00", b"\n", b"\r", b"\xff", b"\xef\xbb\xbf", b'"', b"\xed\xa0\x80", b"}")
            content = content[:at] + choices.pick(odd) + content[at:]
    return content
