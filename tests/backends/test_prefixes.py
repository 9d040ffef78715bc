"""Shared beginnings of prompts, against what two nested loops find."""

from __future__ import annotations

import itertools
import random
import time

import pytest

pytest.importorskip("numpy")
pytest.importorskip("transformers")

from hypothesis import example, given
from hypothesis import strategies as st

from fcbench.backends.transformers import _prefixes
from fcbench.backends.transformers._prefixes import LEAST, share

FEW = 3


@pytest.fixture(autouse=True, scope="module")
def _short_prefixes_count():
    """Let prefixes of FEW tokens be worth sharing: so small a set has every shape of tree."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_prefixes, "LEAST", FEW)
        yield


TOKENS = st.integers(0, 2)
PIECES = st.sampled_from([[0, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1, 1, 1], [2], [0], []])
PROMPT = st.one_of(
    st.lists(TOKENS, min_size=1, max_size=12),
    st.lists(PIECES, min_size=1, max_size=5).map(
        lambda pieces: [0, *itertools.chain.from_iterable(pieces)]
    ),
)
PROMPTS = st.lists(PROMPT, max_size=14)
MOST = st.one_of(st.none(), st.integers(0, 20))


def path(prefix):
    """Return a prefix and those above it, outermost first."""
    return [] if prefix is None else list(prefix.path())[::-1]


def n_alike(rows):
    """Return at how many first places all rows are the same."""
    return sum(1 for _ in itertools.takewhile(lambda c: len(set(c)) == 1, zip(*rows, strict=False)))


@given(PROMPTS, MOST)
def test_a_prompt_is_the_tokens_of_its_prefixes_and_the_rest(prompts, most):
    for prompt, prefix in zip(prompts, share(prompts, most).innermost, strict=True):
        tokens = [token for each in path(prefix) for token in each.tokens]
        assert prompt[: len(tokens)] == tokens
        assert len(tokens) < len(prompt), "the last token is read with its prompt"
        starts = [0, *(each.end for each in path(prefix))]
        assert [each.start for each in path(prefix)] == starts[:-1]


@given(PROMPTS, MOST)
def test_a_prefix_is_long_enough_and_has_the_prompts_it_counts(prompts, most):
    shared = share(prompts, most)
    under = {}
    for prefix in shared.innermost:
        for each in path(prefix):
            under[each] = under.get(each, 0) + 1
    for prefix, n in under.items():
        assert len(prefix.tokens) >= FEW
        assert n == prefix.n_prompts >= 2
    whole = [tuple(t for each in path(p) for t in each.tokens) for p in under]
    assert len(set(whole)) == len(whole), "two prefixes are one"


@given(PROMPTS, MOST)
def test_the_prompts_of_every_prefix_stand_together(prompts, most):
    shared = share(prompts, most)
    assert sorted(shared.order) == list(range(len(prompts)))
    at = {index: place for place, index in enumerate(shared.order)}
    places = {}
    for index, prefix in enumerate(shared.innermost):
        for each in path(prefix):
            places.setdefault(each, []).append(at[index])
    for found in places.values():
        assert max(found) - min(found) == len(found) - 1


@given(PROMPTS, MOST)
@example([[0, 0, 0, 0, 1], [0, 0, 0, 0, 2], [0, 0, 0, 0]], None)
def test_nothing_that_two_prompts_have_in_common_is_left_unshared(prompts, most):
    innermost = share(prompts, most).innermost
    bound = 10**9 if most is None else most
    for (a, one), (b, other) in itertools.combinations(zip(prompts, innermost, strict=True), 2):
        common = min(n_alike([a, b]), len(a) - 1, len(b) - 1, bound)
        together = sum(len(p.tokens) for p in path(one) if p in path(other))
        # Less than FEW tokens are worth no place; what is shared is shared in one.
        assert together <= common
        assert common - together < FEW


@given(PROMPTS, st.integers(0, 20))
def test_no_path_is_longer_than_the_most_that_may_be_shared(prompts, most):
    assert all(p is None or p.end <= most for p in share(prompts, most).innermost)


@given(PROMPTS, MOST, st.randoms(use_true_random=False))
def test_the_order_of_the_prompts_changes_no_prefix(prompts, most, rng):
    places = list(range(len(prompts)))
    rng.shuffle(places)

    def shown(prefix):
        return [(tuple(each.tokens), each.n_prompts) for each in path(prefix)]

    shuffled = share([prompts[i] for i in places], most).innermost
    expected = share(prompts, most).innermost
    assert [shown(prefix) for prefix in shuffled] == [shown(expected[i]) for i in places]


def test_identical_prompts_share_all_but_their_last_token():
    prompt = [0, 1, 2, 0, 1]
    (prefix,) = set(share([prompt] * 4).innermost)
    assert (prefix.tokens, prefix.n_prompts, prefix.above) == ([0, 1, 2, 0], 4, None)


def test_a_prompt_that_begins_another_shares_all_but_its_last_token():
    short, long = [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6, 7]
    for prompts in ([short, long], [long, short]):
        (prefix,) = set(share(prompts).innermost)
        assert prefix.tokens == [1, 2, 3, 4]


def test_a_tree_is_as_drawn_by_hand():
    prompts = [[7, 7, 7, 1, 1, 1, 5], [7, 7, 7, 1, 1, 1, 6], [7, 7, 7, 2, 2], [8, 8, 8, 8]]
    shared = share(prompts)
    inner, outer = share(prompts).innermost[0], shared.innermost[2]
    assert shared.order == [0, 1, 2, 3]
    assert (inner.tokens, inner.start, inner.n_prompts) == ([1, 1, 1], 3, 2)
    assert (outer.tokens, outer.start, outer.n_prompts) == ([7, 7, 7], 0, 3)
    assert shared.innermost[0].above is outer
    assert shared.innermost[3] is None


def test_no_prompt_and_one_prompt_share_nothing():
    assert share([]) == ([], [])
    assert share([[1] * 99]) == ([0], [None])
    assert share([[1] * 99, [1] * 99], 0).innermost == [None, None]


@pytest.mark.parametrize("step", [1, LEAST])
def test_two_thousand_nested_prompts_are_divided_quickly(monkeypatch, step):
    monkeypatch.setattr(_prefixes, "LEAST", LEAST)
    rng = random.Random(0)
    longest = [rng.randrange(1000) for _ in range(2000 * step)]
    prompts = [longest[: step * n] for n in range(1, 2001)]
    rng.shuffle(prompts)
    started = time.perf_counter()
    innermost = share(prompts).innermost
    assert time.perf_counter() - started < 20
    depths = [len(path(prefix)) for prefix in innermost]
    n_levels = 2000 * step // LEAST
    assert n_levels - 2 <= max(depths) <= n_levels
