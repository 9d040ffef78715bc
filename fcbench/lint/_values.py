"""Expected values, with their choices -> the plain values that they stand for."""

from __future__ import annotations

from itertools import islice, product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcbench.types import Json

MOST = 64  # combinations of choices in one object, or one list, that are looked at


def plain_values(expected: Json) -> list[Json]:
    """Return the plain values that an expected one accepts, the first choices first.

    Of the combinations of choices within an object or a list at most the first 64.

    >>> plain_values({"$any": [1, {"$any": [2, 3]}]})
    [1, 2, 3]
    >>> plain_values({"a": {"$any": [1, 2], "$optional": True}})
    [{'a': 1}, {'a': 2}, {}]
    """
    return list(_values(expected))


def _values(expected: Json) -> Iterator[Json]:
    if isinstance(expected, dict) and "$any" in expected:
        for value in expected["$any"]:
            yield from _values(value)
    elif isinstance(expected, dict):
        fields = [
            [*([(key, v)] for v in plain_values(value)), *([[]] if is_optional(value) else [])]
            for key, value in expected.items()
        ]
        combined: Iterator[tuple[list[tuple[str, Any]], ...]] = product(*fields)
        first = islice(combined, MOST)
        yield from (dict(pair for part in parts for pair in part) for parts in first)
    elif isinstance(expected, list):
        yield from map(list, islice(product(*map(plain_values, expected)), MOST))
    else:
        yield expected


def is_optional(expected: Json) -> bool:
    """Whether an expected value may be left out."""
    return isinstance(expected, dict) and "$any" in expected and expected.get("$optional") is True


def strings(value: Json) -> Iterator[str]:
    """Yield the strings in a plain value, at any depth; keys are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
