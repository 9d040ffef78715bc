"""How fcbench's matcher bfcl compares with bfcl-eval's own checker, and with the matcher exact.

    python -m tests.bfcl

Judges the possible answers of every Python entry, and mistakes made from them, by all three. Writes
bfcl_parity.json and bfcl_parity.md, and prints the latter.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from fcbench.suite import fetch_suite
from tests.benchmarks import bfcl
from tests.bfcl import synthetic
from tests.bfcl.differences import CLASSES, classes_of
from tests.bfcl.entries import entries
from tests.bfcl.limits import optional_though_required, unsatisfiable
from tests.bfcl.parity import Parity, compare

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bfcl.limits import Limit

MADE_UP, SEED = 1000, 270


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    args = parser.parse_args()
    # CPython warns of what models write, such as "1 is not callable".
    warnings.simplefilter("ignore")
    fetch_suite("bfcl")
    result = measure()
    args.folder.mkdir(parents=True, exist_ok=True)
    text = as_markdown(result)
    written = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    (args.folder / "bfcl_parity.json").write_text(written, encoding="utf-8")
    (args.folder / "bfcl_parity.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def measure() -> dict[str, Any]:
    """Return every count."""
    theirs = bfcl.load()
    found = entries()
    parity = compare(found, theirs)
    return {
        "bfcl_eval": bfcl.VERSION,
        "bfcl": counts_of(parity),
        "made_up": {"seed": SEED, **counts_of(compare(synthetic.entries(MADE_UP, SEED), theirs))},
        "exact_differs": differences(parity),
        "unsatisfiable": by_entry(unsatisfiable(found, theirs)),
        "optional_though_required": by_entry(optional_though_required(found)),
    }


def counts_of(parity: Parity) -> dict[str, Any]:
    """Return the counts of a comparison with bfcl-eval."""
    return {
        "entries": parity.entries,
        "outputs": parity.outputs,
        "fewest_mistakes_an_entry": parity.fewest_mistakes,
        "both_right": parity.right,
        "both_wrong": parity.wrong,
        "disagreements": len(parity.disagreements),
        "disagreements_where_theirs_raises": sum(
            each.theirs_raises for each in parity.disagreements
        ),
        "exceptions_of_theirs": dict(parity.exceptions.most_common()),
        "also_through_both_decoders": parity.decoded,
        "not_to_be_written_as_python": parity.not_written,
        "by_kind": dict(parity.kinds.most_common()),
    }


def differences(parity: Parity) -> dict[str, Any]:
    """Return on how many outputs exact and bfcl differ, by the classes of reasons."""
    counts = Counter(
        name
        for entry, exact, ours in parity.differing
        for name in classes_of(entry.case, exact, ours)
    )
    return {
        "outputs": len(parity.differing),
        "only_exact_accepts": sum(exact.arguments is True for _, exact, _ in parity.differing),
        "classes": {
            name: {"accepted_by": each.accepts, "outputs": counts[name], "why": each.why}
            for name, each in CLASSES.items()
        },
    }


def by_entry(limits: Iterable[Limit]) -> dict[str, str]:
    """Return entries, with how many of their arguments have which reason."""
    reasons: dict[str, Counter[str]] = {}
    for limit in limits:
        reasons.setdefault(limit.id, Counter())[limit.reason] += 1
    return {
        id_: "; ".join(f"{n} × {reason}" for reason, n in counted.items())
        for id_, counted in reasons.items()
    }


def as_markdown(result: dict[str, Any]) -> str:
    """Return the result as tables."""
    differing = result["exact_differs"]
    lines = [
        "# The matcher bfcl beside bfcl-eval's own checker",
        "",
        (
            f"By `python -m tests.bfcl`, bfcl-eval {result['bfcl_eval']}. Each entry's possible "
            "answers, one after the other, and mistakes made from them, judged as calls; one in ten "
            "also as text, through both decoders. Made-up entries mix types as BFCL's do not."
        ),
        "",
        tabulate(
            [
                [
                    name.replace("_", " "),
                    *(cell(result[data][name]) for data in ("bfcl", "made_up")),
                ]
                for name in result["bfcl"]
                if name != "by_kind"
            ],
            ["", "BFCL's entries", f"made up, seed {result['made_up']['seed']}"],
            tablefmt="github",
            colalign=("left", "right", "right"),
            disable_numparse=True,
        ),
        "",
        (
            "Where its code raises, the matcher says wrong. It does so pair by pair: where theirs "
            "ends in the middle of pairing parallel calls, ours may find the right pairs. That, and "
            'a "" before or behind a possible answer that it cannot take for one, are all the '
            "disagreements there are; BFCL's own data gives rise to none."
        ),
        "",
        "## Where exact says otherwise",
        "",
        (
            f"On {differing['outputs']:,} of the {result['bfcl']['outputs']:,} outputs of BFCL's "
            f"entries; {differing['only_exact_accepts']:,} of them only exact accepts. An output may "
            "be in two classes, and none is in no class. Examples are ours: possible answers of an "
            "argument x, and the calls."
        ),
        "",
        tabulate(
            [
                [name, each["accepted_by"], f"{each['outputs']:,}", each["why"], example(name)]
                for name, each in sorted(
                    differing["classes"].items(), key=lambda item: -item[1]["outputs"]
                )
            ],
            ["class", "accepted by", "outputs", "why", "example"],
            tablefmt="github",
            colalign=("left", "left", "right", "left", "left"),
            disable_numparse=True,
        ),
        "",
        *listed("Entries that no output satisfies under BFCL's rules", result["unsatisfiable"]),
        *listed(
            "Entries whose answers leave out what the function requires",
            result["optional_though_required"],
        ),
    ]
    return "\n".join(lines)


def cell(value: int | dict[str, int]) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(f"{name} {n:,}" for name, n in value.items()) or "none"


def example(name: str) -> str:
    """Return a class's example: accepted values of each expected call, then the calls."""
    doc, possible, called, required = CLASSES[name].example
    kind = doc.get("type", "not declared")
    if "items" in doc:
        kind += f" of {doc['items']['type']}"
    calls = json.dumps(called)
    answers = " and ".join(map(json.dumps, possible))
    return f"x is {kind}{', required' if required else ''}: `{answers}`, called `{calls}`"


def listed(title: str, reasons: dict[str, str]) -> list[str]:
    return [
        f"## {title}: {len(reasons)}",
        "",
        *(f"- {id_}: {reason}" for id_, reason in reasons.items()),
        "",
    ]


if __name__ == "__main__":
    main()
