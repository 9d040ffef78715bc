"""Recall of arguments.

Source: the usual definition over (name, value) pairs; van Rijsbergen, Information Retrieval (1979).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.metrics._arguments import arguments_of

if TYPE_CHECKING:
    from fcbench.types import Verdict


def argument_recall(verdict: Verdict) -> float | None:
    """Return the share of the expected arguments that were called rightly, from 0 to 1.

    Over the cases that expect a call; None also where the right calls have no arguments. A
    malformed turn finds none. The mean over cases counts each case the same.

    >>> argument_recall(verdict_of(expected=call("f", x=1, y=2), called=call("f", x=1)))
    0.5
    >>> argument_recall(verdict_of(expected=call("f", x=1), text="f(1)"))
    0.0
    """
    found = arguments_of(verdict)
    return None if found is None or not found.n_expected else found.n_equal / found.n_expected
