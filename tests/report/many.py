"""A suite of thousands of cases, and what two models wrote, for measuring a report of them."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import fcbench

if TYPE_CHECKING:
    from pathlib import Path

PLACES = ("Oslo", "Bergen", "Tromsø", "Łódź", "Kraków", "São Paulo", "東京", "القاهرة")
TAGS = ("near", "far", "abroad", "home")


def write(folder: Path, n: int) -> tuple[Path, list[Path]]:
    """Write a suite of n cases and two files of outputs; the second is right more often."""
    draw = random.Random(0)
    places = [f"{draw.choice(PLACES)} {draw.randrange(1000)}" for _ in range(n)]
    parameters = {"type": "object", "properties": {"query": {"type": "string"}}}
    tools = [
        {"name": name, "description": f"Does {name}.", "parameters": parameters}
        for name in ("show_map", "find_route", "save_place")
    ]
    cases = [
        {
            "id": f"case-{i:05}",
            "messages": [{"role": "user", "content": f"Show me {place} on the map, please."}],
            "tools": tools,
            "expected": [[{"name": "show_map", "arguments": {"query": place}}]],
            "tags": [draw.choice(TAGS)],
        }
        for i, place in enumerate(places)
    ]
    outputs = []
    for skill in (0.5, 0.7):
        texts = []
        for i, place in enumerate(places):
            right = fcbench.render([fcbench.Call("show_map", {"query": place})])
            wrong = draw.choice(
                [right.replace("call:", "call: "), right.replace(place, "Paris"), "Here you are."]
            )
            text = right if draw.random() < skill else wrong
            texts.append({"id": f"case-{i:05}", "text": text})
        outputs.append(texts)
    paths = [folder / name for name in ("many.jsonl", "first.jsonl", "second.jsonl")]
    for path, rows in zip(paths, [cases, *outputs], strict=True):
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return paths[0], paths[1:]
