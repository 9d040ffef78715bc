"""The suite's rows: python -m suites.build selection writes them.

A file in eval/ or train/ is a domain: its arguments ("TYPE: description" or "one|of|these:
description"), its tools (what each says and needs) and the requests, each with its one call and
the tools that it is most easily mistaken for.
"""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SEED = 404
SIZES = (4, 8, 16, 40)
TAGS: dict[str, str] = {
    **{f"tools_{size}": f"{size} tools are offered" for size in SIZES},
    "same_object": "another tool does something else to the same object",
    "same_verb": "another tool begins with the same word",
    "shared_prefix": "the right name begins another tool's name, or another's begins it",
    "decoy_word": "the request says the verb of another tool of the domain, not the right one's",
    "arguments_decide": "another tool has the same description and only takes other arguments",
    "orders": "orders of a shop",
    "banking": "cards and transfers",
    "home": "lights, heating and doors of a house",
    "code": "a repository: branches, builds, reviews, issues",
    "media": "music and podcasts",
    "travel": "flights and hotels",
    "clinic": "patients, appointments, prescriptions",
    "warehouse": "stock, shelves, pallets",
    "files": "files and folders of a drive",
    "chat": "messages and channels of a team chat",
    "lab": "samples, instruments, measurement runs",
    "support": "support tickets",
    "staff": "personnel: leave, shifts, pay",
    "library": "books and loans",
    "gym": "classes and members",
    "restaurant": "tables, dishes, bills",
    "fleet": "vans and drivers",
    "school": "grades and lessons",
}

Row = dict[str, Any]
Tool = dict[str, Any]


@dataclass
class Domain:
    """Tools that are mistaken for each other, and requests."""

    name: str
    related: list[str]
    tools: dict[str, Tool]
    requests: list[Row]


def domains(split: str) -> dict[str, Domain]:
    """Return the domains of a split by name."""
    found = {}
    for path in sorted((HERE / split).glob("*.toml")):
        read = tomllib.loads(path.read_text("utf-8"))
        tools = {name: declared(name, tool, read) for name, tool in read["tools"].items()}
        found[path.stem] = Domain(path.stem, read["related"], tools, read["request"])
    return found


def declared(name: str, tool: Row, domain: Row) -> Tool:
    """Return a tool's declaration."""
    needs: list[str] = tool["needs"]
    parameters: Row = {
        "type": "object",
        "properties": {argument: typed(domain["arguments"][argument]) for argument in needs},
    }
    if needs:
        parameters["required"] = needs
    return {"name": name, "description": tool["says"], "parameters": parameters}


def typed(argument: str) -> Row:
    """Return the schema of "TYPE: description" or of "one|of|these: description".

    >>> typed("on|off: The state.")
    {'type': 'string', 'enum': ['on', 'off'], 'description': 'The state.'}
    """
    kind, description = argument.split(": ", 1)
    if "|" in kind:
        return {"type": "string", "enum": kind.split("|"), "description": description}
    return {"type": kind, "description": description}


def nearest(rng: random.Random, row: Row, domain: Domain, all_: dict[str, Domain]) -> list[Tool]:
    """Return the right tool and then all others of the split, nearest to it first.

    First any with the same description, then those that the request names, the rest of the
    domain, related domains and at last the others.
    """
    (right,) = row["call"]
    tools = domain.tools
    says = tools[right]["description"]
    order = [name for name in tools if name != right and tools[name]["description"] == says]
    order += [name for name in row["near"] if name not in order]
    order += shuffled(rng, [name for name in tools if name != right and name not in order])
    found = [tools[name] for name in (right, *order)]
    for group in (domain.related, [name for name in all_ if name not in domain.related]):
        pool = [tool for name in group if name != domain.name for tool in all_[name].tools.values()]
        found += shuffled(rng, pool)
    return found


def kinds(request: str, right: Tool, others: list[Tool], family: set[str]) -> list[str]:
    """Return by what the right tool is confused with the others, in the order of TAGS."""
    verb, *objects = right["name"].split("_")
    names = [tool["name"].split("_") for tool in others]
    said = re.findall(r"[a-z]+", request.lower())
    prefixes = [(name + "_", right["name"] + "_") for tool in others for name in [tool["name"]]]
    found = {
        "same_object": any(n[0] != verb and singular(n[1:]) & singular(objects) for n in names),
        "same_verb": any(name[0] == verb for name in names),
        "shared_prefix": any(a.startswith(b) or b.startswith(a) for a, b in prefixes),
        "decoy_word": not says_verb(said, verb)
        and any(says_verb(said, name[0]) for name in names if "_".join(name) in family),
        "arguments_decide": any(tool["description"] == right["description"] for tool in others),
    }
    return [kind for kind, holds in found.items() if holds]


def says_verb(words: list[str], verb: str) -> bool:
    """Whether a verb is among the words, in any regular form.

    >>> says_verb("it was cancelled".split(), "cancel"), says_verb(["moving"], "move")
    (True, True)
    """
    stem = re.escape(verb.removesuffix("e"))
    form = re.compile(rf"{stem}(e|es|s|{verb[-1]}?e?d|{verb[-1]}?ing|)")
    return any(form.fullmatch(word) for word in words)


def singular(words: list[str]) -> set[str]:
    """Return the words of a name without a plural's s."""
    return {word.removesuffix("s") for word in words}


def shuffled(rng: random.Random, items: list[Any]) -> list[Any]:
    """Return the items in another order."""
    return rng.sample(items, len(items))


def rows(split: str) -> list[Row]:
    """Return the rows of a split. Sizes and, within a size, positions are dealt out evenly."""
    rng = random.Random(f"{SEED}-{split}")
    all_ = domains(split)
    asked = [(request, domain) for domain in all_.values() for request in domain.requests]
    sizes = shuffled(rng, [SIZES[i % len(SIZES)] for i in range(len(asked))])
    positions = {}
    for size in SIZES:
        n = sizes.count(size)
        # Which positions come up once more than the others is left to chance.
        dealt = [p for _ in range(n // size + 1) for p in shuffled(rng, list(range(size)))]
        positions[size] = shuffled(rng, dealt[:n])
    built = []
    for number, ((request, domain), size) in enumerate(zip(asked, sizes, strict=True), start=1):
        right, *others = nearest(rng, request, domain, all_)[:size]
        tools = shuffled(rng, others)
        tools.insert(positions[size].pop(), right)
        confused = kinds(request["says"], right, others, set(domain.tools))
        built.append(
            {
                "id": f"selection-{'' if split == 'eval' else 'train-'}{number:03}",
                "messages": [{"role": "user", "content": request["says"]}],
                "tools": tools,
                "expected": [[{"name": n, "arguments": a} for n, a in request["call"].items()]],
                "tags": [f"tools_{size}", domain.name, *confused],
            }
        )
    return built
