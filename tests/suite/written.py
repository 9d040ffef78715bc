"""What the tests of suites' data share: rows read as plain JSON, without the generator."""

import json
import re
from pathlib import Path

SUITES = Path(__file__).resolve().parents[2] / "suites"
FILES = {"eval": "cases.jsonl", "train": "train.jsonl"}


def read(name):
    """Both splits of a suite."""
    return {
        split: [json.loads(line) for line in (SUITES / name / file).read_text("utf-8").splitlines()]
        for split, file in FILES.items()
    }


ROLES = ("user", "assistant", "tool")
NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def variants(value):
    """Every value that an expected value accepts, at the top."""
    return value["$any"] if isinstance(value, dict) and "$any" in value else [value]


def answers(row):
    """Every accepted answer with each argument's choice made, the other choices' first taken."""
    for answer in row["expected"]:
        plain = [
            {"name": c["name"], "arguments": {k: variants(v)[0] for k, v in c["arguments"].items()}}
            for c in answer
        ]
        yield plain
        for i, call in enumerate(answer):
            for key, value in call["arguments"].items():
                for other in variants(value)[1:]:
                    chosen = plain[i]["arguments"] | {key: other}
                    yield [*plain[:i], {"name": call["name"], "arguments": chosen}, *plain[i + 1 :]]


def past_calls(row):
    """The calls that the conversation holds already."""
    return [c["function"] for m in row["messages"] for c in m.get("tool_calls", [])]


def results(row):
    """Names and values of the results that the conversation holds."""
    tools = [m for m in row["messages"] if m["role"] == "tool"]
    return [(m["name"], json.loads(m["content"])) for m in tools]


def leaves(value):
    """The strings, numbers and booleans inside a value."""
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


def enums(row):
    """The strings that the tools' schemas list."""
    schemas = [s for t in row["tools"] for s in t["parameters"]["properties"].values()]
    return {v for s in schemas for v in [*s.get("enum", []), *s.get("items", {}).get("enum", [])]}


def said(row, *roles):
    """What was said, by these roles or by all, results included."""
    return "\n".join(
        m["content"] for m in row["messages"] if "content" in m and m["role"] in (roles or ROLES)
    )


def is_said(value, text):
    """Whether a string or number stands in a text as itself, small numbers perhaps as words."""
    if isinstance(value, str):
        return value in text
    figures = re.findall(r"(?<![\d.])\d+(?:\.\d+)?(?![\d])", text)
    words = [str(NUMBERS.index(w)) for w in re.findall(r"[a-z]+", text.lower()) if w in NUMBERS]
    return value in [float(figure) for figure in figures + words]
