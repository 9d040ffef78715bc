"""The benchmark's result as Markdown: only what stands in the stored sections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from tests.benchmarks.generation import floor
from tests.benchmarks.generation.contestants import CONTESTANTS

if TYPE_CHECKING:
    from collections.abc import Sequence


def as_markdown(sections: dict[str, Any]) -> str:
    """Return the report of the sections that there are."""
    lines = [
        "# Answering a suite with one model",
        "",
        (
            "Written by `make bench-generation`. The model is Gemma 3 270M, tuned until it calls "
            "functions (tests/benchmarks/generation/tuned.py); decoding is greedy. Each contestant "
            "runs in a process of its own, one after another; loading and a warm-up are not in the "
            "times, tokenising, scheduling, decoding and detokenising are."
        ),
    ]
    for name, write in (("comparison", _comparison), ("exact", _exact), ("growth", _growth)):
        if name in sections:
            lines += ["", *write(sections[name]["result"]), "", stamped(sections[name]["stamp"])]
    return "\n".join(lines) + "\n"


def stamped(stamp: dict[str, Any]) -> str:
    """Return what a section was measured on, as a line."""
    versions = ", ".join(f"{name} {version}" for name, version in stamp["versions"].items())
    return (
        f"Measured {stamp['date']}: {stamp['dtype']}, at most {stamp['limit']} new tokens, "
        f"{stamp['rounds']} round(s); {stamp['processor']}, {stamp['cpus']} CPUs, "
        f"{stamp['python']}, {versions}; model {stamp['model']}."
    )


def _comparison(result: dict[str, Any]) -> list[str]:
    lines = ["## Beside others"]
    for name, each in result["sets"].items():
        lines += ["", *_set(name, each)]
    lines += ["", "### Goals", "", *_goals(result["goals"]), "", *_rates(result["rates"])]
    if result["sweeps"]:
        lines += ["", *_sweeps(result["sweeps"])]
    for name, why in result["left_out"].items():
        lines += ["", f"Left out: {CONTESTANTS[name].label}: {why}."]
    return lines


def _set(name: str, each: dict[str, Any]) -> list[str]:
    price = each["floor"]["seconds"]
    rows = [
        [
            CONTESTANTS[contestant].label,
            "own" if run["batch"] is None else run["batch"],
            f"{run['cases_per_second']:.2f}",
            f"{run['seconds'] / price['floor']:.1f}",
            f"{run['seconds'] / price['as_shaped']:.1f}",
            f"{run['peak_mib']:,.0f}",
            _mib(run["answering_mib"]),
            "" if run["identical"] is None else f"{run['identical']} of {each['prompts']}",
        ]
        for contestant, run in each["contestants"].items()
    ]
    for label, key in (("floor", "floor"), ("products as shaped", "as_shaped")):
        speed = f"{each['prompts'] / price[key]:.2f}"
        over, shaped = price[key] / price["floor"], price[key] / price["as_shaped"]
        rows.append([label, "", speed, f"{over:.1f}", f"{shaped:.1f}", "", "", ""])
    header = [
        *("", "batch", "cases/s", "x floor", "x as shaped"),
        *("peak MiB", "MiB while answering", "outputs as (a)"),
    ]
    return [
        f"### {name}",
        "",
        (
            f"{each['prompts']} prompts of {each['mean_tokens']:.0f} tokens, of which one shares "
            f"{each['shared_share']:.1%} with the prompt before it in the best order. "
            f"{each['floor']['written'] / each['prompts']:.1f} tokens are written after each; "
            f"{each['floor']['read']:,} prompt tokens must be read."
        ),
        "",
        _table(rows, header),
    ]


def _mib(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _goals(goals: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"- {goal['goal']}: {goal['measured']:.2f}, **{'met' if goal['met'] else 'missed'}**"
        for goal in goals
    ]


def _rates(rates: dict[str, float]) -> list[str]:
    large = rates["large_flops_per_second"] / 1e9
    return [
        (
            f"The floor is the time of the necessary matrix products at {large:,.0f} GFLOP/s, the "
            f"rate of {floor.SQUARE} x {floor.SQUARE} products here (the better of two "
            f"measurements, {rates['spread']:.0%} apart). As shaped, they are priced at what the "
            f"model's own layers took: {rates['reading_seconds'] * 1000:.0f} ms for all layers on "
            f"{floor.READING_ROWS} rows, {rates['writing_seconds'] * 1000:.0f} ms on "
            f"{floor.WRITING_ROWS}, {rates['output_seconds'] * 1000:.0f} ms for the output layer "
            f"on {floor.WRITING_ROWS}."
        )
    ]


def _sweeps(sweeps: dict[str, dict[str, dict[Any, float]]]) -> list[str]:
    lines = ["Batch sizes tried, on the first prompts of the sets (cases/s):", ""]
    for set_name, contestants in sweeps.items():
        for name, speeds in contestants.items():
            tried = sorted((int(batch), speed) for batch, speed in speeds.items())
            told = ", ".join(f"{speed:.2f} at {batch}" for batch, speed in tried)
            lines.append(f"- {set_name}, {CONTESTANTS[name].label}: {told}")
    return lines


def _exact(result: dict[str, Any]) -> list[str]:
    rows = [
        [CONTESTANTS[name].label, set_name, f"{run['identical']} of {result['prompts']}"]
        for set_name, runs in result["sets"].items()
        for name, run in runs.items()
        if run["identical"] is not None
    ]
    return [
        "## Outputs in float32",
        "",
        (
            "In bfloat16 products that are summed in another order round to other numbers, and "
            "some outputs differ. In float32, how many equal those of (a):"
        ),
        "",
        _table(rows, ["", "set", "outputs as (a)"]),
        *(f"\nLeft out: {CONTESTANTS[n].label}: {why}." for n, why in result["left_out"].items()),
    ]


def _growth(result: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["## How fcbench's time grows"]
    for grown in dict.fromkeys(row["grown"] for row in result):
        rows = [
            [
                row["set"],
                row["size"],
                row["cases"],
                f"{row['mean_tokens']:,.0f}",
                f"{row['seconds']:.1f}",
                f"{row['cases_per_second']:.2f}",
                f"{row['peak_mib']:,.0f}",
                _mib(row["answering_mib"]),
            ]
            for row in result
            if row["grown"] == grown
        ]
        header = [
            *("set", grown, "cases asked", "tokens a prompt", "seconds", "cases/s"),
            *("peak MiB", "MiB while answering"),
        ]
        lines += ["", f"With the {grown}:", "", _table(rows, header)]
    return lines


def _table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    align = ("left", *["right"] * (len(header) - 1))
    return tabulate(rows, header, tablefmt="github", colalign=align, disable_numparse=True)
