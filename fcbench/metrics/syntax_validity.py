"""Syntax validity of a turn.

Source: this project's definition; the strict grammars are grammars/*.lark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcbench.types import Verdict


def syntax_validity(verdict: Verdict) -> float | None:
    """Return 1.0 if the whole turn parses strictly and holds a call, else 0.0.

    None when the case expects no call, and when there was no text to judge.

    >>> syntax_validity(verdict_of(expected=call("f"), called=call("g")))
    1.0
    >>> syntax_validity(verdict_of(expected=call("f"), text="f()"))
    0.0
    """
    if not verdict.case.expects_call or verdict.syntax is None:
        return None
    return float(verdict.syntax)
