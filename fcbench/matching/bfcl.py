"""The rules by which the Berkeley Function Calling Leaderboard judges calls in Python.

Source: bfcl-eval 2026.3.23, eval_checker/ast_eval/ast_checker.py, Apache-2.0; its rules written
anew, and compared with its own code by `make test-bfcl`. In plain words:

- As many calls as expected, in any order. Each expected call, in turn, takes the first call left
  that it accepts, and never gives it back, so two calls may be refused that could be paired.
- A call has the function's name to the letter. BFCL undoes the underscores that some APIs put for
  dots in names; that is an API's affair, and none of a matcher's.
- Every required argument is there, and every other one that the expected call has unless "" is
  among its accepted values. An argument that the expected call or the schema lacks is wrong.
- Types are Python's own: True is no integer, 1.0 neither; but 1 is a float. A schema of any type
  takes strings. Items of an array have the schema's type or that of an accepted array's first item,
  without that leave for integers; where "" is accepted, any type. What lies deeper is not checked.
- Where the first accepted value is of another type than the schema's, it stands for a variable, and
  values of that type are right too; whatever comes must then be an accepted value by Python's ==.
- Strings are equal without spaces and , . / - _ * ^, in lower case, with " for '. So are strings
  in arrays and objects, but none that lies deeper.
- "" among the accepted values leaves an argument out, and is also a value: for a string "" or
  what becomes it, such as "-", and for an array [].
- Arrays are equal item by item, in order, by Python's ==: True equals 1 wherever no type said
  otherwise, in objects too.
- An object has accepted values for each of its keys, "" for one that may be left out, and no other
  key. So have the objects in an array of objects, which come in order. Deeper objects are values.

Where its code would raise, the call is wrong, and pairing goes on. fcbench has no tuples: every
sequence is a list. Where a schema lacks what BFCL's always have, nothing is required, and items are
of no type. A case's `ordered` means nothing here, and `$any` only where BFCL has its lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.matching import Match
from fcbench.matching._assignment import assign
from fcbench.matching._pairs import gain, is_equal, lay_out, nearness, table_of
from fcbench.matching._values import ANY, OPTIONAL, is_choice
from fcbench.types import ArgumentVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.matching._pairs import Table
    from fcbench.types import ArgumentResult, Call, Case, Json, Matching

HAS_OPTIONS = False  # with any, they would no longer be BFCL's rules

_KINDS: Mapping[Json, type] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
}
_STANDARD = str.maketrans({"'": '"', **dict.fromkeys(" ,./-_*^")})


class _WouldRaise(Exception):
    """BFCL's own code raises here."""


def match(case: Case, calls: Sequence[Call], matching: Matching) -> Match:  # noqa: ARG001  a matcher's signature
    """Return how the calls compare with the accepted answer that they meet best.

    Where any call is right, and nobody said which, both results say whether there is one.
    """
    if not case.expected:
        return Match(bool(calls), bool(calls), [])
    schemas = {tool.name: tool.parameters for tool in reversed(case.tools)}  # the first of a name

    def compare(wanted: Call, made: Call) -> list[ArgumentVerdict]:
        schema = schemas.get(wanted.name, {})
        return _compare_arguments(wanted.arguments, made.arguments, schema)

    found = []
    for answer in case.expected:
        table = table_of(answer, calls, compare)
        chosen = _greedy(table)
        right = len(calls) == len(answer) and None not in chosen
        pairs = lay_out(table, _with_nearest(table, chosen), answer, calls)
        names = sorted(call.name for call in answer) == sorted(call.name for call in calls)
        found.append((right, names, nearness(pairs), pairs))
    right, names, _, pairs = max(found, key=lambda each: each[:3])
    return Match(names, right, pairs)


def _greedy(table: Table) -> list[int | None]:
    """Return for each expected call the first called one that it accepts and no earlier took."""
    chosen: list[int | None] = []
    for row in table:
        free = (j for j, pair in enumerate(row) if j not in chosen and is_equal(pair))
        chosen.append(next(free, None))
    return chosen


def _with_nearest(table: Table, chosen: Sequence[int | None]) -> list[int | None]:
    """Pair what is left by how near it is; the verdict is out, this says what is different."""
    rows = [i for i, j in enumerate(chosen) if j is None]
    columns = [j for j in range(len(table[0]) if table else 0) if j not in chosen]
    paired = list(chosen)
    assigned = assign([[gain(table[i][j]) for j in columns] for i in rows])
    for i, column in zip(rows, assigned, strict=True):
        paired[i] = None if column is None else columns[column]
    return paired


def _compare_arguments(
    wanted: Mapping[str, Json], made: Mapping[str, Json], schema: Mapping[str, Json]
) -> list[ArgumentVerdict]:
    """Return one verdict an argument, expected ones first."""
    properties, required = schema.get("properties", {}), schema.get("required", ())
    verdicts = []
    for key, expected in wanted.items():
        if key not in made:
            absent = key not in required and is_choice(expected) and expected.get(OPTIONAL, False)
            verdicts.append(ArgumentVerdict(key, "equal" if absent else "missing", expected))
        else:
            result: ArgumentResult = "extra"
            if key in properties:
                result = _compare(expected, made[key], properties[key])
            verdicts.append(ArgumentVerdict(key, result, expected, made[key]))
    verdicts += [
        ArgumentVerdict(key, "extra", called=value)
        for key, value in made.items()
        if key not in wanted
    ]
    verdicts += [
        ArgumentVerdict(key, "missing") for key in required if key not in wanted and key not in made
    ]
    return verdicts


def _compare(expected: Json, value: Json, schema: Mapping[str, Json]) -> ArgumentResult:
    try:
        kind, item_kind = _kind(schema), _item_kind(schema)
        accepted = _accepted(expected, kind, item_kind)
        if kind is float and type(value) is int:
            value = float(value)
        if not _has_type(value, accepted, kind, item_kind):
            return "wrong_type"
        equal = _is_accepted(value, accepted, kind, item_kind)
    except (_WouldRaise, OverflowError):  # an integer that no float holds
        return "different"
    return "equal" if equal else "different"


# Types


def _kind(schema: Json) -> type:
    name = schema.get("type") if isinstance(schema, dict) else None
    if name is None:
        return str
    if not isinstance(name, str) or name not in _KINDS:
        raise _WouldRaise
    return _KINDS[name]


def _item_kind(schema: Mapping[str, Json]) -> type | None:
    """Return the type of an array's items, None where BFCL would look at none."""
    items = schema.get("items")
    return _kind(items) if schema.get("type") == "array" and items is not None else None


def _has_type(value: Json, accepted: list[Json], kind: type, item_kind: type | None) -> bool:
    if type(value) is not kind:
        return type(value) is _answer_type(accepted)
    if item_kind is None or not isinstance(value, list):
        return True
    return any(
        not isinstance(each, list)
        or all(type(item) in (item_kind, _answer_type(each)) for item in value)
        for each in accepted
    )


def _answer_type(accepted: Sequence[Json]) -> type | None:
    """Return the type of the first accepted value, None where "" is the only one."""
    return next((type(each) for each in accepted if each != ""), None)


# Values


def _accepted(expected: Json, kind: type, item_kind: type | None = None) -> list[Json]:
    """Return the list of accepted values as BFCL has it: "" in it for an optional one."""
    optional = is_choice(expected) and expected.get(OPTIONAL, False)
    values = expected[ANY] if is_choice(expected) else [expected]
    if kind is dict:
        values = [_accepted_keys(value) for value in values]
    elif kind is list and item_kind is dict:
        values = [
            [_accepted_keys(item) for item in value] if isinstance(value, list) else value
            for value in values
        ]
    return ["", *values] if optional else list(values)


def _accepted_keys(value: Json) -> Json:
    """Return an object with the list of accepted values of each key. No type is known of them."""
    if not isinstance(value, dict):
        return value
    return {key: _accepted(inner, object) for key, inner in value.items()}


def _is_accepted(value: Json, accepted: list[Json], kind: type, item_kind: type | None) -> bool:
    if _answer_type(accepted) not in (None, kind):  # a variable
        return value in accepted
    if kind is dict:
        return _is_accepted_object(value, accepted)
    if kind is list and item_kind is dict:
        return any(_are_accepted_objects(value, each) for each in accepted)
    if kind is list:
        return _standard_items(value) in [_standard_items(each) for each in accepted]
    if kind is str:
        return _standard(value) in [_standard(each) for each in accepted if isinstance(each, str)]
    return value in accepted


def _is_accepted_object(value: Json, accepted: Sequence[Json]) -> bool:
    for each in accepted:
        if each == "":
            continue
        if not isinstance(each, dict) or not isinstance(value, dict):
            raise _WouldRaise
        known = all(
            key in each and _standard(inner) in list(map(_standard, each[key]))
            for key, inner in value.items()
        )
        if known and all(key in value or "" in inner for key, inner in each.items()):
            return True
    return False


def _are_accepted_objects(values: list[Json], accepted: Json) -> bool:
    # Whatever has a length is passed over when it has another one.
    if not isinstance(accepted, list | str | dict):
        raise _WouldRaise
    return len(values) == len(accepted) and all(
        _is_accepted_object(value, [each]) for value, each in zip(values, accepted, strict=True)
    )


def _standard_items(values: Json) -> list[Json]:
    # BFCL reads a string among the accepted lists, "" above all, as the list of its characters, and
    # an empty object as an empty list.
    if not isinstance(values, list | str) and values != {}:
        raise _WouldRaise
    return [_standard(value) for value in values]


def _standard(value: Json) -> Json:
    """Return a string without what BFCL overlooks, and any other value as it is.

    >>> _standard("April 1, 2024") == _standard("april-1.2024")
    True
    """
    return value.translate(_STANDARD).lower() if isinstance(value, str) else value
