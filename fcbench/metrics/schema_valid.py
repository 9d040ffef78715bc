"""Calls that their tools' JSON Schemas allow.

Source: JSON Schema draft 2020-12, by the package jsonschema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.schemas import refusals

if TYPE_CHECKING:
    from fcbench.types import Verdict


def schema_valid(verdict: Verdict) -> float | None:
    """Return 1.0 if every call fits the schema of its tool, else 0.0.

    Over the cases that expect a call; a malformed turn and a call of an undeclared function fit
    none. 1.0 is an integer, true is no number. `format` is not checked, and an argument that the
    schema does not name is allowed unless it says additionalProperties: false. A schema that is
    none allows nothing, nor does one that takes longer than 2 s.

    >>> schema, right = {"properties": {"x": {"type": "integer"}}}, call("f", x=1)
    >>> schema_valid(verdict_of(expected=right, called=call("f", x=2), parameters=schema))
    1.0
    >>> schema_valid(verdict_of(expected=right, called=call("f", x="1"), parameters=schema))
    0.0
    """
    if not verdict.case.expects_call or verdict.sample.error is not None:
        return None
    if verdict.parse.outcome != "calls":
        return 0.0
    tools = {tool.name: tool for tool in verdict.case.tools}
    return float(
        all(
            call.name in tools and not refusals(tools[call.name].parameters, call.arguments)
            for call in verdict.parse.calls
        )
    )
