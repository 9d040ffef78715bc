"""Match of the called functions' names after lenient repairs.

Source: this project's definition; what lenient parsing repairs stands in fcbench.parse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.metrics.name_match import name_match

if TYPE_CHECKING:
    from fcbench.types import Verdict


def name_match_lenient(verdict: Verdict) -> float | None:
    """Return name_match of the calls that lenient parsing finds.

    >>> name_match_lenient(verdict_of(expected=call("f"), text=render([call("f")]) + " Done."))
    1.0
    >>> name_match_lenient(verdict_of(expected=call("f"), text=render([call("g")]) + " Done."))
    0.0
    """
    return name_match(verdict.lenient or verdict)
