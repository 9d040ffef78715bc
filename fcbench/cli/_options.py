"""What several commands understand."""

from __future__ import annotations

import argparse
from typing import Any

from fcbench.cli._parser import HINT


def threshold(text: str) -> tuple[str, float]:
    """Return METRIC=X as a pair; X is a share between 0 and 1."""
    from fcbench.errors import UsageError
    from fcbench.metrics import check_gate

    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected METRIC=X, got {text}")
    try:
        check_gate(name)
    except UsageError as error:
        hint = f"{HINT}{error.hint}" if error.hint else ""  # Parser.error tells the two apart
        raise argparse.ArgumentTypeError(f"{error.message}{hint}") from error
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, got {value}")
    return name, share


def add_gate(parser: argparse._ActionsContainer) -> None:
    """Describe the options that make a command fail below a threshold."""
    parser.add_argument(
        "--fail-under",
        action="append",
        default=[],
        type=threshold,
        metavar="METRIC=X",
        help="exit 1 unless the lower bound of the metric's interval reaches X, in every row",
    )
    parser.add_argument(
        "--interval",
        choices=("wilson", "clopper-pearson"),
        default="wilson",
        help="whose lower bound --fail-under takes; clopper-pearson never promises too much "
        "(default: wilson)",
    )


def add_matching(parser: argparse.ArgumentParser) -> None:
    """Describe the options that judge stored samples by other rules than their run's."""
    parser.add_argument("--suite", help="judge by this suite (needed for JSON lines)")
    parser.add_argument("--format", help="wire format: a name, or a grammar variant's path")
    parser.add_argument(
        "--matcher", help="exact, or bfcl for BFCL's rules (default: what the suite says)"
    )
    parser.add_argument(
        "--normalise",
        metavar="NAME[,NAME…]",
        help="what to overlook in strings: case, space (at either end), datetime (two ways to "
        "write one ISO 8601 date and time)",
    )
    parser.add_argument(
        "--schema-defaults",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="count an argument that has its schema's default as equal to an absent one",
    )


def matching_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return what add_matching's options say, as score takes it."""
    names = args.normalise
    return {
        "matcher": args.matcher,
        "normalise": None if names is None else [name for name in names.split(",") if name],
        "schema_defaults": args.schema_defaults,
    }


def add_executor(parser: argparse.ArgumentParser) -> None:
    """Describe the options that say where a model computes."""
    where = parser.add_argument_group("where it computes")
    where.add_argument(
        "--executor",
        default="local",
        metavar="NAME",
        help="local, in this process, or ray: --workers, of which each has a replica of the model; "
        "the samples are the same (default: local)",
    )
    where.add_argument("--workers", type=int, metavar="N", help="how many replicas")
    where.add_argument(
        "--ray-address",
        metavar="ADDR",
        help="a cluster that runs: auto on one of its nodes, or HOST:PORT (default: RAY_ADDRESS, "
        "else one is begun on this machine, and ends with the run)",
    )
    where.add_argument(
        "--cpus-per-worker",
        type=int,
        metavar="C",
        help="default: an equal share of this machine's; 1 on a cluster",
    )
    where.add_argument(
        "--gpus-per-worker",
        type=float,
        metavar="G",
        help="may be a part of one, as 0.5 (default: 0)",
    )
