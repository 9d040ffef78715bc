"""The pytest plugin, as a user's own test run sees it."""

import pytest

MODEL = """
calls = []
def answer(prompts):
    calls.append(len(prompts))
    return ["<start_function_call>call:show_map{query:<escape>Coit Tower<escape>}<end_function_call>"] * len(prompts)
"""


@pytest.fixture
def project(pytester):
    pytester.makepyfile(gated_model=MODEL)
    pytester.syspathinsert()
    return pytester


def test_a_gate_passes_and_fails_on_the_lower_bound(project):
    project.makepyfile(
        """
        def test_passes(fcbench_run):
            scores = fcbench_run(model="python:gated_model:answer", suite="original_experiment")
            scores.assert_at_least(syntax_validity=0.5)

        def test_fails(fcbench_run):
            scores = fcbench_run(model="python:gated_model:answer", suite="original_experiment")
            scores.assert_at_least(syntax_validity=0.5, argument_exact_match=0.9)

        def test_the_run_is_shared(fcbench_run):
            import gated_model
            assert gated_model.calls == [5]
        """
    )
    result = project.runpytest()
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError: argument_exact_match 20.0% ?3.6%, 62.4%? of 5 is not at least 0.9 (lower bound)*",
            "*flashlight-and-event: *",
        ]
    )
