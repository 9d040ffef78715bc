"""Drafts are what stood after the same tokens before."""

from hypothesis import given
from hypothesis import strategies as st

from fcbench.backends.transformers._draft import ALIKE, Lookup
from fcbench.backends.transformers._prefixes import n_alike

TOKENS = st.lists(st.integers(0, 3), max_size=40)


def test_a_name_that_was_begun_is_drafted_to_its_end_and_beyond():
    lookup = Lookup([1, 2, 3, 4, 5, 9, 9, 1, 2])
    assert lookup.draft(2) == [3, 4]
    lookup.add([3])
    assert lookup.draft(9) == [4, 5, 9, 9, 1, 2, 3]


def test_three_alike_go_before_two_and_the_latest_before_earlier_ones():
    assert Lookup([1, 2, 3, 7, 0, 2, 3, 8, 1, 2, 3]).draft(1) == [7]
    assert Lookup([2, 3, 7, 2, 3, 8, 0, 2, 3]).draft(1) == [8]


@given(TOKENS, TOKENS, st.integers(0, 9))
def test_what_is_drafted_stood_after_the_same_tokens(begin, more, most):
    lookup = Lookup(begin)
    lookup.add(more)
    tokens, draft = [*begin, *more], lookup.draft(most)
    assert len(draft) <= most
    places = {
        n: [i for i in range(n, len(tokens)) if tokens[i - n : i] == tokens[len(tokens) - n :]]
        for n in ALIKE
        if len(tokens) >= n
    }
    found = next((at[-1] for at in places.values() if at), None)
    assert draft == ([] if found is None else tokens[found : found + most])


def test_a_draft_is_right_up_to_its_first_wrong_token():
    assert n_alike([1, 2, 3], [1, 2, 4]) == 2
    assert n_alike([1, 2, 3], [1, 2]) == 2
    assert n_alike([1], [1, 2]) == 1
    assert n_alike([], [1]) == n_alike([2, 1], [1]) == 0
