"""F1 of arguments: partial credit where argument_exact_match gives none.

Source: the usual definition over (name, value) pairs; van Rijsbergen, Information Retrieval (1979).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.metrics._arguments import arguments_of

if TYPE_CHECKING:
    from fcbench.types import Verdict


def argument_f1(verdict: Verdict) -> float | None:
    """Return the harmonic mean of a sample's argument precision and recall, from 0 to 1.

    2 · equal / (called + expected), over the cases that expect a call; None where neither side has
    an argument. The mean over cases counts each case the same.

    >>> argument_f1(verdict_of(expected=call("f", x=1, y=2), called=call("f", x=1)))
    0.6666666666666666
    >>> argument_f1(verdict_of(expected=call("f", x=1), text="f(1)"))
    0.0
    """
    found = arguments_of(verdict)
    if found is None or not found.n_called + found.n_expected:
        return None
    return 2 * found.n_equal / (found.n_called + found.n_expected)
