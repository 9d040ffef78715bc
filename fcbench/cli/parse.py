"""python -m fcbench parse."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.cli import MISSED, OK
from fcbench.text import caret, visible

if TYPE_CHECKING:
    import argparse

    from fcbench.types import Parse

EXAMPLES = (
    ("parse turn.txt", "the calls of a turn, or where it breaks, with a caret, and why"),
    ("parse turn.txt --format all", "which of the known formats accept it"),
    ("parse - --mode lenient --json", "what a forgiving parser makes of standard input, as JSON"),
)
EXITS = {1: "the turn is malformed"}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.description = "Say whether a model's turn is valid calls, and if not, where and why."
    parser.add_argument(
        "file", nargs="?", default="-", help="a text file; - or nothing reads standard input"
    )
    parser.add_argument(
        "--format",
        default="functiongemma",
        help="a name, a grammar variant's path, or all: which formats accept it",
    )
    parser.add_argument("--mode", default="strict", help="strict or lenient (default: strict)")
    parser.add_argument("--stop", choices=("token", "limit"), help="what ended the generation")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")


def run(args: argparse.Namespace) -> int:
    """Read one turn, all of the file, and print what it is."""
    from fcbench.errors import UsageError
    from fcbench.formats import parse

    try:
        content = sys.stdin.buffer.read() if args.file == "-" else Path(args.file).read_bytes()
        text = content.decode("utf-8")
    except OSError as error:
        raise UsageError(f"{args.file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{args.file}: not UTF-8 at byte {error.start}") from error
    # An editor's or echo's last newline is not the model's.
    text = text.removesuffix("\n")
    if args.format == "all":
        return _all_formats(text, args)
    parsed = parse(text, args.format, args.mode, args.stop)
    sys.stdout.write(_as_json(parsed) if args.json else _as_text(text, parsed))
    return MISSED if parsed.outcome == "malformed" else OK


def _all_formats(text: str, args: argparse.Namespace) -> int:
    """Print what the turn is in each format; 1 when it is valid in none."""
    from fcbench import registry
    from fcbench.formats import parse

    parses = {name: parse(text, name, args.mode, args.stop) for name in registry.names("formats")}
    if args.json:
        import msgspec

        plain = {name: msgspec.to_builtins(parsed) for name, parsed in parses.items()}
        sys.stdout.write(json.dumps(plain, indent=2) + "\n")
    else:
        width = max(map(len, parses))
        for name, parsed in parses.items():
            failure = parsed.failure
            why = "" if failure is None else f": {failure.kind} at {failure.offset}"
            sys.stdout.write(f"{name:{width}}  {parsed.outcome}{why}\n")
    return OK if any(parsed.outcome == "calls" for parsed in parses.values()) else MISSED


def _as_json(parsed: Parse) -> str:
    import msgspec

    return json.dumps(msgspec.to_builtins(parsed), indent=2) + "\n"


def _as_text(text: str, parsed: Parse) -> str:
    lines: list[str] = [parsed.outcome]
    lines += [
        visible(f"  {call.name} {json.dumps(call.arguments, ensure_ascii=False)}")
        for call in parsed.calls
    ]
    lines += [f"  repaired: {repair}" for repair in parsed.repairs]
    if parsed.failure is not None:
        lines += ["", *(f"  {line}" for line in caret(text, parsed.failure)), ""]
    return "\n".join(lines) + "\n"
