"""The suite's rows: python -m suites.build multi_turn writes them.

The cases stand in cases_eval.toml and cases_train.toml, the tools in tools.toml, in the notation
of suites/dialogues.py.
"""

from __future__ import annotations

import random
from pathlib import Path

from suites.dialogues import Row, read_rows, read_tools

HERE = Path(__file__).resolve().parent
SEED = 272
TAGS: dict[str, str] = {
    "lookup": "a value of the call is the one that a result holds for what was asked",
    "choice": "one of several results, by a criterion of the user",
    "reference": "the user points at something: the second one, the other one, that",
    "correction": "the user changes a value or a wish that was said before",
    "error": "the last result is an error",
    "conditional": "whether or what to call hangs on a result",
    "parallel_history": "several calls were made at once before",
    "done": "the result settles the matter: no call is right",
    "call": "a call is right",
    "parallel": "two or more calls are right, in any order",
    "after_result": "the conversation ends with a result",
    "after_user": "the conversation ends with the user's words",
}


def rows(split: str) -> list[Row]:
    """Return the rows of a split, "eval" or "train"."""
    rng = random.Random(f"{SEED}-{split}")
    tools = read_tools(HERE / "tools.toml")
    prefix = "multi_turn" if split == "eval" else "multi_turn-train"
    made = read_rows(HERE / f"cases_{split}.toml", tools, rng, prefix)
    for row in made:
        tags, n_calls = set(row["tags"]), len(row["expected"][0])
        if (n_calls == 0) != ("done" in tags):
            message = f"{row['id']}: done, and nothing else, has no calls: {row['messages']}"
            raise ValueError(message)
        tags |= {"call"} if n_calls else set()
        tags |= {"parallel"} if n_calls > 1 else set()
        tags.add("after_result" if row["messages"][-1]["role"] == "tool" else "after_user")
        if any(len(message.get("tool_calls", [])) > 1 for message in row["messages"]):
            tags.add("parallel_history")
        if tags - TAGS.keys():
            message = f"{row['id']}: no such tag: {tags - TAGS.keys()}"
            raise ValueError(message)
        row["tags"] = [tag for tag in TAGS if tag in tags]
    return made
