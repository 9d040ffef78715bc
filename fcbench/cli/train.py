"""python -m fcbench train."""

from __future__ import annotations

import argparse
import json
import sys
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcbench.cli import ERRORS, OK

if TYPE_CHECKING:
    from fcbench.train import Trained

EXAMPLES = (
    (
        "train --model gemma3-270m --data mobile_actions --eval-suite mobile_actions --out tuned",
        "LoRA over a suite's training file, its calls measured meanwhile",
    ),
    (
        "train --model ./base --data train.jsonl --eval-suite mine.jsonl --out tuned --epochs 5",
        "the same of your own data",
    ),
    ("train --print-config", "a TOML file with every option and its default, for --config"),
)
EXITS = {3: "some samples of the measurements are errors"}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options: those of fcbench.train.Config, and how they are given."""
    import msgspec

    from fcbench.train import _config

    parser.description = "Fine-tune a model on function calls, and measure its calls meanwhile."
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML with these options; what is given wins"
    )
    parser.add_argument(
        "--print-config", action="store_true", help="print such a file, with all defaults, and end"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in --out, if any"
    )
    parser.add_argument("--json", action="store_true", help="print what came of it as JSON")
    group = parser.add_argument_group("what to do (fields of the TOML file)")
    for option in _config.options():
        meaning = option.meaning.replace("%", "%%")
        if option.default is not msgspec.NODEFAULT and option.default is not None:
            meaning += f" (default: {option.default})"
        flag = f"--{option.name.replace('_', '-')}"
        # Left out, an option is what the file says, or its default.
        group.add_argument(flag, default=argparse.SUPPRESS, help=meaning, **_kind(option.kind))


def _kind(kind: Any) -> dict[str, Any]:
    """Return what argparse needs to know of a field's type."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(kind) is list:
        return {"action": "append", "metavar": "FILE"}
    if typing.get_origin(kind) is typing.Literal:
        return {"choices": typing.get_args(kind)}
    return {"type": kind, "metavar": {int: "N", float: "X"}.get(kind, "TEXT")}


def run(args: argparse.Namespace) -> int:
    """Train, and print the curves and what to do next."""
    from fcbench.train import _config

    if args.print_config:
        sys.stdout.write(_config.as_toml())
        return OK
    names = {option.name for option in _config.options()}
    given = {name: value for name, value in vars(args).items() if name in names}
    config = _config.read_config(args.config, given)
    from fcbench.train import fine_tune
    from fcbench.train._card import next_command

    trained = fine_tune(config, resume=args.resume, progress=True)
    if args.json:
        curves = trained.curves.measured
        made = {"folder": str(trained.folder), **trained.facts, "measured": curves}
        sys.stdout.write(json.dumps(made, indent=2) + "\n")
        return _code(trained)
    facts = trained.facts
    sys.stdout.write(f"{trained.curves.text()}\n\n")
    sys.stdout.write(
        f"{facts['n_steps']} steps over {facts['n_examples']} examples in "
        f"{facts['seconds'] / 60:.1f} min: {trained.folder}\n"
    )
    sys.stdout.write(f"next: {next_command(config, facts)}\n")
    return _code(trained)


def _code(trained: Trained) -> int:
    """Return 3 where the machinery failed in a measurement: its numbers are over fewer cases."""
    n_errors = sum(line["n_errors"] for line in trained.curves.measured)
    if n_errors:
        sys.stderr.write(f"{n_errors} samples of the measurements are errors\n")
    return ERRORS if n_errors else OK
