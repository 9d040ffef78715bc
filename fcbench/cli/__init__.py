"""The command line. One file a command; heavy imports are inside the commands.

A command's module has `add(parser)`, which describes its options, and `run(args) -> int`, which
returns the exit code: 0 success, 1 a threshold is missed, 3 some samples are errors; `args.typed`
are the words after the command. Every FcbenchError becomes a line on stderr and exit code 2. Its
help ends with the module's EXAMPLES, pairs of what is typed after `python -m fcbench` and what that
does, and with the exit codes, of which EXITS says in the command's own words what they mean. It may
have `interrupted(args)`, which returns the lines to say to whoever ended it with Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

from fcbench.cli._parser import Parser, Version, add_help, options_of, unknown_option
from fcbench.errors import FcbenchError, nearest
from fcbench.text import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

COMMANDS = {
    "run": "run models over suites and print a leaderboard",
    "score": "score a stored run, or outputs made elsewhere",
    "compare": "say how runs over the same cases differ, and whether by more than chance",
    "drift": "run the same weights in several ways, and say where they differ",
    "leaderboard": "rebuild the leaderboard from stored runs",
    "report": "write one HTML file about runs: tables, charts, and every case",
    "parse": "say whether texts are valid calls, and if not, why",
    "lint": "prove that a suite can be satisfied, and find its defects",
    "train": "fine-tune a model on function calls, and measure its calls meanwhile",
    "doctor": "say why a model emits no calls, check by check",
    "suites": "list the suites that come with fcbench, or fetch another",
    "inspect": "show one case: its prompts, tools and right answers, and what a run answered",
    "merge": "merge a LoRA adapter into its base, and prove that nothing was lost",
    "export": "write a model for llama.cpp and Ollama, and check what was written",
    "completion": "write a script that lets a shell complete commands, options and names",
}

OK, MISSED, USAGE, ERRORS, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments:
        from fcbench.cli._next import what_next

        sys.stdout.write(what_next())
        return OK
    if arguments[0] == "help":  # as git and others have it
        arguments = [*arguments[1:2], "--help"]
    chosen = arguments[0]
    if chosen not in COMMANDS:
        if not chosen.startswith("-"):
            return _unknown("command", chosen, COMMANDS)
        if (wrong := unknown_option(arguments, ["-h", "--help", "--version"])) is not None:
            return _unknown("option", wrong, ["--help", "--version"])
        whole_parser([]).parse_args(arguments)
        return OK
    # Only the command that runs is imported.
    parser = whole_parser([chosen])
    if (wrong := unknown_option(arguments[1:], options_of(parser, chosen))) is not None:
        return _unknown("option", wrong, options_of(parser, chosen), chosen)
    args = parser.parse_args(arguments)
    args.typed = arguments[1:]
    return _guarded(chosen, args)


def whole_parser(described: Iterable[str] = COMMANDS, prog: str = "python -m fcbench") -> Parser:
    """Return the parser of the command line, with the options of the commands that are named."""
    parser = Parser(
        prog=prog,
        description="Does this model emit function calls that work, and if not, exactly why?",
        epilog=f"{prog} COMMAND --help says more of each, with examples. {prog} alone says what "
        "to do next.",
    )
    parser.add_argument("--version", action=Version, nargs=0, help="print the version and end")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", parser_class=Parser, required=True
    )
    chosen = set(described)
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=_sentence(purpose))
        if name in chosen:
            module = importlib.import_module(f"fcbench.cli.{name}")
            module.add(command)
            add_help(command, getattr(module, "EXAMPLES", ()), getattr(module, "EXITS", {}))
    return parser


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _unknown(kind: str, name: str, known: Iterable[str], command: str = "") -> int:
    prog = f"python -m fcbench {command}".rstrip()
    sys.stderr.write(f"{prog}: no such {kind}: {visible(name)}\nhint: {nearest(name, known)}\n")
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
    except KeyboardInterrupt as error:
        said = f"interrupted: {error}" if error.args else "interrupted"
        sys.stderr.write(f"\n{visible(said)}\n")
        if hasattr(module, "interrupted"):
            lines = module.interrupted(args)
            sys.stderr.writelines(f"{visible(line)}\n" for line in lines)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout went away (| head). That stderr's did is no error: _stderr.Stderr.
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
