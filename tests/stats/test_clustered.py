"""Repeats of a case count for what they are worth."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fcbench.stats import clopper_pearson, clustered, mean, wilson

INTERVALS = {"wilson": wilson, "clopper-pearson": clopper_pearson}
bits = st.integers(0, 1)
grades = st.floats(0, 1).map(lambda x: round(x, 6))
cases = st.lists(st.lists(grades, min_size=1, max_size=6), min_size=1, max_size=30)
methods = pytest.mark.parametrize("method", INTERVALS)


@methods
@given(values=st.lists(bits, max_size=200), confidence=st.floats(0.5, 0.999))
def test_one_repeat_a_case_is_the_plain_interval(method, values, confidence):
    found = clustered([[value] for value in values], confidence, method)
    assert found == INTERVALS[method](sum(values), len(values), confidence)


@given(st.lists(grades, min_size=1, max_size=50))
def test_one_graded_repeat_a_case_is_the_plain_interval(values):
    assert clustered([[value] for value in values]) == pytest.approx(
        wilson(sum(values), len(values))
    )


@methods
@given(values=cases)
def test_the_interval_lies_between_that_of_the_samples_and_that_of_the_cases(method, values):
    found = clustered(values, method=method)
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert found.n == len(values)
    per_case = clustered([[sum(repeats) / len(repeats)] for repeats in values], method=method)
    assert found.value == pytest.approx(per_case.value)
    assert found.low >= per_case.low - 1e-9
    assert found.high <= per_case.high + 1e-9
    if len({len(repeats) for repeats in values}) == 1:
        samples = clustered([[x] for repeats in values for x in repeats], method=method)
        assert found.low <= samples.low + 1e-9
        assert found.high >= samples.high - 1e-9


@methods
@given(values=st.lists(bits, min_size=1, max_size=60), repeats=st.integers(2, 10))
def test_repeats_that_say_the_same_add_nothing(method, values, repeats):
    found = clustered([[value] * repeats for value in values], method=method)
    assert found == pytest.approx(INTERVALS[method](sum(values), len(values)))


def test_repeats_that_differ_as_much_as_cases_count_in_full():
    found = clustered([[1, 0, 1, 0]] * 10)
    assert found == (*wilson(20, 40)[:3], 10)


def test_a_case_counts_the_same_however_often_it_was_answered():
    assert clustered([[1] * 9, [0]]).value == 0.5
    assert mean([[8.0] * 9, [2.0]]).value == 5


@methods
@given(values=cases, order=st.randoms())
def test_the_order_of_cases_changes_nothing(method, values, order):
    shuffled = order.sample(values, len(values))
    assert clustered(values, method=method) == pytest.approx(clustered(shuffled, method=method))


@methods
@given(values=cases)
def test_failures_are_estimated_as_successes_are(method, values):
    found = clustered(values, method=method)
    other = clustered([[1 - x for x in repeats] for repeats in values], method=method)
    assert (other.low, other.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-7)


def test_an_interval_of_repeats_covers_where_one_of_samples_does_not():
    rng, p, n, repeats = np.random.default_rng(0), 0.8, 50, 5
    chances = rng.beta(p * 7 / 3, (1 - p) * 7 / 3, size=(400, n))  # intraclass correlation 0.3
    draws = rng.random((400, n, repeats)) < chances[:, :, None]
    held = [(e := clustered(d.astype(float).tolist())).low <= p <= e.high for d in draws]
    naive = [(e := wilson(int(d.sum()), n * repeats)).low <= p <= e.high for d in draws]
    assert np.mean(held) > 0.93
    assert np.mean(naive) < 0.9


@pytest.mark.parametrize("bad", [[[1.5]], [[-0.1, 0]], [[math.nan]]])
def test_values_that_are_no_shares_are_refused(bad):
    with pytest.raises(ValueError, match="take mean"):
        clustered(bad)


@pytest.mark.parametrize("function", [clustered, mean])
def test_a_case_without_values_is_refused_and_no_cases_give_no_value(function):
    with pytest.raises(ValueError, match="case 1 of 2 has no value"):
        function([[1], []])
    assert function([]) == (None, None, None, 0)


@given(
    st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=50), st.sampled_from([0.8, 0.95])
)
def test_the_interval_of_a_mean_is_students(values, confidence):
    found = mean([[value] for value in values], confidence)
    expected = (
        scipy.stats.t.interval(
            confidence,
            len(values) - 1,
            np.mean(values),
            scipy.stats.tstd(values) / len(values) ** 0.5,
        )
        if len(set(values)) > 1
        else (values[0], values[0])
    )
    assert found[1:3] == pytest.approx(tuple(expected), rel=1e-6, abs=1e-6)


def test_a_single_case_has_a_mean_and_no_interval():
    assert mean([[1, 2, 6]]) == (3, None, None, 1)
