"""The beta distribution, Student's t and the binomial agree with scipy's."""

import math
import sys

import scipy.special
import scipy.stats
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fcbench.stats._beta import beta_cdf, beta_quantile, t_quantile
from fcbench.stats._binomial import binomial_mass

PRECISION = 1e-10
shapes = st.floats(math.log(0.5), math.log(1e6)).map(math.exp)
probabilities = st.floats(1e-6, 1 - 1e-6)


@given(probabilities, shapes, shapes)
@example(0.1, 860762.6514629273, 1.6496149143954475)  # near 1 the usual fraction cancels
@example(0.025, 1e6, 1e6)
@example(0.975, 0.5, 1e6)
@example(0.975, 1e6, 0.5)
def test_beta_quantile_is_scipys(q, a, b):
    assert math.isclose(beta_quantile(q, a, b), scipy.stats.beta.ppf(q, a, b), rel_tol=PRECISION)


@given(probabilities, shapes, shapes)
@example(0.1, 860762.6514629273, 1.6496149143954475)
def test_beta_cdf_is_scipys(q, a, b):
    x = scipy.stats.beta.ppf(q, a, b)
    assume(0 < x < 1)
    assert math.isclose(beta_cdf(x, a, b), scipy.special.betainc(a, b, x), rel_tol=PRECISION)


@given(probabilities, st.floats(0.5, 1000), st.floats(0.5, 1000))
def test_beta_cdf_undoes_its_quantile(q, a, b):
    x = beta_quantile(q, a, b)
    # Where x is so near 1 that the next number is another q, it cannot.
    slack = 4 * sys.float_info.epsilon * scipy.stats.beta.pdf(x, a, b) if x < 1 else 1
    assert math.isclose(beta_cdf(x, a, b), q, rel_tol=1e-9, abs_tol=slack)


def test_beta_cdf_ends_at_0_and_1():
    assert [beta_cdf(x, 2, 3) for x in (-1, 0, 1, 2)] == [0, 0, 1, 1]


@given(st.floats(0.501, 1 - 1e-6), shapes)
@example(0.975, 1)
@example(0.975, 19)
def test_t_quantile_is_scipys(q, degrees):
    assert math.isclose(t_quantile(q, degrees), scipy.stats.t.ppf(q, degrees), rel_tol=PRECISION)


@given(st.integers(1, 10**6), st.floats(1e-6, 1), st.floats(-8, 8))
@example(1, 0.0, 0.0)
@example(1, 1.0, 0.0)
def test_binomial_mass_is_scipys(n, p, sds):
    successes = min(n, max(0, round(n * p + sds * math.sqrt(n * p * (1 - p)))))
    expected = scipy.stats.binom.pmf(successes, n, p)
    assert math.isclose(binomial_mass(successes, n, p), expected, rel_tol=PRECISION, abs_tol=1e-290)
