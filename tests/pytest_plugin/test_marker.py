"""The marker fcbench and the fixture fcbench_scores."""

import pytest

ANSWER = 'model="python:gated_model:answer", suite="original_experiment"'


def test_a_marked_test_passes_fails_and_may_look_at_the_scores(project):
    project.makepyfile(
        f"""
        import pytest

        @pytest.mark.fcbench({ANSWER}, min_syntax_validity=0.5, max_over_calling=0.5)
        def test_passes():
            pass

        @pytest.mark.fcbench({ANSWER}, min_syntax_validity=0.5)
        def test_its_body_runs_after_the_gate(fcbench_scores):
            assert fcbench_scores.n_cases == 6

        @pytest.mark.fcbench({ANSWER}, min_argument_exact_match=0.9, max_over_calling=0.01)
        def test_misses(fcbench_scores):
            raise RuntimeError("the body of a test that missed is not run")

        @pytest.mark.fcbench({ANSWER}, min_argument_exact_match=0.2, confidence="point")
        @pytest.mark.parametrize("n", [1, 2])
        def test_the_point_value_is_asked_for(n):
            pass

        @pytest.mark.fcbench({ANSWER}, max_over_calling=0.0, confidence="point")
        def test_the_point_value_of_a_ceiling():
            pass

        @pytest.mark.fcbench({ANSWER}, min_name_match=0.1, confidence="point", per_tag=["parallel_2"])
        def test_a_tag_misses():
            pass

        def test_scores_without_a_marker_need_a_model(fcbench_scores):
            pass
        """
    )
    result = project.runpytest("--strict-markers")
    result.assert_outcomes(passed=4, failed=3, errors=1)
    assert project.asked() == ["answer"]
    result.stdout.fnmatch_lines(
        [
            "UsageError: which model?",
            "hint: model=… in the test, or --fcbench-model",
            "*assert 5 == 6*",
            "argument_exact_match 20.0% *of 5 is not at least 0.9 (lower bound); 5 cases cannot *",
            "over_calling 0.0% *of 5 is not at most 0.01 (upper bound); 5 cases cannot prove less *",
            "  4 fall short (other functions 4), the first of them:",
            "name_match (tag parallel_2) 0.0% *of ? is not at least 0.1 (point value)",
            "  2 fall short *",
        ]
    )
    result.stdout.no_fnmatch_line("*All traceback entries are hidden*")
    result.stdout.no_fnmatch_line("*another exception occurred*")


def test_what_is_nearer_goes_before_what_a_class_or_module_says(project):
    project.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.fcbench(model="python:gated_model:silent", min_syntax_validity=0.5)

        @pytest.mark.fcbench(suite="original_experiment")
        class TestThem:
            def test_the_module_s_model_fails(self): pass

            @pytest.mark.fcbench(model="python:gated_model:answer", limit=4)
            def test_another_model_passes(self, fcbench_scores):
                assert fcbench_scores.n_cases == 4
        """
    )
    project.runpytest().assert_outcomes(passed=1, failed=1)
    assert sorted(project.asked()) == ["answer", "silent"]


def test_a_parameter_that_is_marked_leaves_the_others_alone(project):
    project.makepyfile(
        f"""
        import pytest

        @pytest.mark.parametrize("n", [
            1, pytest.param(2, marks=pytest.mark.fcbench({ANSWER}, min_name_match=0.9)), 3,
        ])
        def test_it(n):
            pass
        """
    )
    project.runpytest().assert_outcomes(passed=2, failed=1)


def test_a_run_with_errors_is_an_error_of_the_marked_test(project):
    project.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.fcbench(
            model="python:gated_model:broken", suite="original_experiment", min_name_match=0.1)

        def test_it(): pass

        @pytest.mark.xfail(strict=True)
        def test_xfail(): pass

        @pytest.mark.skip
        def test_a_skipped_one_asks_nothing(): pass
        """
    )
    result = project.runpytest()
    result.assert_outcomes(errors=2, skipped=1)
    assert result.ret == 1
    assert project.asked() == ["broken"]
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_it*",
            "RunError: 5 of 5 samples have no answer: flashlight-and-event: OSError: no server *",
            "ERROR *::test_it - No*",
        ]
    )


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ('"my-model"', "the marker fcbench takes names, got 'my-model'"),
        ("min_name_macht=0.5", "no such metric: name_macht*did you mean name_match?"),
        ("name_match=0.5", "the marker fcbench has no name_match*did you mean m??_name_match?"),
        ("min_over_calling=0.5", "of over_calling less is better*"),
        ("max_name_match=0.5", "nobody said that of name_match less is better*"),
        ("min_name_match=90", "a threshold is a share from 0 to 1, got name_match=90"),
        ("min_name_match=True", "a threshold is a share from 0 to 1, got name_match=True"),
        ('min_name_match="0.9"', "a threshold is a share from 0 to 1, got name_match='0.9'"),
        ('min_name_match=0.5, confidence="upper"', "confidence is ?lower? or ?point?, got 'upper'"),
        ("min_name_match=0.5, alpha=0.1", "alpha is of a comparison*no_worse_than=RUN"),
        ('no_worse_than="x", alpha=1', "alpha is above 0 and below 0.5, got 1"),
        ('no_worse_than="x", margin=-1', "a margin is above 0, got -1*"),
        ("", "the marker of test_it asks for nothing*fcbench_scores"),
        ("max_new_tokens=64", "the marker of test_it asks for nothing*"),
    ],
)
def test_a_wrong_marker_is_an_error_before_any_model_is_asked(project, marker, said):
    project.makepyfile(
        f"""
        import pytest

        @pytest.mark.fcbench({ANSWER})
        class TestIt:
            @pytest.mark.fcbench({marker})
            def test_it(self): pass
        """
    )
    result = project.runpytest()
    result.assert_outcomes(errors=1)
    first, _, hint = said.partition("*")
    result.stdout.fnmatch_lines([f"UsageError: {first}*", *([f"hint: *{hint}*"] if hint else [])])
    assert project.asked() == []


def test_two_markers_of_one_test_are_refused(project):
    project.makepyfile(
        f"""
        import pytest

        @pytest.mark.fcbench({ANSWER}, min_name_match=0.1)
        @pytest.mark.fcbench(suite="abstain", min_abstention=0.1)
        def test_it(): pass
        """
    )
    result = project.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["UsageError: test_it has two markers fcbench", "hint: two thre*"])


def test_a_marked_test_is_compared_with_a_stored_run(project):
    project.makepyfile(
        """
        import pytest
        S = "mobile_actions"
        ANSWER, SILENT = "python:gated_model:answer", "python:gated_model:silent"

        def test_0_the_baseline_is_made(fcbench_run):
            fcbench_run(ANSWER, S, results="baselines", limit=40)

        RUN = "baselines/mobile_actions-40--python-gated_model-answer--chat"

        @pytest.mark.fcbench(model=ANSWER, suite=S, limit=40, no_worse_than=RUN)
        def test_1_no_worse(): pass

        @pytest.mark.fcbench(model=SILENT, suite=S, limit=40, no_worse_than=RUN,
                             metric="syntax_validity")
        def test_2_worse(): pass

        @pytest.mark.fcbench(model=ANSWER, suite=S, limit=40, no_worse_than=RUN, margin=0.05)
        def test_3_not_shown(): pass

        @pytest.mark.fcbench(model=ANSWER, suite=S, limit=40, no_worse_than=RUN, margin=0.1)
        def test_4_shown(): pass

        @pytest.mark.fcbench(model=ANSWER, suite=S, limit=41, no_worse_than=RUN)
        def test_5_other_cases(): pass

        @pytest.mark.fcbench(model=ANSWER, suite=S, limit=40, no_worse_than="no_such_run")
        def test_6_no_baseline(): pass

        @pytest.mark.fcbench(model=ANSWER, suite=S, limit=39, no_worse_than=RUN)
        def test_7_the_baselines_other_cases_are_left_aside(): pass
        """
    )
    result = project.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=4, failed=2, errors=2)
    result.stdout.fnmatch_lines(
        [
            "UsageError: the runs are over different cases: 0 are only in the first, 1 *",
            "RunError: no_such_run: no run stands here",
            "syntax_validity is worse than the baseline's: 0.0% * of 38, the baseline 100.0% * of 38",
            "  p = 3.6e-12 is at most 0.05 (one-sided exact McNemar test, n = 38)",
            "  the least difference that 38 cases could have shown: 13.2 points",
            "  38 cases got worse, 0 better; the first that got worse:",
            "  eval-0001: no call was attempted",
            "    baseline *",
            "  the baseline: baselines/*",
            "argument_exact_match is not shown to be less than 5.0 points worse than *",
            "  p = 0.14 is above 0.05 (one-sided non-inferiority test, n = 38)",
        ]
    )
