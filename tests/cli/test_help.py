"""--help of every command: what it is for, examples that parse, exit codes."""

import argparse
import importlib
import re
import shlex

import pytest

from fcbench.cli import COMMANDS, whole_parser
from fcbench.cli._parser import nested

EXAMPLES = [
    (name, typed, meaning)
    for name in COMMANDS
    for typed, meaning in importlib.import_module(f"fcbench.cli.{name}").EXAMPLES
]


@pytest.fixture(scope="module")
def parser():
    return whole_parser()


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


def test_every_command_has_an_example():
    assert {name for name, _, _ in EXAMPLES} == set(COMMANDS)


@pytest.mark.parametrize(("name", "typed", "meaning"), EXAMPLES)
def test_each_example_is_one_that_can_be_typed(parser, name, typed, meaning):
    # What is written to a file is the shell's part.
    arguments = shlex.split(typed.partition(" > ")[0])
    assert parser.parse_args(arguments).command == name == arguments[0]
    assert meaning == meaning.strip()
    assert not meaning.endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_purpose_examples_and_exit_codes(fcbench_cli, name):
    code, out, err = fcbench_cli(name, "--help")
    assert (code, err) == (0, "")
    usage, *rest = out.split("\n\n")
    assert usage.startswith(f"usage: python -m fcbench {name} ")
    assert rest[0][0].isupper()
    assert rest[0].endswith(".")
    examples = out.partition("\nexamples:\n")[2].partition("\nexit codes:\n")[0]
    assert examples.count(f"  python -m fcbench {name}") >= 1
    codes = re.findall(r"^  (\d)  \S", out.partition("\nexit codes:\n")[2], flags=re.MULTILINE)
    assert codes == sorted(codes)
    assert {"0", "2"} <= set(codes)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(parser, name):
    command = dict(nested(parser))[name]
    parsers = [command, *(below for _, below in nested(command))]
    for action in (a for p in parsers for a in p._actions):
        shown = action.option_strings or [action.dest]
        assert action.help or action.choices, f"{name} {shown}"
        # A default that is told is one that holds.
        told = re.search(r"default: ([\w./-]+)[);]?$", action.help or "")
        if told and action.default not in (None, [], argparse.SUPPRESS):
            default = action.default
            said = f"{default:g}" if isinstance(default, float) else str(default)
            assert told.group(1).rstrip("/") == said.rstrip("/"), f"{name} {shown}"


def test_help_of_a_command_below_shows_its_own_examples(fcbench_cli):
    _, out, _ = fcbench_cli("suites", "fetch", "--help")
    assert "python -m fcbench suites fetch bfcl" in out
    assert "licence and hash" not in out  # which is of `suites` alone
    _, out, _ = fcbench_cli("export", "gguf", "--help")
    assert "  1  --check finds" in out


def test_help_is_reached_as_in_other_programs(fcbench_cli):
    assert fcbench_cli("help", "run")[1] == fcbench_cli("run", "--help")[1]
    code, out, _ = fcbench_cli("--help")
    assert code == 0
    assert all(re.search(rf"^    {name}\b", out, flags=re.MULTILINE) for name in COMMANDS)
    assert fcbench_cli("help")[1] == out
    code, out, _ = fcbench_cli("--version")
    assert code == 0
    assert re.fullmatch(r"fcbench \d+\.\d+\.\d+\n", out)
