"""Whether values are equal as JSON, with accepted-value lists and what a suite overlooks."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench.matching._normalise import steps
from fcbench.types import ArgumentVerdict, Matching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fcbench.types import ArgumentResult, Json

ANY, OPTIONAL = "$any", "$optional"


class Rules(NamedTuple):
    """What is overlooked: steps that change both strings, and whether a schema is looked at."""

    steps: tuple[Callable[[str], str], ...] = ()
    schema_defaults: bool = False


EXACT = Rules()
NOTHING: Mapping[str, Json] = {}


@cache
def rules_of(matching: Matching) -> Rules:
    """Return the rules of a matching. UsageError for an unknown normalisation."""
    return Rules(steps(matching.normalise), matching.schema_defaults)


def equal(
    expected: Json, called: Json, rules: Rules = EXACT, schema: Mapping[str, Json] | None = None
) -> bool:
    """Whether a called value is an expected one: as JSON, with $any at any depth.

    1 equals 1.0, True never equals 1, strings are compared byte for byte after the rules' steps.
    `schema` is the value's JSON Schema, for its defaults; None where they do not count.

    >>> equal(1, 1.0), equal(1, True), equal({"$any": ["a", "b"]}, "b")
    (True, False, True)
    """
    if type(expected) is str:  # the commonest by far
        return type(called) is str and (
            expected == called
            or (bool(rules.steps) and _plain(expected, rules) == _plain(called, rules))
        )
    if is_choice(expected):
        return any(equal(value, called, rules, schema) for value in expected[ANY])
    if isinstance(expected, dict):
        return isinstance(called, dict) and all(
            result.result == "equal" for result in compare_objects(expected, called, rules, schema)
        )
    if isinstance(expected, list):
        items = _below(schema, "items")
        return (
            isinstance(called, list)
            and len(expected) == len(called)
            and all(equal(e, c, rules, items) for e, c in zip(expected, called, strict=True))
        )
    if isinstance(expected, bool) or isinstance(called, bool):
        return expected is called
    return type_name(expected) == type_name(called) and bool(expected == called)


def compare_objects(
    expected: dict[str, Any],
    called: dict[str, Any],
    rules: Rules = EXACT,
    schema: Mapping[str, Json] | None = None,
) -> list[ArgumentVerdict]:
    """Return one verdict a key, expected ones first. An absent optional key is equal.

    So is one that has, on its only side, the default of `schema`, where there is one.
    """
    properties = _below(schema, "properties")
    verdicts = []
    for key, value in expected.items():
        if key in called:
            below = _below(properties, key) if properties else NOTHING
            result = _compare(value, called[key], rules, below)
            verdicts.append(ArgumentVerdict(key, result, value, called[key]))
        else:
            absent = is_choice(value) and value.get(OPTIONAL, False)
            if not absent and properties and "default" in (below := _below(properties, key)):
                absent = equal(value, below["default"], rules, below)
            verdicts.append(ArgumentVerdict(key, "equal" if absent else "missing", value))
    if len(verdicts) == len(called) and not properties and expected.keys() == called.keys():
        return verdicts  # nothing can be extra
    for key, value in called.items():
        if key not in expected:
            below = _below(properties, key)
            # What was called is never the first of the two: a $any in it is no choice.
            same = "default" in below and equal(below["default"], value, rules, below)
            verdicts.append(ArgumentVerdict(key, "equal" if same else "extra", called=value))
    return verdicts


def _compare(
    expected: Json, called: Json, rules: Rules, schema: Mapping[str, Json]
) -> ArgumentResult:
    if type(expected) is str and expected == called:  # the commonest by far
        return "equal"
    if equal(expected, called, rules, schema):
        return "equal"
    types = _accepted_types(expected)
    if not types:  # only absence is right
        return "extra"
    return "different" if type_name(called) in types else "wrong_type"


def _below(schema: Mapping[str, Json] | None, key: str) -> Mapping[str, Json]:
    below = schema.get(key) if schema else None
    return below if isinstance(below, dict) else {}


def _plain(text: str, rules: Rules) -> str:
    for step in rules.steps:
        text = step(text)
    return text


def is_choice(value: Json) -> bool:
    """Whether an expected value is a list of accepted values."""
    return isinstance(value, dict) and ANY in value


def _accepted_types(expected: Json) -> set[str]:
    if is_choice(expected):
        return {name for value in expected[ANY] for name in _accepted_types(value)}
    return {type_name(expected)}


def type_name(value: Json) -> str:
    """Return the JSON type of a value; integers and floats are both numbers.

    >>> [type_name(value) for value in (None, True, 1, 1.0, "", [], {})]
    ['null', 'boolean', 'number', 'number', 'string', 'array', 'object']
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names.get(type(value), type(value).__name__)
