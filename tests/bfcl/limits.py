"""Entries that no output can satisfy under BFCL's own rules, and required arguments left optional.

Arguments are judged one by one, so an entry can be satisfied if each of its arguments can. Each is
put to bfcl-eval's own checker alone, with every possible answer, every value that it might take for
one, and none; then the whole entry is, with what was found.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench import Call
from tests.bfcl.outputs import ABSENT, spelled, wrong_values
from tests.bfcl.parity import verdict_of_theirs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.benchmarks.bfcl import BfclEval
    from tests.bfcl.entries import Entry


class Limit(NamedTuple):
    """An argument of an entry, and what is the matter with it."""

    id: str
    argument: str
    reason: str


def unsatisfiable(found: Iterable[Entry], theirs: BfclEval) -> list[Limit]:
    """Return every argument that no value and no absence satisfies.

    Raises AssertionError where the search does not settle whether an entry can be satisfied.
    """
    limits = []
    for entry in found:
        here, calls = [], []
        for answer in entry.answers:
            ((name, possible),) = answer.items()
            function = _function(entry, name)
            parameters = function["parameters"]
            arguments = {}
            for key in dict.fromkeys([*possible, *parameters["required"]]):
                value = _satisfying(entry, function, key, possible.get(key), theirs)
                if value is None:
                    why = _reason(possible.get(key), parameters, key)
                    here.append(Limit(entry.id, f"{name}.{key}", why))
                elif value[0] is not ABSENT:
                    arguments[key] = value[0]
            calls.append(Call(name, arguments))
        limits += here
        if not here:
            assert _accepted_in_some_order(entry, calls, theirs), entry.id
    return limits


def optional_though_required(found: Iterable[Entry]) -> list[Limit]:
    """Return every argument that the function requires and the possible answers call optional."""
    return [
        Limit(entry.id, f"{name}.{key}", 'required, and "" among its possible answers')
        for entry in found
        for answer in entry.answers
        for name, possible in answer.items()
        for key in _function(entry, name)["parameters"]["required"]
        if "" in possible.get(key, [])
    ]


def _function(entry: Entry, name: str) -> dict[str, Any]:
    return next(f for f in entry.functions if f["name"] == name)


def _satisfying(
    entry: Entry,
    function: dict[str, Any],
    key: str,
    possible: list[Any] | None,
    theirs: BfclEval,
) -> tuple[Any] | None:
    """Return what satisfies one argument alone, in a tuple, or None."""
    parameters = function["parameters"]
    properties = {k: v for k, v in parameters["properties"].items() if k == key}
    required = [k for k in parameters["required"] if k == key]
    alone = entry._replace(
        category="simple_python",
        functions=[{**function, "parameters": {"properties": properties, "required": required}}],
        answers=[{function["name"]: {} if possible is None else {key: possible}}],
    )
    for value in [*_candidates(possible or [], properties.get(key)), ABSENT]:
        arguments = {} if value is ABSENT else {key: value}
        if verdict_of_theirs(alone, [Call(function["name"], arguments)], theirs) is True:
            return (value,)
    return None


def _candidates(possible: list[Any], doc: dict[str, Any] | None) -> Iterable[Any]:
    """Return possible answers, then what is near to them, then a value of every type."""
    values = [value for value in spelled(possible, doc) if value is not ABSENT]
    near = (changed for value in values for _, changed in wrong_values(value))
    return itertools.chain(values, near, ("", "x", 0, 0.0, True, None, [], [""], {}, [{}]))


def _accepted_in_some_order(entry: Entry, calls: list[Call], theirs: BfclEval) -> bool:
    return any(
        verdict_of_theirs(entry, order, theirs) is True for order in itertools.permutations(calls)
    )


def _reason(possible: list[Any] | None, parameters: dict[str, Any], key: str) -> str:
    if possible is None:
        return "required, but without possible answers"
    if not possible:
        return "its list of possible answers is empty"
    if key not in parameters["properties"]:
        return "answers name it and need it, but the function has no such parameter"
    return "no possible answer has a type that is accepted"
