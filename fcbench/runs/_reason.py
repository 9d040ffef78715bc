"""What a verdict is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.text import shorten, show

if TYPE_CHECKING:
    from fcbench.types import CallPair, Json, Verdict


def outcome_of(verdict: Verdict) -> str:
    """Return calls, abstained, error, or the kind of failure."""
    if verdict.sample.error is not None:
        return "error"
    failure = verdict.parse.failure
    return verdict.parse.outcome if failure is None else failure.kind


def reason(verdict: Verdict) -> str:
    """Return in a line why a verdict is not right."""
    if verdict.sample.error is not None:
        return f"no answer: {verdict.sample.error}"
    failure = verdict.parse.failure
    if failure is not None:
        instead = f"expected {failure.expected}, found {failure.found!r}"
        return f"{failure.kind} at {failure.offset}: {instead}"
    if verdict.parse.outcome == "abstained":
        return "no call was attempted"
    wrong = filter(None, map(_difference, verdict.pairs))
    return next(wrong, "calls where none was right")


def _difference(pair: CallPair) -> str | None:
    """Return what is wrong with a pair of calls, or None."""
    if pair.expected_name != pair.called_name:
        called = pair.called_name or "nothing"
        return f"expected {pair.expected_name or 'no further call'}, called {called}"
    for argument in pair.arguments:
        where = f"{pair.expected_name}.{argument.path}: {argument.result.replace('_', ' ')}"
        if argument.result == "missing":
            return f"{where}: expected {_show(argument.expected)}"
        if argument.result == "extra":
            return f"{where}: called {_show(argument.called)}"
        if argument.result != "equal":
            return f"{where}: expected {_show(argument.expected)}, called {_show(argument.called)}"
    return None


def _show(value: Json) -> str:
    return shorten(show(value))
