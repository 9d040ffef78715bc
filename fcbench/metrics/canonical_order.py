"""Whether keys come in the order in which the chat template writes them.

Source: the chat template of google/functiongemma-270m-it, which sorts with Jinja's dictsort.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcbench.types import Json, Verdict


def canonical_order(verdict: Verdict) -> float | None:
    """Return 1.0 if the keys of every object are sorted without regard to case, else 0.0.

    Over all turns that hold calls; None for all others. Another order is valid and as right, but
    not what the model was trained on; in formats whose template keeps the order it is over no
    case.

    >>> text = "<start_function_call>call:f{b:1,a:2}<end_function_call>"
    >>> canonical_order(verdict_of(expected=call("f"), text=text))
    0.0
    >>> canonical_order(verdict_of(expected=call("f"), called=call("f", a=1, B=2)))
    1.0
    """
    if verdict.sample.error is not None or verdict.parse.outcome != "calls":
        return None
    return float(all(_is_sorted(call.arguments) for call in verdict.parse.calls))


def _is_sorted(value: Json) -> bool:
    if isinstance(value, list):
        return all(map(_is_sorted, value))
    if not isinstance(value, dict):
        return True
    keys = [key.lower() for key in value]
    return keys == sorted(keys) and all(map(_is_sorted, value.values()))
