"""Why `exact` and `bfcl` say different things of the same calls: one class a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench import Call
from fcbench.matching._values import compare_objects, equal
from fcbench.matching.bfcl import _compare_arguments, _standard
from tests.bfcl.parity import BFCL, EXACT
from tests.bfcl.synthetic import read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fcbench.types import Case, Json, Verdict
    from tests.bfcl.entries import Entry


class Example(NamedTuple):
    """An argument `x` of f: BFCL's doc, the possible answers of each expected call, and calls."""

    doc: dict[str, Any]
    possible: list[list[Any]]
    called: list[dict[str, Any]]
    required: bool = False


class Difference(NamedTuple):
    """A class: who accepts, why, and one example of our own."""

    accepts: str
    why: str
    example: Example


STRING: dict[str, Any] = {"type": "string"}
CLASSES: dict[str, Difference] = {
    "case, spaces or punctuation": Difference(
        "bfcl",
        "strings are compared in lower case, without spaces and , . / - _ * ^, with \" for '",
        Example(STRING, [["New-Haven"]], [{"x": "new haven"}]),
    ),
    "empty value of an optional argument": Difference(
        "bfcl",
        'the "" that makes an argument optional is a value too: "", or what is nothing but '
        "overlooked signs",
        Example(STRING, [["red", ""]], [{"x": "-"}]),
    ),
    "empty list of an optional array": Difference(
        "bfcl",
        'beside arrays that "" is read as the empty array',
        Example({"type": "array", "items": STRING}, [[["red"], ""]], [{"x": []}]),
    ),
    "bool equals number": Difference(
        "bfcl",
        'where no type is checked, in objects and beside "", values are equal by Python\'s ==',
        Example({"type": "dict"}, [[{"on": [1]}]], [{"x": {"on": True}}]),
    ),
    "float for an integer": Difference(
        "exact",
        "JSON has one number 3; BFCL takes an integer for a float, but no float for an integer",
        Example({"type": "integer"}, [[3]], [{"x": 3.0}]),
    ),
    "integer or float in an array": Difference(
        "exact",
        "items of an array have to be of the schema's type or of the answer's, and in Python 1 is "
        "no float",
        Example({"type": "array", "items": {"type": "float"}}, [[[1.0]]], [{"x": [1]}]),
    ),
    "accepted value of another type": Difference(
        "exact",
        "a value is right only if it has the schema's type or that of the first possible answer",
        Example({"type": "integer"}, [[1, None]], [{"x": None}]),
    ),
    "required argument called optional": Difference(
        "exact",
        "the answers accept its absence, but the schema requires it",
        Example(STRING, [["red", ""]], [{}], required=True),
    ),
    "argument without a schema": Difference(
        "exact",
        "the answers name an argument that the function does not have",
        Example({}, [["red"]], [{"x": "red"}]),
    ),
    "greedy pairing": Difference(
        "exact",
        "a call taken by the first expected call that accepts it is missing for a later one",
        Example(STRING, [["red", "blue"], ["red"]], [{"x": "red"}, {"x": "blue"}]),
    ),
}


def classes_of(case: Case, exact: Verdict, bfcl: Verdict) -> set[str]:
    """Return the classes of the reasons why two verdicts on the same calls differ.

    One of them found everything equal; what the other finds different in the same pairs is why.
    """
    verdict, by = (bfcl, EXACT) if bfcl.arguments else (exact, BFCL)
    schemas = {tool.name: tool.parameters for tool in reversed(case.tools)}
    found: set[str] = set()
    for pair in verdict.pairs:
        assert pair.expected is not None
        assert pair.called is not None
        wanted = case.expected[0][pair.expected]
        made = exact.parse.calls[pair.called]
        schema = schemas[wanted.name]
        if by is EXACT:
            differing = compare_objects(wanted.arguments, made.arguments)
        else:
            differing = _compare_arguments(wanted.arguments, made.arguments, schema)
        for argument in differing:
            if argument.result != "equal":
                doc = schema["properties"].get(argument.path)
                found |= (
                    _only_bfcl(argument.expected, argument.called)
                    if by is EXACT
                    else {_only_exact(argument.path, made.arguments, doc)}
                )
    if not found:
        # Only exact accepts, and yet every pair is right in BFCL's eyes: it paired others first.
        assert by is BFCL
        assert len(verdict.pairs) > 1
        found.add("greedy pairing")
    assert {CLASSES[name].accepts for name in found} == {"bfcl" if by is EXACT else "exact"}
    return found


def _only_exact(key: str, made: dict[str, Json], doc: dict[str, Json] | None) -> str:
    """Return why BFCL refuses an argument that is an accepted one as JSON."""
    if key not in made:
        return "required argument called optional"
    if doc is None:
        return "argument without a schema"
    if doc.get("type") == "integer" and isinstance(made[key], float):
        return "float for an integer"
    if doc.get("type") == "array" and isinstance(made[key], list):
        assert any(isinstance(item, int | float) for item in made[key])
        return "integer or float in an array"
    return "accepted value of another type"


def _only_bfcl(expected: Json, called: Json) -> set[str]:
    """Return why BFCL accepts a value that is no accepted one as JSON; nothing if it does not."""
    if isinstance(expected, dict) and "$any" in expected:
        return _of_choice(expected, called)
    if isinstance(expected, str) and isinstance(called, str):
        same = _standard(expected) == _standard(called)
        return {"case, spaces or punctuation"} if same else set()
    if isinstance(expected, list) and isinstance(called, list):
        same = len(expected) == len(called)
        return _of_parts(zip(expected, called, strict=True)) if same else set()
    if isinstance(expected, dict) and isinstance(called, dict):
        return _of_parts((expected[key], value) for key, value in called.items())
    bools = isinstance(expected, bool) or isinstance(called, bool)
    return {"bool equals number"} if bools and expected == called else set()


def _of_choice(choice: dict[str, Json], called: Json) -> set[str]:
    reasons = [_only_bfcl(value, called) for value in choice["$any"]]
    if choice.get("$optional"):
        if isinstance(called, str) and not _standard(called):
            reasons.append({"empty value of an optional argument"})
        if called == []:
            reasons.append({"empty list of an optional array"})
    # A value that is unlike has no reason at all; of those that have, the plainest.
    return min(filter(None, reasons), key=len, default=set())


def _of_parts(parts: Iterable[tuple[Json, Json]]) -> set[str]:
    """Return the reasons of all parts that differ, or none where one of them is unlike."""
    reasons: set[str] = set()
    for expected, called in parts:
        if not equal(expected, called):
            here = _only_bfcl(expected, called)
            if not here:
                return set()
            reasons |= here
    return reasons


# Examples


def entry_of(example: Example) -> Entry:
    """Return an example as an entry, read as BFCL's files are."""
    parameters = {
        "type": "dict",
        "properties": {"x": example.doc} if example.doc else {},
        "required": ["x"] if example.required else [],
    }
    function = {"name": "f", "description": "", "parameters": parameters}
    return read([([function], [{"f": {"x": possible}} for possible in example.possible])])[0]


def calls_of(example: Example) -> list[Call]:
    """Return the calls of an example."""
    return [Call("f", arguments) for arguments in example.called]
