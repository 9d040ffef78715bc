"""Regular expressions as trees: the same language as re, within their bounds."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcbench import registry
from fcbench.formats import _regex as rx
from fcbench.formats import format_of
from fcbench.formats._language import BOUNDS
from fcbench.formats._llguidance import terminal

TERMINALS = sorted(
    {
        (name, pattern)
        for format in registry.names("formats")
        for name, pattern in format_of(format).grammar.patterns.items()
    }
)
LOOKAHEAD = re.compile(r"\(\?!")
PLAIN = [(name, pattern) for name, pattern in TERMINALS if not LOOKAHEAD.search(pattern)]
PIECES = st.sampled_from([*'"\\{}[]:,.-+eE0123aux _/\n\té<>', "\\u00e9", '\\"', "12", "true"])


def follow(tree, text):
    for char in text:
        tree = rx.step(tree, char)
    return tree


@pytest.mark.parametrize(("name", "pattern"), PLAIN)
@given(st.lists(PIECES, max_size=8).map("".join))
@settings(max_examples=60)
def test_a_bounded_tree_matches_only_what_its_pattern_does(name, pattern, text):
    if rx.matches(rx.bounded(pattern, BOUNDS.get(name, ())), text):
        assert re.fullmatch(pattern, text)


@pytest.mark.parametrize(("name", "pattern"), PLAIN)
@given(st.data())
@settings(max_examples=40)
def test_within_wide_bounds_it_matches_all_of_it(name, pattern, data):
    text = data.draw(st.from_regex(pattern, fullmatch=True)).encode("utf-8", "replace").decode()
    if len(text) < 50 and re.fullmatch(pattern, text):
        tree = rx.bounded(pattern, [None] * 12)
        classes = {pair for found in rx._classes(tree) for pair in found.ranges}
        if all(any(low <= ord(char) <= high for low, high in classes) for char in text):
            assert rx.matches(tree, text)


@pytest.mark.parametrize(("name", "pattern"), TERMINALS)
@given(st.lists(PIECES, max_size=6).map("".join))
@settings(max_examples=30)
def test_the_shortest_way_on_leads_to_a_match(name, pattern, text):
    tree = rx.bounded(pattern, BOUNDS.get(name, ()))
    for end in range(len(text) + 1):
        rest = rx.shortest(follow(tree, text[:end]))
        if rest is not None:
            assert rx.matches(tree, text[:end] + rest)


def test_an_excluded_word_is_refused_wherever_it_stands_and_nothing_else_is():
    words = rx.without(
        rx.repeat(rx.ANY, 0, 30), rx.containing([rx.literal("<end>"), rx.literal("<eos>")])
    )
    for text in ("", "<en", "<end", "a<e<e", "<end<end", "end>", "<<eo>s>"):
        assert rx.matches(words, text)
    for text in ("<end>", "a<end>b", "<<eos>", "<end<end>"):
        assert not rx.matches(words, text)
        assert rx.shortest(follow(words, text)) is None


def test_a_name_that_is_all_reserved_word_goes_on_to_its_end():
    names = rx.without(rx.bounded("[a-z]+", (9,)), rx.either(map(rx.literal, ("a", "from"))))
    assert rx.shortest(names) not in ("a", None)
    assert rx.matches(names, "from" + rx.shortest(follow(names, "from")))
    assert not rx.matches(names, "from")


def test_the_bounds_are_those_of_each_open_repeat_in_turn():
    number = rx.bounded(r"-?[0-9]+(?:\.[0-9]+)?", (2, 1))
    assert rx.matches(number, "-12.3")
    assert not rx.matches(number, "123")
    assert not rx.matches(number, "1.23")
    unnamed = rx.bounded("a*b+", ())
    assert rx.matches(unnamed, "b")
    assert not rx.matches(unnamed, "ab")


def test_trees_are_written_in_llguidances_syntax():
    tree = rx.without(rx.bounded("[^\\s]{1,3}|x?", ()), rx.literal("ab"))
    assert terminal(rx.literal("a-b")) == r"/[a][\x{2D}][b]/"
    assert terminal(tree).endswith("& ~/[a][b]/")
    assert "{1,3}" in terminal(tree)
