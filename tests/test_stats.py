"""Wilson's interval: known values, bounds, and what happens at the edges; what comes with stats."""

import math
import subprocess
import sys
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fcbench.stats
from fcbench.stats import clopper_pearson, wilson

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


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@given(n=st.integers(1, 500))
def test_nothing_and_everything_still_leave_room_for_doubt(interval, n):
    assert interval(0, n).low == 0 < interval(0, n).high
    assert interval(n, n).high == 1 > interval(n, n).low


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_no_cases_give_no_value(interval):
    assert interval(0, 0) == (None, None, None, 0)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (1, 0)])
def test_impossible_counts_are_refused(interval, successes, n):
    with pytest.raises(ValueError, match="successes in"):
        interval(successes, n)


def test_stats_alone_bring_neither_numpy_nor_scipy():
    script = "import sys, fcbench.stats; print(sorted({'numpy', 'scipy'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_public_names_are_sorted_and_all_there():
    names = fcbench.stats.__all__
    assert names == sorted(names)
    assert all(getattr(fcbench.stats, name) for name in names)
