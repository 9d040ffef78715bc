"""What a verdict is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.text import shorten, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Call, CallPair, Json, Verdict


def outcome_of(verdict: Verdict) -> str:
    """Return calls, abstained, error, server_parser, or the kind of failure."""
    if verdict.sample.error is not None:
        return "error"
    if verdict.server_parser:
        return "server_parser"
    failure = verdict.parse.failure
    return verdict.parse.outcome if failure is None else failure.kind


def reason(verdict: Verdict) -> str:
    """Return in a line why a verdict is not right."""
    if verdict.sample.error is not None:
        return f"no answer: {verdict.sample.error}"
    if verdict.server_parser and verdict.own is not None:
        read, ours = verdict.sample.native_calls or [], verdict.own.calls
        return f"the server's parser reads {_calls(read)}, the grammar reads {_calls(ours)}"
    failure = verdict.parse.failure
    if failure is not None:
        instead = f"expected {failure.expected}, found {failure.found!r}"
        return f"{failure.kind} at {failure.offset}: {instead}"
    if verdict.parse.outcome == "abstained":
        return "no call was attempted"
    wrong = filter(None, map(_difference, verdict.pairs))
    return next(wrong, "calls where none was right")


def _calls(calls: Sequence[Call]) -> str:
    if not calls:
        return "no call"
    return shorten(", ".join(f"{call.name} {show(call.arguments)}" for call in calls))


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
