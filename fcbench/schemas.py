"""JSON Schema of tools' parameters, by the package jsonschema."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema.protocols import Validator

    from fcbench.types import Json


def refusals(schema: Mapping[str, Json], arguments: Mapping[str, Json]) -> list[str]:
    """Return why a schema refuses a call's arguments, `PATH: reason` each; none if it does not.

    Draft 2020-12 without `format`. What is no schema, or points to one elsewhere, refuses all.

    >>> refusals({"properties": {"x": {"enum": ["a", "b"]}}}, {"x": "c"})
    ["$.x: 'c' is not one of ['a', 'b']"]
    """
    validator = _validator(json.dumps(schema, sort_keys=True))
    if isinstance(validator, str):
        return [validator]
    from referencing.exceptions import Unresolvable

    try:
        found = sorted(validator.iter_errors(arguments), key=lambda error: error.json_path)
    except Unresolvable as error:
        return [f"$: the schema refers to what is not there: {error}"]
    except RecursionError:
        return ["$: nested too deep"]
    return [f"{error.json_path}: {error.message}" for error in found]


def fault(schema: Mapping[str, Json]) -> str | None:
    """Return what is wrong with a JSON Schema, or None.

    >>> fault({"required": "x"})
    "$: not a valid schema at $.required: 'x' is not of type 'array'"
    """
    validator = _validator(json.dumps(schema, sort_keys=True))
    return validator if isinstance(validator, str) else None


@lru_cache(maxsize=4096)
def _validator(schema: str) -> Validator | str:
    """Return the validator of a schema, or what is wrong with it."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    read: dict[str, Any] = json.loads(schema)
    read.pop("$schema", None)  # whatever draft it names, its words are read as those of 2020-12
    try:
        Draft202012Validator.check_schema(read)
    except SchemaError as error:
        return f"$: not a valid schema at {error.json_path}: {error.message}"
    # An empty registry: a schema never makes fcbench reach for the network.
    return Draft202012Validator(read, registry=Registry())
