"""Tools and messages in the shapes that are usual -> fcbench's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fcbench.errors import nearest
from fcbench.formats._numbers import read_integer
from fcbench.suite._lines import Fault, json_type, refuse_unknown
from fcbench.types import Call, Tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fcbench.types import Json

MESSAGE_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id")
CALL_FIELDS = ("id", "type", "index", "function")
_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")


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
    if isinstance(lowered.get("items"), dict):
        lowered["items"] = _schema(lowered["items"], f"{path}.items")
    for union in ("anyOf", "oneOf", "allOf"):
        if isinstance(lowered.get(union), list):
            lowered[union] = [
                _schema(value, f"{path}.{union}[{i}]") for i, value in enumerate(lowered[union])
            ]
    return lowered


def _check_lists(schema: Mapping[str, Json], path: str) -> None:
    for name in ("required", "enum"):
        if not isinstance(schema.get(name, []), list):
            raise Fault(f"{path}.{name}", f"expected array, got {json_type(schema[name])}")
    if not all(isinstance(name, str) for name in schema.get("required", [])):
        raise Fault(f"{path}.required", "expected names of properties")


def _type(kind: Json, path: str) -> Json:
    """Return a type name or a list of them in lower case."""
    if isinstance(kind, list):
        return [_type(k, path) for k in kind]
    name = str(kind).lower()
    if name not in _TYPES:
        raise Fault(path, f"not a JSON Schema type: {kind}", nearest(name, _TYPES))
    return name


def read_message(message: Json, path: str) -> dict[str, Json]:
    """Return a message without null fields, its calls' arguments as objects."""
    if not isinstance(message, dict):
        raise Fault(path, f"expected object, got {json_type(message)}")
    plain = {key: value for key, value in message.items() if value is not None}
    refuse_unknown(plain, MESSAGE_FIELDS, path)
    if "tool_calls" in plain:
        calls = plain["tool_calls"]
        if not isinstance(calls, list):
            raise Fault(f"{path}.tool_calls", f"expected array, got {json_type(calls)}")
        plain["tool_calls"] = [_call(c, f"{path}.tool_calls[{i}]") for i, c in enumerate(calls)]
    return plain


def _call(call: Json, path: str) -> dict[str, Json]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise Fault(f"{path}.function", f"expected object, got {json_type(function)}")
    refuse_unknown(call, CALL_FIELDS, path)
    refuse_unknown(function, Call.__struct_fields__, f"{path}.function")
    name, arguments = function.get("name"), function.get("arguments", {})
    if not isinstance(name, str):
        raise Fault(f"{path}.function.name", f"expected str, got {json_type(name)}")
    if isinstance(arguments, str):
        arguments = _decode_arguments(arguments, f"{path}.function.arguments")
    if not isinstance(arguments, dict):
        raise Fault(f"{path}.function.arguments", f"expected object, got {json_type(arguments)}")
    return {**call, "type": "function", "function": {"name": name, "arguments": arguments}}


def _decode_arguments(text: str, path: str) -> Json:
    try:
        return json.loads(text, parse_int=read_integer)
    except json.JSONDecodeError as error:
        raise Fault(path, f"not JSON: {error.msg} at column {error.colno}") from error
