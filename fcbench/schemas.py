"""JSON Schema of tools' parameters, by the package jsonschema."""

from __future__ import annotations

import json
import math
import re
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench.formats._bounds import timed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

    from fcbench.types import Json

LONG = 1023  # bits: a longer integer is no float
SECONDS = 2.0
"""What a check may take: real ones take less than a thousandth of it."""
SLOW = re.compile(
    r'"(pattern|patternProperties|\$ref|\$dynamicRef|uniqueItems|unevaluated(Items|Properties))": '
)
"""Words by which a check takes more steps than the schema's length times the arguments'."""


def refusals(schema: Mapping[str, Json], arguments: Mapping[str, Json]) -> list[str]:
    """Return why a schema refuses a call's arguments, `PATH: reason` each; none if it does not.

    Draft 2020-12 without `format`. What is no schema, or points to one elsewhere, refuses all.
    Nothing that a model wrote, or a suite, raises an exception here, or takes longer than SECONDS,
    which refuses too; in a thread and on Windows a slow pattern takes its time.

    >>> refusals({"properties": {"x": {"enum": ["a", "b"]}}}, {"x": "c"})
    ["$.x: 'c' is not one of ['a', 'b']"]
    """
    check = _check_of(schema)
    if isinstance(check, str):
        return [check]
    from referencing.exceptions import Unresolvable

    try:
        # A timer for each call takes half as long as most checks.
        with timed(SECONDS) if check.can_be_slow else nullcontext():
            found = sorted(check.validator.iter_errors(_printable(arguments)), key=_path)
    except TimeoutError:
        return [f"$: takes longer than {SECONDS:g} s to check"]
    except Unresolvable as error:
        return [f"$: the schema refers to what is not there: {error}"]
    except RecursionError:
        return ["$: nested too deep"]
    # jsonschema takes whatever a $ref names for a schema: a list, a number.
    except (AttributeError, TypeError, ValueError):
        return ["$: the schema refers to what is no schema"]
    return [f"{error.json_path}: {error.message}" for error in found]


def fault(schema: Mapping[str, Json]) -> str | None:
    """Return what is wrong with a JSON Schema, or None.

    >>> fault({"required": "x"})
    "$: not a valid schema at $.required: 'x' is not of type 'array'"
    """
    check = _check_of(schema)
    return check if isinstance(check, str) else None


class _Check(NamedTuple):
    """A schema, ready to check arguments, and whether that may take any time."""

    validator: Validator
    can_be_slow: bool


class _Long(int):
    """An integer of more digits than CPython prints or a float holds; jsonschema prints both."""

    def __repr__(self) -> str:
        return f"an integer of {self.bit_length()} bits"

    def __truediv__(self, other: float) -> float:
        try:
            return int(self) / other
        except OverflowError:  # of an infinite quotient jsonschema makes fractions, exactly
            return math.inf


def _printable(value: Json) -> Json:
    """Return a value whose long integers print, and divide, without an exception."""
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return list(map(_printable, value))
    is_long = type(value) is int and value.bit_length() > LONG
    return _Long(value) if is_long else value


def _path(error: ValidationError) -> str:
    return error.json_path


def _check_of(schema: Mapping[str, Json]) -> _Check | str:
    try:
        return _check(json.dumps(schema, sort_keys=True))
    except RecursionError:
        return "$: not a valid schema: nested too deep"
    except ValueError:
        return "$: not a valid schema: it holds an integer that is too long"


@lru_cache(maxsize=4096)
def _check(schema: str) -> _Check | str:
    """Return the check of a schema, or what is wrong with it."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    read: dict[str, Any] = json.loads(schema)
    read.pop("$schema", None)  # whatever draft it names, its words are read as those of 2020-12
    try:
        Draft202012Validator.check_schema(read)
    except SchemaError as error:
        return f"$: not a valid schema at {error.json_path}: {error.message}"
    except ArithmeticError as error:  # what re raises for the 99999999999 of a{99999999999}
        return f"$: not a valid schema: {error}"
    # An empty registry: a schema never makes fcbench reach for the network.
    validator = Draft202012Validator(read, registry=Registry())
    return _Check(validator, can_be_slow=SLOW.search(schema) is not None)
