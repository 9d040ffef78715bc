"""Intervals: known values, bounds, and what happens at the edges."""

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcbench.stats import wilson

Z = NormalDist().inv_cdf(0.975)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_where_the_score_test_just_rejects(counts):
    successes, n = counts
    found = wilson(successes, n)
    assert 0 <= found.low <= found.value <= found.high <= 1
    for bound in (found.low, found.high):
        if 0 < bound < 1:
            score = abs(found.value - bound) / math.sqrt(bound * (1 - bound) / n)
            assert math.isclose(score, Z, rel_tol=1e-6)


@given(st.integers(1, 500))
def test_nothing_and_everything_still_leave_room_for_doubt(n):
    assert wilson(0, n).low == 0 < wilson(0, n).high
    assert wilson(n, n).high == 1 > wilson(n, n).low


def test_no_cases_give_no_value():
    assert wilson(0, 0) == (None, None, None, 0)


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (1, 0)])
def test_impossible_counts_are_refused(successes, n):
    with pytest.raises(ValueError, match="successes in"):
        wilson(successes, n)
