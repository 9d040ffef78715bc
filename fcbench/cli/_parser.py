"""argparse, with suggestions where a name is wrong, and with examples in its help."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from fcbench.errors import nearest
from fcbench.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

USAGE = 2
HINT = "\nhint: "
EXAMPLES = "examples:"
MEANINGS = {0: "success", 2: "wrong usage or input"}
"""What exit codes mean of every command."""


class Formatter(argparse.HelpFormatter):
    """argparse's own, which leaves examples as they are written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(EXAMPLES):
            return text
        return super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """argparse in one line: what is wrong, and the nearest that would be right."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": Formatter, **options})

    def error(self, message: str) -> NoReturn:
        """Say on stderr what is wrong and what to do, and end with exit code 2."""
        what, _, hint = message.partition(HINT)
        hint = hint or f"{self.prog} --help"
        sys.stderr.write(f"{self.prog}: {visible(what)}{HINT}{visible(hint)}\n")
        raise SystemExit(USAGE)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # argparse lists every choice, and does not say which was meant.
        if action.choices is not None and value not in action.choices:
            hint = nearest(str(value), map(str, action.choices))
            raise argparse.ArgumentError(action, f"no such choice: {value}{HINT}{hint}")


class Version(argparse.Action):
    """Prints the version; it is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print it and end."""
        from importlib.metadata import version

        sys.stdout.write(f"fcbench {version('fcbench')}\n")
        parser.exit()


def nested(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield the parsers of a parser's commands by their names."""
    for action in parser._actions:  # noqa: SLF001  argparse has no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  likewise
            yield from action.choices.items()


def actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the options and arguments of a parser, and those of its own commands."""
    yield from parser._actions  # noqa: SLF001  argparse has no other way
    for _, command in nested(parser):
        yield from actions_of(command)


def options_of(parser: argparse.ArgumentParser, command: str) -> list[str]:
    """Return the options of one of a parser's commands."""
    return [name for a in actions_of(dict(nested(parser))[command]) for name in a.option_strings]


def unknown_option(arguments: Sequence[str], known: Sequence[str]) -> str | None:
    """Return the first of the arguments that is meant as an option, and is none.

    argparse says so too, but only once nothing that is required is missing: of `--modle x` it says
    that --model is missing, and not why.
    """
    for argument in arguments:
        if argument == "--":
            return None
        is_number = re.fullmatch(r"-\d*\.?\d+", argument)
        if not argument.startswith("-") or argument == "-" or " " in argument or is_number:
            continue
        name = argument.partition("=")[0]
        # A beginning that no other option has stands for the whole of it.
        is_short = name.startswith("--") and any(option.startswith(name) for option in known)
        if name not in known and not is_short:
            return name
    return None


def add_help(
    parser: argparse.ArgumentParser,
    examples: Sequence[tuple[str, str]],
    exits: Mapping[int, str],
) -> None:
    """Let a command's help end with examples and exit codes, and that of its own commands too."""
    prog = parser.prog.rpartition(" ")[0]
    parser.epilog = _epilog(prog, examples, exits)
    for name, command in nested(parser):
        beginning = f"{parser.prog} {name}".removeprefix(f"{prog} ")
        own = [example for example in examples if f"{example[0]} ".startswith(f"{beginning} ")]
        command.epilog = _epilog(prog, own or examples, exits)


def _epilog(prog: str, examples: Iterable[tuple[str, str]], exits: Mapping[int, str]) -> str:
    lines = [EXAMPLES]
    for typed, meaning in examples:
        lines += [f"  {prog} {typed}", f"      {meaning}"]
    meanings = sorted({**MEANINGS, **exits}.items())
    lines += ["", "exit codes:", *(f"  {code}  {meaning}" for code, meaning in meanings)]
    return "\n".join(lines)
