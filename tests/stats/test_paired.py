"""Tests of paired differences: exact where they can be, seeded where not, never 0."""

import itertools
import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fcbench.stats import holm, mcnemar, pass_at_k, pass_hat_k, sign_flip

p_values = st.lists(st.floats(0, 1), max_size=20)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_exact_binomial_test(b, c):
    expected = scipy.stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert math.isclose(mcnemar(b, c), expected, rel_tol=1e-9)
    assert mcnemar(b, c) == mcnemar(c, b)


@given(st.integers(0, 400), st.integers(0, 400), st.sampled_from(["greater", "less"]))
def test_a_one_sided_mcnemar_is_the_one_sided_binomial_test(b, c, alternative):
    expected = scipy.stats.binomtest(b, b + c, alternative=alternative).pvalue if b + c else 1.0
    assert math.isclose(mcnemar(b, c, alternative), expected, rel_tol=1e-9)


def mean_of(sample, axis):
    return sample.mean(axis=axis)


@given(
    st.lists(st.integers(-5, 5), min_size=2, max_size=9),
    st.sampled_from(["greater", "less", "two-sided"]),
)
def test_few_differences_have_the_p_value_of_scipys_permutation_test(differences, alternative):
    # All sign flips of at most 2^9 are fewer than what scipy would draw: it takes each once.
    exact = scipy.stats.permutation_test(
        (differences,), mean_of, permutation_type="samples", vectorized=True,
        n_resamples=10_000, alternative=alternative,
    ).pvalue  # fmt: skip
    # Of two-sided ones scipy doubles the smaller side; of symmetric sums that is the same.
    assert math.isclose(sign_flip(differences, alternative=alternative), exact, rel_tol=1e-9)


@pytest.mark.parametrize("alternative", ["greater", "less"])
def test_many_differences_are_sampled_on_the_side_that_is_asked_for(alternative):
    differences = [1.0] * 12 + [-1.0] * 5 + [0.5] * 3 + [-0.5] * 2
    exact = scipy.stats.permutation_test(
        (differences,), mean_of, permutation_type="samples", vectorized=True,
        n_resamples=20_000, alternative=alternative, rng=7,
    ).pvalue  # fmt: skip
    assert sign_flip(differences, alternative=alternative) == pytest.approx(exact, abs=0.015)


def test_mcnemar_of_thousands_of_flips_neither_overflows_nor_is_negative():
    assert 0 <= mcnemar(0, 5000) < 1e-300
    assert mcnemar(5000, 5000) == 1
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 3)


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=60), st.sampled_from([1, 0.2, 7.5]))
def test_flips_of_one_size_are_mcnemars(differences, size):
    expected = mcnemar(differences.count(1), differences.count(-1))
    assert sign_flip([size * d for d in differences]) == expected


@given(st.lists(st.integers(-5, 5), max_size=9))
def test_few_differences_are_enumerated(differences):
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    expected = sum(s >= abs(sum(differences)) for s in sums) / len(sums)
    assert math.isclose(sign_flip(differences), expected)
    # Fifths are not exact in binary, and their ties are ties all the same.
    assert math.isclose(sign_flip([d / 5 for d in differences]), expected)


def test_many_differences_are_sampled_near_the_exact_value_and_again_the_same():
    differences = [1.0] * 12 + [-1.0] * 5 + [0.5] * 3 + [-0.5] * 2
    # In halves: flips of 17 twos and 5 ones, by convolution.
    ways = {0: 1}
    for size in [2] * 17 + [1] * 5:
        found: dict[int, int] = {}
        for total, count in ways.items():
            for sign in (size, -size):
                found[total + sign] = found.get(total + sign, 0) + count
        ways = found
    exact = sum(count for total, count in ways.items() if abs(total) >= 15) / 2**22
    assert sign_flip(differences) == pytest.approx(exact, abs=0.005)
    assert sign_flip(differences) == sign_flip(differences) != sign_flip(differences, seed=1)


def test_a_sampled_p_value_is_never_0():
    differences = [1 + i / 100 for i in range(50)]
    assert sign_flip(differences, resamples=999) == 1 / 1000


@given(p_values)
def test_holm_raises_no_hope_and_keeps_the_order(values):
    adjusted = holm(values)
    assert all(p <= q <= 1 for p, q in zip(values, adjusted, strict=True))
    ranks = sorted(range(len(values)), key=values.__getitem__)
    assert [adjusted[i] for i in ranks] == sorted(adjusted)


@given(p_values, st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_procedure_rejects(values, alpha):
    rejected = set()
    for rank, i in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        if (len(values) - rank) * values[i] > alpha:
            break
        rejected.add(i)
    assert {i for i, p in enumerate(holm(values)) if p <= alpha} == rejected


@pytest.mark.parametrize("bad", [[1.1], [0.2, -0.1], [math.nan]])
def test_what_is_no_p_value_is_refused(bad):
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm(bad)


@given(
    st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))
)
def test_pass_at_and_hat_k_are_shares_of_all_choices_of_k(nck):
    n, c, k = nck
    choices = list(itertools.combinations([1] * c + [0] * (n - c), k))
    assert pass_at_k(n, c, k) == sum(map(any, choices)) / len(choices)
    assert pass_hat_k(n, c, k) == sum(map(all, choices)) / len(choices)


@pytest.mark.parametrize("nck", [(3, 4, 1), (3, 1, 4), (3, -1, 1), (3, 1, 0), (0, 0, 1)])
def test_more_tries_than_answers_are_refused(nck):
    for function in (pass_at_k, pass_hat_k):
        with pytest.raises(ValueError, match="answers out of"):
            function(*nck)
