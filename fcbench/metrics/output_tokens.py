"""The tokens that the model wrote.

Source: this project's definition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcbench.types import Verdict


UNIT = "tokens"
LOWER_IS_BETTER = True


def output_tokens(verdict: Verdict) -> float | None:
    """Return the tokens that the model wrote, a stop token included.

    Over all answers; None where the backend did not say.

    >>> output_tokens(verdict_of(expected=call("f"), called=call("f"), output_tokens=12))
    12.0
    """
    if verdict.sample.error is not None or verdict.sample.output_tokens is None:
        return None
    return float(verdict.sample.output_tokens)
