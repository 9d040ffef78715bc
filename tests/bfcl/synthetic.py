"""Entries in BFCL's shape that are made up, with every mixture of types that its data leaves out."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from fcbench.suite import _bfcl, _bfcl_files
from tests.bfcl.entries import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    Row = tuple[list[dict[str, Any]], list[dict[str, dict[str, list[Any]]]]]

TYPES = ("string", "integer", "float", "boolean", "array", "tuple", "dict", "any")
WORDS = ("red", "Red-Blue", "a b", "1", "-", "it's", "x")


def entries(n: int, seed: int) -> list[Entry]:
    """Return n entries of one to three calls."""
    choose = random.Random(seed)
    rows = []
    for _ in range(n):
        functions = [_function(choose, name) for name in ("f", "g.h")]
        called = [choose.choice(functions) for _ in range(choose.choice((1, 1, 2, 3)))]
        rows.append((functions, [{f["name"]: _answers(choose, f)} for f in called]))
    return read(rows)


def read(rows: Sequence[Row]) -> list[Entry]:
    """Return function docs and possible answers as entries, read by fcbench like BFCL's files."""
    user = [{"role": "user", "content": "…"}]
    written: dict[str, list[dict[str, Any]]] = {
        "BFCL_v4_parallel.json": [
            {"id": f"made_{i}", "question": [user], "function": functions}
            for i, (functions, _) in enumerate(rows)
        ],
        "possible_answer/BFCL_v4_parallel.json": [
            {"id": f"made_{i}", "ground_truth": answers} for i, (_, answers) in enumerate(rows)
        ],
    }
    files = _bfcl_files.Files(
        "made", lambda name: "\n".join(map(json.dumps, written[name])).encode()
    )
    cases, _ = _bfcl.read(files, ["parallel"])
    return [Entry(case.id, "parallel", *row, case) for case, row in zip(cases, rows, strict=True)]


def _function(choose: random.Random, name: str) -> dict[str, Any]:
    properties = {key: _doc(choose) for key in choose.sample("abcd", choose.randint(0, 3))}
    required = [key for key in properties if choose.random() < 0.4]
    parameters = {"type": "dict", "properties": properties, "required": required}
    return {"name": name, "description": "", "parameters": parameters}


def _doc(choose: random.Random) -> dict[str, Any]:
    kind = choose.choice(TYPES)
    doc: dict[str, Any] = {"type": kind}
    if kind in ("array", "tuple"):
        doc["items"] = {"type": choose.choice(TYPES)}
    return doc


def _answers(choose: random.Random, function: dict[str, Any]) -> dict[str, list[Any]]:
    docs = dict(function["parameters"]["properties"])
    if choose.random() < 0.1:
        docs["undeclared"] = {"type": "string"}
    return {key: _possible(choose, doc) for key, doc in docs.items() if choose.random() < 0.95}


def _possible(choose: random.Random, doc: dict[str, Any]) -> list[Any]:
    values = []
    for _ in range(choose.choice((0, 1, 1, 2, 2, 3))):
        # Now and then a value of a type that the doc does not say.
        said = doc if choose.random() < 0.85 else _doc(choose)
        values.append(_value(choose, said))
    if choose.random() < 0.3:
        values.insert(choose.randint(0, len(values)), "")
    return values


def _value(choose: random.Random, doc: dict[str, Any], depth: int = 0) -> Any:
    kind = doc["type"]
    if kind in ("array", "tuple"):
        items = doc.get("items", {"type": "string"})
        return [_value(choose, items, depth + 1) for _ in range(choose.choice((0, 1, 2)))]
    if kind == "dict":
        keys = choose.sample("kl", choose.randint(0, 2))
        inner = {"type": choose.choice(TYPES[: 6 - 2 * depth])}
        return {key: _possible(choose, inner) if depth < 2 else 1 for key in keys}
    return {
        "string": choose.choice(WORDS),
        "any": choose.choice((*WORDS, 1, None)),
        "integer": choose.randint(0, 2),
        "float": choose.choice((0.0, 1.0, 2.5)),
        "boolean": choose.random() < 0.5,
    }[kind]
