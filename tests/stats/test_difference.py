"""Intervals of a paired difference, and what size of one can be seen."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from fcbench.stats import (
    clopper_pearson,
    detectable_difference,
    mcnemar,
    non_inferiority,
    paired_bootstrap,
    smallest_significant,
)
from fcbench.stats._difference import score_interval
from tests.benchmarks.coverage import covers_difference

Z = NormalDist().inv_cdf(0.975)
flips = st.tuples(st.integers(0, 15), st.integers(0, 15), st.integers(1, 60)).filter(
    lambda f: f[0] + f[1]
)


def outcomes(gains, losses, ties):
    return [1] * gains + [-1] * losses + [0] * ties


@given(flips)
@settings(max_examples=40)
def test_the_score_interval_is_where_the_likeliest_losses_just_reject(counts):
    gains, losses, _ = counts
    n = sum(counts)
    for delta in score_interval(outcomes(*counts), 0.95):
        if abs(delta) > 1 - 1e-6:
            continue

        def unlikelihood(losing, delta=delta):
            shares = (losing + delta, losing, 1 - 2 * losing - delta)
            return -sum(c * math.log(s) for c, s in zip(counts, shares, strict=True) if c)

        within = (max(0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12)
        losing = scipy.optimize.minimize_scalar(
            unlikelihood, bounds=within, method="bounded", options={"xatol": 1e-11}
        ).x
        variance = n * (2 * losing + delta - delta**2)
        assert abs(gains - losses - n * delta) / math.sqrt(variance) == pytest.approx(Z, rel=1e-3)


@given(flips, st.sampled_from([0.2, 3.0, 1000.0]))
def test_the_score_interval_scales_with_its_unit(counts, unit):
    plain = score_interval(outcomes(*counts), 0.95)
    scaled = score_interval([unit * d for d in outcomes(*counts)], 0.95)
    assert scaled == pytest.approx([unit * bound for bound in plain], rel=1e-9, abs=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.integers(0, 5))
@settings(max_examples=40)
def test_the_interval_holds_the_mean_and_turns_with_the_sign(differences, seed):
    low, high = paired_bootstrap(differences, resamples=200, seed=seed)
    assert low <= sum(differences) / len(differences) + 1e-12
    assert high >= sum(differences) / len(differences) - 1e-12
    # The same cases are drawn for both.
    turned = paired_bootstrap([-d for d in differences], resamples=200, seed=seed)
    assert turned == pytest.approx((-high, -low), abs=1e-9)


def test_a_seed_decides_and_memory_is_bounded():
    differences = np.random.default_rng(0).normal(size=3000).tolist()
    found = paired_bootstrap(differences, resamples=1000)
    assert found == paired_bootstrap(differences, resamples=1000)
    assert found != paired_bootstrap(differences, resamples=1000, seed=1)
    half = Z * np.std(differences) / math.sqrt(3000)
    assert found == pytest.approx(
        [np.mean(differences) - half, np.mean(differences) + half], abs=0.01
    )


def test_no_cases_have_no_interval():
    with pytest.raises(ValueError, match="no differences"):
        paired_bootstrap([])


def test_models_that_never_differ_are_not_proven_equal():
    low, high = paired_bootstrap([0.0] * 200)
    assert -low == high == clopper_pearson(0, 200).high


@given(
    st.lists(st.sampled_from([-1, -0.5, 0, 0, 0, 0, 0.5, 1]), min_size=1, max_size=60),
    st.floats(0.01, 0.9),
    st.sampled_from([0.05, 0.01]),
)
@settings(max_examples=60)
def test_a_difference_is_shown_not_to_be_worse_where_its_lower_bound_says_so(
    differences, margin, alpha
):
    p = non_inferiority(differences, margin)
    low, _ = paired_bootstrap(differences, confidence=1 - 2 * alpha)
    # Resampled means come in steps: at a step itself the two count it on either side.
    if abs(p - alpha) > 0.01 and abs(low + margin) > 0.02:
        assert (p <= alpha) == (low > -margin)
    assert non_inferiority(differences, margin / 2) >= p


@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("n", [20, 60])
def test_a_model_that_is_worse_by_the_margin_seldom_passes_as_not_worse(n, share):
    margin = 0.1
    gain, loss = (share - margin) / 2, (share + margin) / 2
    draws = np.random.default_rng(1).multinomial(n, [gain, loss, 1 - gain - loss], size=400)
    passed = [
        non_inferiority(outcomes(g, c, t), margin, resamples=500) <= 0.05
        for g, c, t in draws.tolist()
    ]
    assert np.mean(passed) < 0.08


def test_a_margin_is_above_0_and_no_case_shows_nothing():
    for margin in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="margin"):
            non_inferiority([0, 1], margin)
    with pytest.raises(ValueError, match="no differences"):
        non_inferiority([], 0.1)
    assert non_inferiority([0, 0], 2.0) == 0
    assert non_inferiority([-3.0] * 9 + [-2.5] * 9, 4.0) < 0.001  # seconds, say


def test_a_single_flip_does_not_exclude_one_the_other_way():
    low, high = paired_bootstrap(outcomes(1, 0, 99))  # the percentile interval begins at 0
    assert low < -0.01
    assert high > 0.05


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("one_way", [0.5, 0.75, 1])
def test_the_interval_of_a_difference_covers_what_it_says_over_20_cases(share, one_way):
    assert covers_difference(20, share, one_way, resamples=1000)["hull"] > 0.94


def test_the_smallest_significant_difference_is_six_flips_one_way():
    assert smallest_significant(100) == 0.06
    assert smallest_significant(6) == 1
    assert smallest_significant(5) is None
    assert smallest_significant(100, alpha=0.001) == 0.11
    assert detectable_difference(5, 0.5) is None


@given(st.integers(20, 120), st.floats(0.02, 0.9), st.sampled_from([0.05, 0.01]))
@settings(max_examples=10)
def test_a_detectable_difference_is_shown_as_often_as_said(n, share, alpha):
    difference = detectable_difference(n, share, alpha)
    flips = max(share, difference)
    gain, loss = (flips + difference) / 2, (flips - difference) / 2
    draws = np.random.default_rng(0).multinomial(n, [gain, loss, 1 - gain - loss], size=3000)
    shown = [g > c and mcnemar(g, c) <= alpha for g, c, _ in draws.tolist()]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.04)
    assert detectable_difference(n, share, alpha, power=0.5) < difference
    assert difference >= smallest_significant(n, alpha)


def test_more_cases_show_smaller_differences_and_more_flips_hide_them():
    by_size = [detectable_difference(n, 0.1) for n in (50, 200, 1000)]
    by_share = [detectable_difference(200, share) for share in (0.05, 0.2, 0.8)]
    assert by_size == sorted(by_size, reverse=True)
    assert by_share == sorted(by_share)
    with pytest.raises(ValueError, match="share"):
        detectable_difference(100, 1.2)
