"""Write generated suites: python -m suites.build [NAME …] [--check], in a checkout.

A generated suite has a generate.py beside its suite.toml with `rows(split)`, which returns the
rows of "eval" or "train", and `TAGS`, the meaning of each tag. This writes cases.jsonl and
train.jsonl, their SHA-256 into suite.toml, and the table of tags between the markers of README.md.
`--check` writes nothing and exits 1 if a file would differ. The same code writes the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

SUITES = Path(__file__).resolve().parent
BEGIN, END = "<!-- generated: begin -->\n", "<!-- generated: end -->"

Row = dict[str, Any]


def build(name: str) -> dict[Path, str]:
    """Return the content of each generated file of a suite."""
    folder = SUITES / name
    module = importlib.import_module(f"suites.{name}.generate")
    splits: list[list[Row]] = [module.rows("eval"), module.rows("train")]
    cases, train = (_lines(rows) for rows in splits)
    digests = [hashlib.sha256(content.encode()).hexdigest() for content in (cases, train)]
    toml = (folder / "suite.toml").read_text("utf-8")
    for key, digest in zip(("cases_sha256", "train_sha256"), digests, strict=True):
        toml = re.sub(rf'(?m)^{key} = ".*"$', f'{key} = "{digest}"', toml)
    head, rest = (folder / "README.md").read_text("utf-8").split(BEGIN)
    card = head + BEGIN + _table(module.TAGS, splits, digests) + END + rest.split(END)[1]
    return {
        folder / "cases.jsonl": cases,
        folder / "train.jsonl": train,
        folder / "suite.toml": toml,
        folder / "README.md": card,
    }


def _lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _table(tags: dict[str, str], splits: list[list[Row]], digests: list[str]) -> str:
    rows = [("tag", "evaluation", "training", "meaning"), ("---", "---:", "---:", "---")]
    for tag, meaning in tags.items():
        n_cases, n_train = (str(sum(tag in row["tags"] for row in split)) for split in splits)
        rows.append((f"`{tag}`", n_cases, n_train, meaning))
    rows.append(("all cases", str(len(splits[0])), str(len(splits[1])), ""))
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{text}\n\nSHA-256 of cases.jsonl: `{digests[0]}`\n\nof train.jsonl: `{digests[1]}`\n"


def main() -> int:
    """Write the files, or with --check say which of them would change."""
    generated = sorted(path.parent.name for path in SUITES.glob("*/generate.py"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(generated)}")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    args = parser.parse_args()
    stale = 0
    for name in args.names or generated:
        for path, content in build(name).items():
            if path.exists() and path.read_bytes() == content.encode():
                continue
            stale = 1
            sys.stdout.write(f"{'stale' if args.check else 'wrote'}: {name}/{path.name}\n")
            if not args.check:
                path.write_bytes(content.encode())
    return stale if args.check else 0


if __name__ == "__main__":
    sys.exit(main())
