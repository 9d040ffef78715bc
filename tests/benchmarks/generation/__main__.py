"""How fast fcbench answers mobile_actions' prompts, beside others and the machine's floor.

    python -m tests.benchmarks.generation

Writes generation.json and generation.md, and prints the latter. With --only, the other sections of
the stored json stay as they were, each with the machine and versions that it was measured on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.benchmarks.generation.comparison import compare, exact
from tests.benchmarks.generation.contestants import CONTESTANTS
from tests.benchmarks.generation.growth import growth
from tests.benchmarks.generation.prompts import SETS
from tests.benchmarks.generation.report import as_markdown
from tests.benchmarks.generation.setting import Setting
from tests.benchmarks.generation.tuned import tuned_model

SECTIONS = {"comparison": compare, "exact": exact, "growth": growth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=SECTIONS, action="append")
    parser.add_argument("--sets", type=_names(SETS), default=SETS)
    parser.add_argument("--contestants", type=_names(CONTESTANTS), default=tuple(CONTESTANTS))
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--exact", type=int, default=6, help="prompts of each set in float32")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--limit", type=int, default=64, help="new tokens after a prompt")
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    args = parser.parse_args()
    setting = Setting(
        str(tuned_model()),
        args.dtype,
        args.limit,
        args.sets,
        args.contestants,
        args.cases,
        args.exact,
        args.rounds,
    )
    args.folder.mkdir(parents=True, exist_ok=True)
    path = args.folder / "generation.json"
    sections = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    for name in args.only or SECTIONS:
        # Written after each: a section that took minutes does not go with the next one's failure.
        asked = setting.for_exactness() if name == "exact" else setting
        sections[name] = {"stamp": asked.stamp(), "result": SECTIONS[name](asked)}
        path.write_text(json.dumps(sections, indent=2) + "\n", encoding="utf-8")
        text = as_markdown(json.loads(path.read_text("utf-8")))
        (args.folder / "generation.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def _names(known):
    """Return what reads a list of known names, with commas between them."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(
                f"{', '.join(sorted(unknown))}: not in {', '.join(known)}"
            )
        return names

    return read


if __name__ == "__main__":
    main()
