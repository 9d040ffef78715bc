"""What the intervals promise is what they keep: exact coverage, beside every jump of it."""

import json
import math
from pathlib import Path
from statistics import fmean

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fcbench.stats import clopper_pearson, coverage, wilson
from tests.benchmarks.coverage import GRID, as_markdown, beside_ends, of_proportion

SIZES = [20, 100, 1000]
counts = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.sampled_from([0.8, 0.95, 0.999]))
def test_clopper_pearson_is_scipys(counts, confidence):
    successes, n = counts
    found = clopper_pearson(successes, n, confidence)
    expected = scipy.stats.binomtest(successes, n).proportion_ci(confidence, "exact")
    # scipy searches for the ends itself, less precisely.
    assert found[1:3] == pytest.approx(tuple(expected), rel=1e-7, abs=1e-12)
    assert found.value == successes / n


@given(counts, st.floats(0, 1))
def test_fractional_successes_are_rounded_outward(counts, less):
    successes, n = counts
    graded = max(0.0, successes - less)
    found = clopper_pearson(graded, n)
    assert found.low == clopper_pearson(math.floor(graded), n).low
    assert found.high == clopper_pearson(math.ceil(graded), n).high
    assert found.low <= found.value <= found.high


@given(st.integers(1, 300), st.floats(0.001, 0.999), st.sampled_from([0.5, 0.95]))
def test_coverage_is_the_weight_of_the_outcomes_that_hold_p(n, p, confidence):
    held = [
        low <= p <= high for _, low, high, _ in (wilson(k, n, confidence) for k in range(n + 1))
    ]
    expected = sum(scipy.stats.binom.pmf([k for k in range(n + 1) if held[k]], n, p))
    assert math.isclose(coverage("wilson", n, p, confidence), expected, rel_tol=1e-9)


@pytest.mark.parametrize("n", SIZES)
def test_wilson_covers_95_in_100_on_the_mean_over_p(n):
    assert 0.94 <= fmean(coverage("wilson", n, p) for p in GRID) <= 0.96


@pytest.mark.parametrize("n", SIZES)
def test_wilson_covers_less_than_it_says_near_0_and_1(n):
    p, least = min(
        ((p, coverage("wilson", n, p)) for p in beside_ends("wilson", n)), key=lambda x: x[1]
    )
    assert 0.83 < least < 0.84
    assert 0.17 < n * min(p, 1 - p) < 0.18  # just under the lower bound of 1 success


@pytest.mark.parametrize("n", SIZES)
def test_clopper_pearson_never_covers_less_than_it_says(n):
    points = [*GRID[:: 1 if n <= 100 else 10], *beside_ends("clopper-pearson", n)]
    assert min(coverage("clopper-pearson", n, p) for p in points) >= 0.95 - 1e-9


@pytest.mark.parametrize("method", ["wilson", "clopper-pearson"])
@given(n=st.integers(1, 60), p=st.floats(0, 1))
def test_coverage_is_the_same_for_failures_as_for_successes(method, n, p):
    if any(min(abs(p - end), abs(1 - p - end)) < 1e-9 for end in beside_ends(method, n)):
        return  # there it jumps
    assert math.isclose(coverage(method, n, p), coverage(method, n, 1 - p), rel_tol=1e-9)


def test_the_published_coverage_is_what_is_computed():
    folder = Path(__file__).parents[2] / "results/benchmarks"
    published = json.loads((folder / "coverage.json").read_text("utf-8"))
    for row in published["proportions"]:
        if row["n"] <= 100:
            assert row == json.loads(json.dumps(of_proportion(row["method"], row["n"])))
    text = as_markdown(published, published["simulations"])
    assert text == (folder / "coverage.md").read_text("utf-8")
