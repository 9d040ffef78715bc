"""The suite's rows: python -m suites.build parallel writes them.

A file in eval/ or train/ is a domain: its arguments ("TYPE: description" or "one|of|these:
description"), its tools (what each says and needs) and the requests with their calls. Every case
offers all tools of its domain in a seeded order.
"""

from __future__ import annotations

import json
import random
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SEED = 626
MARKED = {
    "told_backwards": "ordered, and the request names a later call before an earlier one",
    "distributive": "each, both, every, all or the same spreads the request over several calls",
    "enumerated": "an enum in the schema tells the calls: every room, all but one",
    "identical_calls": "the same call is right more than once, as its description says",
    "one_call_suffices": "one call is right where several seem to be: a list, a number, a group",
    "corrected": "the user takes a value back in the same breath; only the later one counts",
}
TAGS: dict[str, str] = {
    "calls_1": "one call is expected",
    **{f"calls_{n}": f"{n} calls are expected" for n in range(2, 7)},
    "same_function": "one function is called several times",
    "different_functions": "several functions are called, each once",
    "mixed": "several functions are called, at least one of them more than once",
    "ordered": "the request says in which order, and the order counts",
    "shared_value": "a word or number that the request says once belongs to several calls",
    **MARKED,
}

Row = dict[str, Any]


def domains(split: str) -> dict[str, Row]:
    """Return the files of a split by name."""
    paths = sorted((HERE / split).glob("*.toml"))
    return {path.stem: tomllib.loads(path.read_text("utf-8")) for path in paths}


def declared(name: str, tool: Row, arguments: dict[str, str]) -> Row:
    """Return a tool's declaration."""
    needs: list[str] = tool["needs"]
    properties = {argument: typed(arguments[argument]) for argument in needs}
    parameters = {"type": "object", "properties": properties, "required": needs}
    return {"name": name, "description": tool["says"], "parameters": parameters}


def typed(argument: str) -> Row:
    """Return the schema of "TYPE: description", "TYPEs: …" or "one|of|these: …".

    >>> typed("integers: Numbers.")
    {'type': 'array', 'items': {'type': 'integer'}, 'description': 'Numbers.'}
    """
    kind, description = argument.split(": ", 1)
    schema: Row = {"type": kind}
    if "|" in kind:
        schema = {"type": "string", "enum": kind.split("|")}
    elif kind.endswith("s"):
        schema = {"type": "array", "items": {"type": kind.removesuffix("s")}}
    return {**schema, "description": description}


def tags(request: Row, calls: list[Row]) -> list[str]:
    """Return a case's tags in the order of TAGS."""
    names = Counter(call["name"] for call in calls)
    several = len(calls) > 1
    marked: list[str] = request.get("tags", [])
    found = {
        f"calls_{len(calls)}": True,
        "same_function": several and len(names) == 1,
        "different_functions": several and len(names) == len(calls),
        "mixed": 1 < len(names) < len(calls),
        "ordered": request.get("ordered", False),
        "shared_value": shares_a_value(request["says"], calls),
        **{tag: tag in marked for tag in MARKED},
    }
    return [tag for tag, holds in found.items() if holds]


def shares_a_value(says: str, calls: list[Row]) -> bool:
    """Whether a value of several calls stands once in the request; identical calls are one."""
    different = {json.dumps(call, sort_keys=True): call for call in calls}.values()
    values = Counter(
        str(value)
        for call in different
        for value in call["arguments"].values()
        if not isinstance(value, list)
    )
    return any(n > 1 and says.count(value) == 1 for value, n in values.items())


def rows(split: str) -> list[Row]:
    """Return the rows of a split, "eval" or "train"."""
    rng = random.Random(f"{SEED}-{split}")
    built: list[Row] = []
    for domain in domains(split).values():
        tools = [
            declared(name, tool, domain["arguments"]) for name, tool in domain["tools"].items()
        ]
        for request in domain["request"]:
            calls = [
                {"name": n, "arguments": a} for call in request["calls"] for n, a in call.items()
            ]
            row: Row = {
                "id": f"parallel-{'' if split == 'eval' else 'train-'}{len(built) + 1:03}",
                "messages": [{"role": "user", "content": request["says"]}],
                "tools": rng.sample(tools, len(tools)),
                "expected": [calls],
            }
            if request.get("ordered"):
                row["ordered"] = True
            built.append({**row, "tags": tags(request, calls)})
    return built
