"""What a trained model was made of, and what its calls were: the README.md of its folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from fcbench.report._safe import plain, table
from fcbench.train._config import as_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.train._config import Config
    from fcbench.train._curves import Curves

GEMMA_NOTICE = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at "
    "ai.google.dev/gemma/terms. This folder holds a modification of it"
)


def card(config: Config, facts: Mapping[str, Any], curves: Curves) -> str:
    """Return the card as Markdown."""
    style = config.format_style
    what = "A LoRA adapter for" if config.method != "full" else "A fine-tune of"
    before = "" if config.adapter is None else f", on from the adapter {config.adapter}"
    parts = [
        f"# {Path(config.out).name}",
        (
            f"{what} {config.model}, made by `python -m fcbench train` from "
            f"{facts['n_examples']} examples of {', '.join(config.data)}{before}."
        ),
        "## How to ask it",
        (
            f"It was trained with `--format-style {style}`: prompts and answers as "
            f"`--prompt {style}` has them. Asked in another way it may not call at all."
        ),
        f"    {next_command(config, facts)}",
        "## What was measured",
    ]
    if curves.measured:
        parts += [
            (
                "Over a slice of the suite (all of it where it is small), while training"
                + (" on weights of four bits" if config.method == "qlora" else "")
                + "; run the command above for all of it."
            ),
            f"![losses and calls](curves.svg)\n\n```\n{curves.text()}\n```",
        ]
        if facts["best_step"] is not None:
            parts.append(
                f"The weights here are those of step {facts['best_step']}, which had the best "
                "argument exact match."
            )
    else:
        parts.append("Nothing but the loss. That says nothing about calls: run the command above.")
    parts += ["## Training", _table(_numbers(facts)), "## Data", _data(facts)]
    parts += ["## Configuration", f"```toml\n{as_toml(config)}```"]
    if facts["model_type"].startswith("gemma"):
        kind = "a fine-tune" if config.method == "full" else "a LoRA adapter"
        parts += ["## Notice", f"{GEMMA_NOTICE}: {kind}."]
    return "\n\n".join(parts) + "\n"


def next_command(config: Config, facts: Mapping[str, Any]) -> str:
    """Return the command that asks the trained model a suite."""
    named = ["--model", config.model, "--adapter", config.out]
    if config.method == "full":
        named = ["--model", config.out]
    suite = ["--suite", config.eval_suite or "SUITE"]
    format = [] if facts["format"] == "functiongemma" else ["--format", facts["format"]]
    asked = [*named, *suite, "--prompt", config.format_style, *format]
    return shlex.join(["python", "-m", "fcbench", "run", *asked])


def _numbers(facts: Mapping[str, Any]) -> list[list[str]]:
    seconds = facts["seconds"]
    return [
        ["steps", f"{facts['n_steps']}"],
        ["examples a step", _step(facts["passes"])],
        ["trained parameters", f"{facts['n_trained']:,} of {facts['n_parameters']:,}"],
        ["trained token rows", ", ".join(facts["trained_tokens"]) or "none"],
        ["dtype", facts["dtype"]],
        [
            "tokens an example",
            (
                f"{fmean(facts['lengths']):.0f} ({facts['mean_labels']:.0f} learned), at most "
                f"{max(facts['lengths'])}"
            ),
        ],
        ["loss, first and last step", f"{facts['first_loss']:.3g}, {facts['last_loss']:.3g}"],
        [
            "time",
            f"{seconds / 60:.1f} min, measurements included"
            + (" (since the last --resume)" if facts["is_resumed"] else ""),
        ],
        ["versions", ", ".join(f"{k} {v}" for k, v in facts["versions"].items())],
    ]


def _step(passes: Mapping[str, Any]) -> str:
    size, n = passes["batch_size"], passes["accumulate"]
    shared = ", what they share at their beginning computed once" if passes["is_shared"] else ""
    return f"{size * n}, in passes of {size}{shared}"


def _data(facts: Mapping[str, Any]) -> str:
    rows = [[name, sha256] for name, sha256 in facts["data_sha256"].items()]
    faults = facts["faults"]
    said = "Every target parses under the strict grammar."
    if faults:
        listed = ", ".join(f"{kind} {count}" for kind, count in faults.items())
        said = f"Of the targets the strict grammar refuses {sum(faults.values())}: {listed}."
    if facts["n_left_out"]:
        said += f" {facts['n_left_out']} cases were left out: nothing to write, or too long."
    if facts["n_mislabelled"]:
        said += f" The calls of {facts['n_mislabelled']} cases are refused by their own tools."
    leaks = facts["n_leaks"]
    if leaks:
        said += f" {leaks} of the measured cases ask, word for word, what a training case asks."
    return f"{_table(rows, ['file', 'SHA-256'])}\n\n{said}"


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str] = ("", "")) -> str:
    return table(headers, [list(map(plain, row)) for row in rows])
