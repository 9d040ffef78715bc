"""A release gate on real models: the fine-tuned one passes, the base fails and is told why."""

from pathlib import Path

import pytest

ADAPTER = Path(__file__).parents[2] / "results" / "adapters" / "mobile-actions-chat"


@pytest.mark.model
def test_the_fine_tuned_model_passes_and_the_base_fails_with_the_reason(pytester):
    pytester.makepyfile(
        test_release=f"""
        import pytest

        @pytest.mark.fcbench(adapter={str(ADAPTER)!r}, min_syntax_validity=0.9,
                             min_argument_exact_match=0.65, max_over_calling=0.15)
        def test_tuned():
            pass

        @pytest.mark.fcbench(min_argument_exact_match=0.65, max_new_tokens=64)
        def test_base():
            pass

        def test_base_is_worse(fcbench_run):
            tuned = fcbench_run(adapter={str(ADAPTER)!r})
            fcbench_run(max_new_tokens=64).assert_no_worse_than(tuned)
        """
    )
    result = pytester.runpytest(
        "--fcbench-model=gemma3-270m", "--fcbench-suite=mobile_actions", "--fcbench-limit=40"
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "argument_exact_match 0.0% ?0.0%, 9.2%? of 38 is not at least 0.65 (lower bound)",
            "  gemma3-270m, chat, over 40 cases of mobile_actions",
            "  what the 40 turns were: abstained 40",
            "  38 fall short (abstained 38), the first of them:",
            "  eval-0001: no call was attempted",
            "    expected show_map {'query': 'Kinkaku-ji'}",
            "  why no turn is a call: python -m fcbench doctor gemma3-270m",
            "E       AssertionError: argument_exact_match is worse than the baseline's: 0.0% *",
            "gemma3-270m + * 100 ?90.8–100? of 38 * 84.2 ?69.6–92.6? of 38 *",
            "gemma3-270m * 0 ?0–9.2? of 38 *",
        ]
    )
