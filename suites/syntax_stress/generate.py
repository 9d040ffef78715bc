"""The suite's rows: python -m suites.build syntax_stress writes them.

Every case is written by hand in cases_eval.toml or cases_train.toml, the tools in tools.toml.
What is drawn is the order of the tools in a case and of the cases in the file.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

from suites.written import read_cases, read_tools, row

if TYPE_CHECKING:
    from suites.written import Row

HERE = Path(__file__).resolve().parent
SEED = 17
# family -> its meaning; kind -> what a case of it has to bring through
FAMILIES: dict[str, dict[str, str]] = {
    "characters": {
        "brackets": "a value with braces, brackets or angle brackets, balanced or not",
        "separators": "a value with commas and colons as in a list of arguments",
        "quotes": "a value with single, double or typographic quotation marks",
        "backslashes": "a value with backslashes that are no escapes",
        "line_breaks": "a value of several lines, or with tabs",
    },
    "snippets": {
        "json": "a string that is JSON, or nearly",
        "code": "a string that is SQL, Python, JavaScript, Rust or Go",
        "shell": "a shell command or script",
        "regex": "a regular expression",
        "markup": "HTML, Markdown or LaTeX",
        "table": "CSV, TSV or a table in text",
    },
    "control": {
        "control_lookalike": "a value that looks like control tokens or calls of some format",
    },
    "unicode": {
        "emoji": "emoji with skin tones, joiners, variation selectors or tags",
        "right_to_left": "Arabic or Hebrew, some mixed with Latin",
        "combining": "combining marks, or scripts that are written with them",
        "cjk": "Chinese, Japanese or Korean",
    },
    "size": {
        "empty": "a string that has to be empty",
        "long": "a string of 500 to 2,000 characters",
        "deep": "arguments nested at least five levels deep",
    },
    "numbers": {
        "extreme_number": "an integer beyond 2^53, a float with an exponent, a zero or a negative",
        "numeric_string": "a string that looks like a number, a boolean or null",
    },
    "names": {
        "tool_name": "tools named with dots, hyphens, colons or in other scripts, or at length",
        "argument_key": "arguments named `true`, `$filter`, `#1`, `A` beside `a`, or at length",
    },
}
FAMILY = {kind: family for family, kinds in FAMILIES.items() for kind in kinds}
TAGS: dict[str, str] = {
    tag: meaning
    for family, kinds in FAMILIES.items()
    for tag, meaning in ({family: f"any of the {len(kinds)} below"} | kinds).items()
    if tag != "control"
}


def rows(split: str) -> list[Row]:
    """Return the rows of a split, "eval" or "train"."""
    rng = random.Random(f"{SEED}-{split}")
    tools = read_tools(HERE / "tools.toml")
    written = read_cases(HERE / f"cases_{split}.toml")
    rng.shuffle(written)
    prefix = "syntax_stress" if split == "eval" else "syntax_stress-train"
    return [
        {
            "id": f"{prefix}-{number:03}",
            **row(case, tools, rng),
            "tags": [tag for tag in TAGS if tag in (FAMILY[case["kind"]], case["kind"])],
        }
        for number, case in enumerate(written, start=1)
    ]
