"""What a trained model was made of, and what its calls were: the README.md of its folder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from fcbench.suite import load_suite, suite_names
from fcbench.train._config import as_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.train._config import Config
    from fcbench.train._curves import Curves

GEMMA_NOTICE = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at "
    "ai.google.dev/gemma/terms. This folder holds a modification of it: a LoRA adapter."
)


def data_sha256(config: Config) -> dict[str, str]:
    """Return the SHA-256 of each file of training data, by the name that the config gives it."""
    found = {}
    for name in config.data:
        path = Path(name)
        if name in suite_names() or path.is_dir():
            path = load_suite(name).training or path
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def card(config: Config, facts: Mapping[str, Any], curves: Curves | None) -> str:
    """Return the card as Markdown."""
    style = config.format_style
    what = "A LoRA adapter for" if config.method != "full" else "A fine-tune of"
    parts = [
        f"# {Path(config.out).name}",
        (
            f"{what} {config.model}, made by `python -m fcbench train` from "
            f"{facts['n_examples']} examples of {', '.join(config.data)}."
        ),
        "## How to ask it",
        (
            f"It was trained with `--format-style {style}`: prompts and answers as "
            f"`--prompt {style}` has them. Asked in another way it may not call at all."
        ),
        _command(config),
        "## What was measured",
    ]
    if curves is not None and curves.measured:
        parts += [
            "Over a slice of the suite, while training; run the command above for all of it.",
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
    if "gemma" in config.model.lower():
        parts += ["## Notice", GEMMA_NOTICE]
    return "\n\n".join(parts) + "\n"


def _command(config: Config) -> str:
    named = f"--model {config.model} --adapter {config.out}"
    if config.method == "full":
        named = f"--model {config.out}"
    suite = f" --suite {config.eval_suite}" if config.eval_suite else ""
    return f"    python -m fcbench run {named} --prompt {config.format_style}{suite}"


def _numbers(facts: Mapping[str, Any]) -> list[list[str]]:
    seconds = facts["seconds"]
    return [
        ["steps", f"{facts['n_steps']}"],
        ["trained parameters", f"{facts['n_trained']:,} of {facts['n_parameters']:,}"],
        ["trained token rows", ", ".join(facts["trained_tokens"]) or "none"],
        ["dtype", facts["dtype"]],
        ["tokens an example", f"{facts['mean_tokens']:.0f} ({facts['mean_labels']:.0f} learned)"],
        ["loss, first and last step", f"{facts['first_loss']:.3g}, {facts['last_loss']:.3g}"],
        [
            "time",
            f"{seconds / 60:.1f} min, measurements included"
            + (" (since the last --resume)" if facts["is_resumed"] else ""),
        ],
        ["versions", ", ".join(f"{k} {v}" for k, v in facts["versions"].items())],
    ]


def _data(facts: Mapping[str, Any]) -> str:
    rows = [[name, sha256] for name, sha256 in facts["data_sha256"].items()]
    faults = facts["faults"]
    said = "Every target parses under the strict grammar."
    if faults:
        listed = ", ".join(f"{kind} {count}" for kind, count in faults.items())
        said = f"Of the targets the strict grammar refuses {sum(faults.values())}: {listed}."
    leaks = facts["n_leaks"]
    if leaks:
        said += f" {leaks} of the measured cases ask, word for word, what a training case asks."
    return f"{_table(rows, ['file', 'SHA-256'])}\n\n{said}"


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str] = ("", "")) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
