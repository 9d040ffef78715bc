"""The suite's rows: python -m suites.build types writes them.

Every case is written by hand in cases_eval.toml or cases_train.toml, the tools in tools.toml.
What is drawn is the order of the tools in a case and of the cases in the file. The tags of the
types follow from the schema and the expected values, those of the wording stand with the case.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suites.written import read_cases, read_tools, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from suites.written import Row

HERE = Path(__file__).resolve().parent
SEED = 53
TAGS: dict[str, str] = {
    "integer": "an integer without an enum",
    "number": "a number, whole or not",
    "boolean": "a boolean, said as yes, no, on, off or in a sentence",
    "string_enum": "one of a few strings",
    "integer_enum": "one of a few integers",
    "null": "null, which the argument's description gives a meaning",
    "nullable": "a value where null is allowed too",
    "array": "a list of strings, integers, numbers or booleans",
    "array_of_objects": "a list of objects",
    "object": "an object as an argument",
    "numeric_string": "a string that consists of digits",
    "date": "a date, time or both in the format that the description asks for",
    "share": "a share from 0 to 1, which the user may give in percent",
    "percent": "a number in percent",
    "conversion": "a unit to convert as the description says: euros to cents, minutes to seconds",
    "number_word": "a number that the user writes as a word",
    "thousands": "a number with a comma between the thousands",
    "implied": "a 0 or 1 that the user says as no, off, on or ground floor",
}
DATE = re.compile("YYYY-MM-DD|HH:MM")


def rows(split: str) -> list[Row]:
    """Return the rows of a split, "eval" or "train"."""
    rng = random.Random(f"{SEED}-{split}")
    tools = read_tools(HERE / "tools.toml")
    written = read_cases(HERE / f"cases_{split}.toml")
    rng.shuffle(written)
    prefix = "types" if split == "eval" else "types-train"
    return [
        {"id": f"{prefix}-{number:03}", **_tagged(row(case, tools, rng), case)}
        for number, case in enumerate(written, start=1)
    ]


def _tagged(made: Row, case: Row) -> Row:
    call = made["expected"][0][0]
    tool = next(tool for tool in made["tools"] if tool["name"] == call["name"])
    found = {*case.get("wording", []), *_facts(tool["parameters"], call["arguments"], "")}
    return {**made, "tags": [tag for tag in TAGS if tag in found]}


def _facts(schema: Row, value: Any, context: str) -> Iterator[str]:
    """Yield what there is to say about a value; `context` is what its parents' descriptions say."""
    kinds = schema.get("type") or [option["type"] for option in schema["anyOf"]]
    said = f"{context} {schema.get('description', '')}"
    if "null" in kinds:
        yield "null" if value is None else "nullable"
    if value is None:
        return
    kind = next(k for k in ([kinds] if isinstance(kinds, str) else kinds) if k != "null")
    if kind == "object":
        if context:  # neither the arguments themselves nor an item of a list
            yield "object"
        for key, item in value.items():
            yield from _facts(schema["properties"][key], item, f"{said}.")
    elif kind == "array":
        items = schema["items"]
        yield "array_of_objects" if items["type"] == "object" else "array"
        for item in value:
            inner = "" if items["type"] == "object" else said
            yield from (fact for fact in _facts(items, item, inner))
    else:
        yield from _scalar_facts(schema, kind, value, said)


def _scalar_facts(schema: Row, kind: str, value: Any, said: str) -> Iterator[str]:
    if kind != "string":
        yield f"{kind}_enum" if "enum" in schema else kind
        if "from 0 to 1" in said:
            yield "share"
        elif "percent" in said:
            yield "percent"
    elif "enum" in schema:
        yield "string_enum"
    elif DATE.search(said):
        yield "date"
    elif re.fullmatch(r"\d+", value):
        yield "numeric_string"
