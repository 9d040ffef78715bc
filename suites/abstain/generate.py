"""The suite's rows: python -m suites.build abstain writes them.

The cases stand in cases_eval.toml and cases_train.toml, the tools in tools.toml, in the notation
of suites/dialogues.py.
"""

from __future__ import annotations

import random
from pathlib import Path

from suites.dialogues import Row, read_rows, read_tools

HERE = Path(__file__).resolve().parent
SEED = 271
KINDS = {
    "no_tool": "none of the tools can do what is asked, though they are near it",
    "missing_argument": "a required argument is nowhere in the conversation",
    "small_talk": "nothing is asked for",
    "general_question": "a question that words answer and no tool does",
    "hypothetical": "what a call would do, or how one would go about it, not the call itself",
    "not_yet": "the user says to wait",
    "already_done": "the result of an earlier call has done it",
    "declined": "the user takes the request back",
}
TAGS: dict[str, str] = {
    "no_call": "no call is right",
    **KINDS,
    "control": "a call is right",
    **{f"control_{kind}": f"the like of a `{kind}` case with the one change" for kind in KINDS},
}


def rows(split: str) -> list[Row]:
    """Return the rows of a split, "eval" or "train"."""
    rng = random.Random(f"{SEED}-{split}")
    tools = read_tools(HERE / "tools.toml")
    prefix = "abstain" if split == "eval" else "abstain-train"
    made = read_rows(HERE / f"cases_{split}.toml", tools, rng, prefix)
    for row in made:
        *control, kind = row["tags"]
        if bool(control) != any(row["expected"]):
            message = f"{row['id']}: a control, and no other case, has calls: {row['messages']}"
            raise ValueError(message)
        row["tags"] = ["control", f"control_{kind}"] if control else ["no_call", kind]
    return made
