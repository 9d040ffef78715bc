"""Rows of suites whose cases are written by hand in TOML.

tools.toml holds groups of tools. Of a tool or an object, "#" is the description and every other key
an argument, optional where it ends in "?": "TYPE: description" or "[TYPE]: description" in short,
a table with "#" for an object, any other table for a JSON Schema as it stands.

A case names its group of tools, the tool to call and its arguments (`with`, as a table or as
JSON), and what the user says. There, ⟦key⟧ stands for the argument of that name.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from pathlib import Path

Row = dict[str, Any]

SHORT = re.compile(r"(\[)?(string|integer|number|boolean|null)\]?: (.+)", re.DOTALL)
SLOT = re.compile(r"⟦(.+?)⟧")


def read_tools(path: Path) -> dict[str, list[Row]]:
    """Return the tools of each group, in fcbench's schema."""
    groups = tomllib.loads(path.read_text("utf-8"))
    return {
        group: [_tool(name, entry) for name, entry in tools.items()]
        for group, tools in groups.items()
    }


def _tool(name: str, entry: Row) -> Row:
    parameters = _schema(entry)
    return {"name": name, "description": parameters.pop("description"), "parameters": parameters}


def _schema(entry: str | Row) -> Row:
    """Return the JSON Schema of an entry, arguments in the order in which they are written."""
    if isinstance(entry, str):
        short = SHORT.fullmatch(entry)
        if short is None:
            message = f"not TYPE: description: {entry!r}"
            raise ValueError(message)
        if short[1]:
            return {"type": "array", "description": short[3], "items": {"type": short[2]}}
        return {"type": short[2], "description": short[3]}
    if "#" not in entry:
        raw = dict(entry)
        if isinstance(raw.get("items"), str | dict):
            raw["items"] = _schema(raw["items"])
        return raw
    keys = [key for key in entry if key != "#"]
    schema: Row = {
        "type": "object",
        "description": entry["#"],
        "properties": {key.removesuffix("?"): _schema(entry[key]) for key in keys},
    }
    if not entry["#"]:
        del schema["description"]
    return schema | {"required": [key for key in keys if not key.endswith("?")]}


def read_cases(path: Path) -> list[Row]:
    """Return the cases of a file as they are written."""
    cases: list[Row] = tomllib.loads(path.read_text("utf-8"))["case"]
    return cases


def row(case: Row, tools: dict[str, list[Row]], rng: random.Random) -> Row:
    """Return the row of a case, its tools shuffled; id and tags are left to the suite."""
    group = list(tools[case["tools"]])
    rng.shuffle(group)
    calls = [
        {"name": call["call"], "arguments": _arguments(call["with"])}
        for call in (case, *case.get("also", []))
    ]
    values = calls[0]["arguments"]
    said = SLOT.sub(lambda slot: str(values[slot[1]]), case["say"].strip("\n"))
    return {
        "messages": [{"role": "user", "content": said}],
        "tools": group,
        "expected": [calls],
    }


def _arguments(given: str | Row) -> Row:
    arguments: Row = json.loads(given) if isinstance(given, str) else given
    return arguments
