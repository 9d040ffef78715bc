"""Rows of Salesforce/xlam-function-calling-60k.

Source: the dataset's card on the Hugging Face hub. `answers` and `tools` are JSON, in a string or
not; a tool's parameters are Python types by argument. An argument is required unless its type says
"optional" or it has a default. The order of calls does not count.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.suite._lines import Fault, convert, decode_json, json_type
from fcbench.suite._tools import tools_of
from fcbench.text import show
from fcbench.types import Call, Case

if TYPE_CHECKING:
    from fcbench.suite._reading import Reading
    from fcbench.types import Json

_PLAIN = {
    "str": "string",
    "string": "string",
    "int": "integer",
    "integer": "integer",
    "float": "number",
    "number": "number",
    "bool": "boolean",
    "boolean": "boolean",
    "list": "array",
    "array": "array",
    "tuple": "array",
    "set": "array",
    "dict": "object",
    "object": "object",
    "none": "null",
}
_OPTIONAL = ", optional"


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    query: str
    answers: Any
    tools: Any
    id: int | str | None = None


def is_one(row: dict[str, Json]) -> bool:
    """Whether a row is of this schema."""
    return {"query", "answers", "tools"} <= set(row)


def case(row: dict[str, Json], default_id: str, reading: Reading) -> Case:
    """Return the case of a row."""
    read: _Row = convert(row, _Row)
    answers = _list(read.answers, "$.answers")
    return Case(
        id=default_id if read.id is None else str(read.id),
        messages=[{"role": "user", "content": read.query}],
        tools=tools_of(
            [_tool(t, f"$.tools[{i}]") for i, t in enumerate(_list(read.tools, "$.tools"))]
        ),
        expected=[[_call(answer, f"$.answers[{i}]") for i, answer in enumerate(answers)]],
        ordered=bool(reading.ordered),
    )


def _list(value: Json, path: str) -> list[Json]:
    read = decode_json(value, path) if isinstance(value, str) else value
    if not isinstance(read, list):
        raise Fault(path, f"expected array, got {json_type(read)}")
    return read


def _call(answer: Json, path: str) -> Call:
    if not isinstance(answer, dict) or not isinstance(answer.get("name"), str):
        raise Fault(path, "expected an object with name and arguments")
    arguments = answer.get("arguments", {})
    if not isinstance(arguments, dict):
        raise Fault(f"{path}.arguments", f"expected object, got {json_type(arguments)}")
    return Call(answer["name"], arguments)


def _tool(tool: Json, path: str) -> Json:
    """Return a tool with a JSON Schema; what has one already is left as it is."""
    parameters = tool.get("parameters") if isinstance(tool, dict) else None
    if not isinstance(parameters, dict) or parameters.get("type") == "object":
        return tool
    properties, required = {}, []
    for name, described in parameters.items():
        if not isinstance(described, dict):
            raise Fault(f"{path}.parameters.{name}", f"expected object, got {json_type(described)}")
        said = described.get("type", "")
        written = said if isinstance(said, str) else show(said)
        properties[name] = {**described, **schema_of(written.removesuffix(_OPTIONAL))}
        if not schema_of(written.removesuffix(_OPTIONAL)):
            properties[name].pop("type", None)
        if not is_optional(written) and "default" not in described:
            required.append(name)
    schema = {"type": "object", "properties": properties, "required": required}
    return {**tool, "parameters": schema}


def is_optional(written: str) -> bool:
    """Whether a type says that its argument may be left out."""
    return written.endswith(_OPTIONAL) or written.startswith("Optional[")


def schema_of(written: str) -> dict[str, Json]:
    """Return the JSON Schema of a Python type as the dataset writes it; {} for one that has none.

    >>> schema_of("List[int]"), schema_of("Optional[str]")
    ({'type': 'array', 'items': {'type': 'integer'}}, {'type': 'string'})
    >>> schema_of("Dict[str, float]"), schema_of("Callable[[float], float]")
    ({'type': 'object', 'additionalProperties': {'type': 'number'}}, {})
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\[(.*)\])?\s*", written, flags=re.DOTALL)
    if match is None:
        return {}
    name, inside = match.group(1).lower(), match.group(2)
    parts = [] if inside is None else _split(inside)
    if name == "optional" and len(parts) == 1:
        return schema_of(parts[0])
    if name == "union":
        found = [schema_of(part) for part in parts]
        return {"anyOf": found} if all(found) else {}
    kind = _PLAIN.get(name)
    if kind is None:
        return {}
    schema: dict[str, Json] = {"type": kind}
    if kind == "array" and parts and (name != "tuple" or len(set(parts)) == 1):
        items = schema_of(parts[0])
        schema |= {"items": items} if items else {}
    if kind == "object" and len(parts) == 2:  # noqa: PLR2004  of keys and of values
        values = schema_of(parts[1])
        schema |= {"additionalProperties": values} if values else {}
    return schema


def _split(inside: str) -> list[str]:
    """Split at the commas that stand in no bracket."""
    parts, depth = [""], 0
    for letter in inside:
        depth += (letter == "[") - (letter == "]")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
