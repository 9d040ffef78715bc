"""A run beside an earlier one on the same cases: significantly worse, or not shown to be no worse."""

import pytest
import scipy.stats

import fcbench
from fcbench.errors import RunError, UsageError
from fcbench.metrics import Metric
from fcbench.stats import non_inferiority, sign_flip

RUN = "results/mobile_actions-40--gemma3-270m--mobile-actions-chat"
RIGHT = "<start_function_call>call:show_map{query:<escape>Oslo<escape>}<end_function_call>"
WRONG = RIGHT.replace("Oslo", "oslo")


@pytest.fixture
def suite(write_lines, case_row):
    return write_lines(*(case_row(id=f"c{i}") for i in range(40)))


def scores_of(suite, n_right, first=0, **more):
    """Scores where so many cases are right, from the first on."""
    right = range(first, first + n_right)
    return fcbench.score(
        {f"c{i}": RIGHT if i in right else WRONG for i in range(40)}, suite, **more
    )


def missed(*args, **kwargs):
    with pytest.raises(AssertionError) as caught:
        args[0].assert_no_worse_than(*args[1:], **kwargs)
    return str(caught.value).splitlines()


def test_five_flips_for_the_worse_are_significant_and_four_are_not(suite):
    baseline = scores_of(suite, 40)
    scores_of(suite, 36).assert_no_worse_than(baseline)
    lines = missed(scores_of(suite, 35), baseline)
    p = scipy.stats.binomtest(5, 5, alternative="greater").pvalue
    assert lines == [
        "argument_exact_match is worse than the baseline's: 87.5% [73.9%, 94.5%] of 40, the baseline 100.0% [91.2%, 100.0%] of 40",
        f"  p = {p:.2g} is at most 0.05 (one-sided exact McNemar test, n = 40)",
        "  the least difference that 40 cases could have shown: 12.5 points",
        "  outputs; the baseline: outputs",
        "  5 cases got worse, 0 better; the first that got worse:",
        *(
            line
            for i in range(35, 40)
            for line in (
                f"  c{i}: show_map.query is different",
                "    expected 'Oslo'",
                "    called   'oslo'",
                f"    text     {WRONG}",
                "    baseline right",
                f"             {RIGHT}",
            )
        ),
    ]
    scores_of(suite, 35).assert_no_worse_than(baseline, alpha=0.01)
    scores_of(suite, 40).assert_no_worse_than(scores_of(suite, 0))  # better is never worse


def test_flips_both_ways_are_weighed_against_each_other(suite):
    # 12 are lost and 4 won: (1 + 16 + 120 + 560 + 1820) / 2^16 = 0.038
    baseline, after = scores_of(suite, 24, first=4), scores_of(suite, 16, first=0)
    lines = missed(after, baseline)
    expected = scipy.stats.binomtest(12, 16, alternative="greater").pvalue
    assert f"p = {expected:.2g} " in lines[1]
    assert "  12 cases got worse, 4 better; the first that got worse:" in lines
    assert "  … and 7 more" in lines


def test_with_a_margin_it_has_to_be_shown(suite):
    same = scores_of(suite, 40)
    same.assert_no_worse_than(same, margin=0.08)
    lines = missed(same, same, margin=0.07)
    p = non_inferiority([0] * 40, 0.07)
    assert p > 0.05
    assert lines[:4] == [
        "argument_exact_match is not shown to be less than 7.0 points worse than the baseline's: 100.0% [91.2%, 100.0%] of 40, the baseline 100.0% [91.2%, 100.0%] of 40",
        f"  p = {p:.2g} is above 0.05 (one-sided non-inferiority test, n = 40)",
        "  with 95% confidence it is less than 7.2 points worse",
        "  the least margin that 40 cases without a flip show: 7.2 points",
    ]
    # Not significantly worse, and not shown to be as good either.
    worse = scores_of(suite, 37)
    worse.assert_no_worse_than(same)
    missed(worse, same, margin=0.1)
    worse.assert_no_worse_than(same, margin=0.2)
    scores_of(suite, 40).assert_no_worse_than(scores_of(suite, 20), margin=0.01)


def test_repeats_are_one_difference_a_case_and_tested_by_flips_of_its_sign(suite):
    def rows(lost):
        return [
            {"id": f"c{i}", "repeat": r, "text": WRONG if 2 - r < lost(i) else RIGHT}
            for i in range(40)
            for r in range(3)
        ]

    baseline = fcbench.score(rows(lambda _: 0), suite)
    after = fcbench.score(rows(lambda i: (i < 6) + (i < 2)), suite)
    lines = missed(after, baseline)
    p = sign_flip([-2 / 3] * 2 + [-1 / 3] * 4 + [0] * 34, alternative="less")
    assert (
        lines[1] == f"  p = {p:.2g} is at most 0.05 (one-sided sign-flip permutation test, n = 40)"
    )
    assert "could have shown" not in lines[2]
    # The repeat that is shown is the first that is wrong.
    assert "  c0 (repeat 1): show_map.query is different" in lines
    after.assert_no_worse_than(baseline, alpha=0.01)


def test_of_less_is_better_more_is_worse():
    base = fcbench.score("results/mobile_actions-40--gemma3-270m--chat")
    tuned = fcbench.score(f"{RUN}--chat")
    tuned.assert_no_worse_than(base, metric="seconds")
    assert missed(base, tuned, metric="seconds")[0].startswith("seconds is worse than the baseline")
    tuned.assert_no_worse_than(base, metric="seconds", margin=0.01)
    assert "may be" not in missed(base, tuned, metric="seconds", margin=0.5)[0]


def test_a_baseline_is_a_run_or_its_folder_too():
    after = fcbench.score(f"{RUN}--bare")
    folder = f"{RUN}--chat"
    from fcbench.runs import read_run

    told = [
        missed(after, baseline) for baseline in (folder, read_run(folder), fcbench.score(folder))
    ]
    assert told[0] == told[1] == told[2]
    assert told[0][-4:] == [
        f"  the run: {RUN}--bare",
        f"  one case: python -m fcbench inspect eval-0001 --run {RUN}--bare",
        f"  all cases: python -m fcbench report {RUN}--bare -o report.html",
        f"  the baseline: {folder}",
    ]
    strict = fcbench.score(folder, matcher="bfcl")
    # A folder is judged by the rules of what it is compared with.
    strict.assert_no_worse_than(folder)
    with pytest.raises(UsageError, match="judged by different rules"):
        strict.assert_no_worse_than(fcbench.score(folder))


def test_a_metric_of_ones_own_is_compared_as_ours_are():
    n_characters = Metric(
        lambda v: len(v.sample.text), "n_characters", "characters", lower_is_better=True
    )
    after = fcbench.score(f"{RUN}--chat", metrics=[n_characters])
    after.assert_no_worse_than(f"{RUN}--chat", metric="n_characters")
    amount = Metric(lambda v: len(v.sample.text), "amount", "characters")
    with pytest.raises(UsageError, match="nobody said whether more or less amount is better"):
        fcbench.score(f"{RUN}--chat", metrics=[amount]).assert_no_worse_than(
            f"{RUN}--chat", metric="amount"
        )


def test_what_no_result_could_fail_is_refused(write_lines, case_row, suite):
    few = write_lines(*(case_row(id=f"c{i}") for i in range(4)), name="few.jsonl")
    scores = fcbench.score({f"c{i}": RIGHT for i in range(4)}, few)
    with pytest.raises(UsageError, match=r"4 cases are too few .* at alpha=0.05"):
        scores.assert_no_worse_than(scores)
    with pytest.raises(UsageError, match="different suites"):
        scores.assert_no_worse_than(scores_of(suite, 40))
    full = scores_of(suite, 40)
    for wrong, said in (
        ({"alpha": 0}, "alpha"),
        ({"alpha": 0.5}, "alpha"),
        ({"margin": 0}, "margin"),
        ({"margin": float("nan")}, "margin"),
        ({"metric": "name_macht"}, "did you mean name_match"),
    ):
        with pytest.raises(UsageError, match=said):
            full.assert_no_worse_than(full, **wrong)
    assert missed(full, full, metric="abstention") == [
        "abstention is over no case of both runs: nothing shows that it is no worse",
        "  outputs; the baseline: outputs",
        "  0 cases got worse, 0 better",
    ]
    with pytest.raises(UsageError, match="verdicts were not kept"):
        full.assert_no_worse_than(scores_of(suite, 40, keep_verdicts=False))


def test_errors_of_either_run_are_no_comparison(suite):
    full, part = scores_of(suite, 40), fcbench.score({"c0": RIGHT}, suite)
    with pytest.raises(RunError, match=r"^39 of 40 samples"):
        part.assert_no_worse_than(full)
    with pytest.raises(RunError, match=r"^the baseline: 39 of 40 samples"):
        full.assert_no_worse_than(part)
