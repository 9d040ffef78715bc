"""The pytest plugin: the fixture fcbench_run.

    def test_release(fcbench_run):
        scores = fcbench_run(model="my/model", suite="mobile_actions", prompt="chat")
        scores.assert_at_least(syntax_validity=0.95, argument_exact_match=0.80)

Nothing heavy is imported until a test runs a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from fcbench.runs import Scores


@pytest.fixture(scope="session")
def fcbench_run() -> Callable[..., Scores]:
    """Return a function that takes what fcbench.run takes and returns scores.

    A run is made once per session, however many tests ask for it.
    """
    made: dict[tuple[tuple[str, str], ...], Scores] = {}

    def run_and_score(model: str, suite: str, prompt: str = "chat", **options: Any) -> Scores:
        arguments = {"model": model, "suite": suite, "prompt": prompt, **options}
        key = tuple(sorted((name, repr(value)) for name, value in arguments.items()))
        if key not in made:
            import fcbench

            made[key] = fcbench.score(fcbench.run(model, suite, prompt, **options))
        return made[key]

    return run_and_score
