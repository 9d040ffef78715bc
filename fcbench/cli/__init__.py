"""The command line. One file a command; heavy imports are inside the commands.

A command's module has `add(parser)`, which describes its options, and `run(args) -> int`, which
returns the exit code: 0 success, 1 a threshold is missed, 3 some samples are errors. Every
FcbenchError becomes a line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from fcbench.errors import FcbenchError, nearest
from fcbench.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

COMMANDS = {
    "run": "run models over suites and print a leaderboard",
    "score": "score a stored run, or outputs made elsewhere",
    "compare": "say how runs over the same cases differ, and whether by more than chance",
    "drift": "run the same weights in several ways, and say where they differ",
    "leaderboard": "rebuild the leaderboard from stored runs",
    "parse": "say whether texts are valid calls, and if not, why",
    "lint": "prove that a suite can be satisfied, and find its defects",
    "train": "fine-tune a model on function calls, and measure its calls meanwhile",
    "doctor": "say why a model emits no calls, check by check",
    "suites": "list the suites that come with fcbench, or fetch another",
    "merge": "merge a LoRA adapter into its base, and prove that nothing was lost",
    "export": "write a model for llama.cpp and Ollama, and check what was written",
}

OK, MISSED, USAGE, ERRORS, INTERRUPTED = 0, 1, 2, 3, 130


class _Parser(argparse.ArgumentParser):
    """argparse in one line: what is wrong, and the nearest that would be right."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}\nhint: {self.prog} --help\n")
        raise SystemExit(USAGE)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = _Parser(
        prog="python -m fcbench",
        description="Does this model emit function calls that work, and if not, exactly why?",
        epilog="Try: python -m fcbench run --model gemma3-270m --suite original_experiment",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    subparsers = {
        name: commands.add_parser(name, help=purpose, description=purpose)
        for name, purpose in COMMANDS.items()
    }
    chosen = arguments[0] if arguments and arguments[0] in COMMANDS else None
    if chosen is None:
        if arguments and not arguments[0].startswith("-"):
            return _unknown("command", arguments[0], COMMANDS)
        parser.parse_args(arguments)
        parser.print_help()
        return OK
    # Only the command that runs is imported.
    importlib.import_module(f"fcbench.cli.{chosen}").add(subparsers[chosen])
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        known = [s for a in subparsers[chosen]._actions for s in a.option_strings]  # noqa: SLF001  argparse has no other way
        return _unknown("option", unknown[0].split("=")[0], known)
    return _guarded(chosen, args)


def _unknown(kind: str, name: str, known: Iterable[str]) -> int:
    sys.stderr.write(f"python -m fcbench: no such {kind}: {name}\nhint: {nearest(name, known)}\n")
    return USAGE


def _guarded(command: str, args: argparse.Namespace) -> int:
    module = importlib.import_module(f"fcbench.cli.{command}")
    try:
        return int(module.run(args))
    except FcbenchError as error:
        # A suite's names and a model's words may hold what moves a terminal's cursor.
        lines = map(visible, f"{type(error).__name__}: {error}".split("\n"))
        sys.stderr.write("\n".join(lines) + "\n")
        return USAGE
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away (| head). Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
