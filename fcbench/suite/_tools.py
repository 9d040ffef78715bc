"""Declarations of functions -> Tool, from any of the usual shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.errors import nearest
from fcbench.suite._lines import Fault, convert, json_type, refuse_unknown
from fcbench.types import Tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fcbench.types import Json

_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
# What servers and trainers take beside a function's schema, and no model sees.
_UNSEEN = ("strict",)


def tools_of(tools: Json) -> list[Tool]:
    """Return the tools of a row. Fault for what cannot be used."""
    if not isinstance(tools, list):
        raise Fault("$.tools", f"expected array, got {json_type(tools)}")
    return [convert(read_tool(tool, f"$.tools[{i}]"), Tool) for i, tool in enumerate(tools)]


def read_tool(tool: Json, path: str) -> dict[str, Json]:
    """Return a tool as flat JSON with lower-case types, from any of the three usual shapes."""
    if isinstance(tool, dict) and isinstance(tool.get("function"), dict):
        extra = set(tool) - {"type", "function"}
        if extra:
            raise Fault(f"{path}.{min(extra)}", "unknown field")
        tool = tool["function"]
        path = f"{path}.function"
    if not isinstance(tool, dict):
        raise Fault(path, f"expected object, got {json_type(tool)}")
    tool = {key: value for key, value in tool.items() if key not in _UNSEEN}
    refuse_unknown(tool, Tool.__struct_fields__, path)
    if not isinstance(tool.get("name"), str):
        raise Fault(f"{path}.name", f"expected str, got {json_type(tool.get('name'))}")
    flat = {key: value for key, value in tool.items() if value is not None}
    if "parameters" in flat:
        flat["parameters"] = _schema(flat["parameters"], f"{path}.parameters")
    return flat


def _schema(schema: Json, path: str) -> dict[str, Json]:
    """Return a JSON Schema whose type names are lower-case, at every level."""
    if not isinstance(schema, dict):
        raise Fault(path, f"expected object, got {json_type(schema)}")
    lowered = {key: value for key, value in schema.items() if value is not None}
    if "type" in lowered:
        lowered["type"] = _type(lowered["type"], f"{path}.type")
    if "properties" in lowered:
        properties = lowered["properties"]
        if not isinstance(properties, dict):
            raise Fault(f"{path}.properties", f"expected object, got {json_type(properties)}")
        lowered["properties"] = {
            key: _schema(value, f"{path}.properties.{key}") for key, value in properties.items()
        }
    _check_lists(lowered, path)
    for union in ("anyOf", "oneOf", "allOf"):
        if isinstance(lowered.get(union), list):
            lowered[union] = [
                _schema(value, f"{path}.{union}[{i}]") for i, value in enumerate(lowered[union])
            ]
    return lowered | _below(lowered, path)


def _below(schema: Mapping[str, Json], path: str) -> dict[str, Json]:
    """Return the schemas within that stand by themselves or by name; true and false are left."""
    below: dict[str, Json] = {
        name: _schema(schema[name], f"{path}.{name}")
        for name in ("items", "additionalProperties", "not")
        if isinstance(schema.get(name), dict)
    }
    for name in ("$defs", "definitions", "patternProperties"):
        if isinstance(schema.get(name), dict):
            below[name] = {
                key: _schema(value, f"{path}.{name}.{key}") if isinstance(value, dict) else value
                for key, value in schema[name].items()
            }
    return below


def _check_lists(schema: Mapping[str, Json], path: str) -> None:
    for name in ("required", "enum"):
        if not isinstance(schema.get(name, []), list):
            raise Fault(f"{path}.{name}", f"expected array, got {json_type(schema[name])}")
    if not all(isinstance(name, str) for name in schema.get("required", [])):
        raise Fault(f"{path}.required", "expected names of properties")


def _type(kind: Json, path: str) -> Json:
    """Return a type name or a list of them in lower case."""
    if isinstance(kind, list):
        return [_type_name(k, path) for k in kind]
    return _type_name(kind, path)


def _type_name(kind: Json, path: str) -> str:
    if not isinstance(kind, str):
        raise Fault(path, f"expected the name of a JSON Schema type, got {json_type(kind)}")
    name = kind.lower()
    if name not in _TYPES:
        raise Fault(path, f"not a JSON Schema type: {kind}", nearest(name, _TYPES))
    return name
