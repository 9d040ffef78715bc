"""python -m fcbench completion."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench.cli import OK

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

EXAMPLES = (
    (
        "completion bash > ~/.local/share/bash-completion/completions/fcbench",
        "for every bash that is started from now on: type fcbench run --suite, then Tab twice",
    ),
    (
        "completion zsh > ~/.zfunc/_fcbench",
        "for zsh, whose fpath must hold that folder before compinit",
    ),
    ("completion fish > ~/.config/fish/completions/fcbench.fish", "for fish"),
)
SHELLS = ("bash", "zsh", "tcsh", "fish", "powershell")
SCHEMES = ("gguf:", "openai:", "ollama:", "vllm:", "python:", "replay:")


class Kind(NamedTuple):
    """A kind of value: its names, whether it is a list of them, and whether a file will do."""

    names: Callable[[], Sequence[str]]
    is_list: bool = False
    or_file: bool = False


def _registered(kind: str) -> Callable[[], Sequence[str]]:
    def names() -> Sequence[str]:
        from fcbench import registry

        return registry.names(kind)

    return names


def _suites() -> Sequence[str]:
    from fcbench.suite import fetched_names, suite_names

    return [*suite_names(), *fetched_names()]


def _metrics() -> Sequence[str]:
    from fcbench.metrics import metric_names

    return metric_names()


def _decodings() -> Sequence[str]:
    from fcbench.runs import DECODE_MODES

    return DECODE_MODES


def _cases() -> Sequence[str]:
    from fcbench.suite import load_suite, suite_names

    return [case.id for name in suite_names() for case in load_suite(name).cases]


def _tags() -> Sequence[str]:
    from fcbench.suite import load_suite, suite_names

    return sorted({t for name in suite_names() for c in load_suite(name).cases for t in c.tags})


KINDS = {
    "suite": Kind(_suites, or_file=True),
    "prompt": Kind(_registered("prompts"), is_list=True),
    "format": Kind(lambda: ["auto", *_registered("formats")()], or_file=True),
    "metric": Kind(_metrics),
    "decode": Kind(_decodings),
    "matcher": Kind(_registered("matching")),
    "normalise": Kind(lambda: ["case", "space", "datetime"], is_list=True),
    "dtype": Kind(lambda: ["auto", "float32", "bfloat16", "float16"], is_list=True),
    "tags": Kind(_tags, is_list=True),
    "case": Kind(_cases),
    "fetch": Kind(lambda: ["bfcl"]),
    "model": Kind(lambda: ["gemma3-270m", *SCHEMES], or_file=True),
}
"""What can be completed, by the option that takes it."""
ALIASES = {
    "--eval-suite": "suite",
    "--eval-prompt": "prompt",
    "--data": "file",
    "name": "fetch",
    "--fail-under": "metric",
    "--also": "model",
    "--merged": "file",
    "--adapter": "file",
    "--results": "file",
    "--out": "file",
}
FILES = ("FILE", "DIR", "PATH", "RUN", "FILE.gguf", "FILE.html", "FILE.md")
"""Metavars of what is in a folder."""


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.description = (
        "Write a script that lets a shell complete commands, options, files, and the names of "
        "suites, prompts, metrics and formats after `fcbench`."
    )
    parser.add_argument("shell", choices=SHELLS, help="bash, zsh, tcsh, fish or powershell")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    sys.stdout.write(script(args.shell))
    return OK


def script(shell: str) -> str:
    """Return the script of a shell."""
    import shtab

    from fcbench.cli import whole_parser
    from fcbench.cli._parser import actions_of

    # A shell completes what a name stands for: `python -m fcbench` is several words.
    parser = whole_parser(prog="fcbench")
    for action in actions_of(parser):
        kind = _kind_of(action)
        if kind == "file":
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks
        elif kind is not None:
            action.complete = _completer(kind)  # type: ignore[attr-defined]
    written: str = shtab.complete(parser, shell)
    if shell == "bash":  # shtab 1.13 reads into a variable of the user's shell
        written = written.replace("  COMPREPLY=()\n", "  local line\n  COMPREPLY=()\n", 1)
    return written.rstrip("\n") + "\n"


def _kind_of(action: argparse.Action) -> str | None:
    """Return which values an option or argument takes, None where nobody can know or list them."""
    names = action.option_strings or [action.dest]
    if action.choices is not None or action.nargs == 0:
        return None
    for name in names:
        kind = ALIASES.get(name, name.lstrip("-"))
        if kind in (*KINDS, "file"):
            return kind
    return "file" if action.metavar in FILES or action.dest in ("runs", "run", "file") else None


def _completer(name: str) -> dict[str, Any]:
    """Return how each shell completes a kind of value, as shtab takes it."""
    kind = KINDS[name]
    words = " ".join(map(shlex.quote, kind.names()))
    function = f"_fcbench_{name}"
    return {
        "bash": function,
        "zsh": function,
        "fish": f"({function})",
        # tcsh has no functions, and powershell's are left to the names alone.
        "tcsh": f"({words})",
        "preamble": {
            "bash": _bash(function, words, kind),
            "zsh": _zsh(function, words, kind),
            "fish": _fish(function, words, kind),
        },
    }


def _bash(function: str, words: str, kind: Kind) -> str:
    # The last of several: what stands before its comma stays as it is.
    last = (
        'local before="${1%"${1##*,}"}"\n  compgen -P "$before" -W "$words" -- "${1##*,}"'
        if kind.is_list
        else 'compgen -W "$words" -- "$1"'
    )
    files = '\n  compgen -f -- "$1"' if kind.or_file else ""
    return f'{function}() {{\n  local words="{words}"\n  {last}{files}\n}}\n'


def _zsh(function: str, words: str, kind: Kind) -> str:
    choose = f"_values -s , name {words}" if kind.is_list else f"compadd -- {words}"
    files = "\n  _files" if kind.or_file else ""
    return f"{function}() {{\n  {choose}{files}\n}}\n"


def _fish(function: str, words: str, kind: Kind) -> str:
    files = "\n  __fish_complete_path (commandline -ct)" if kind.or_file else ""
    if not kind.is_list:
        return f"function {function}\n  printf '%s\\n' {words}{files}\nend\n"
    return (
        f"function {function}\n"
        "  set -l before (string match -r '^.*,' -- (commandline -ct))\n"
        f'  for word in {words}\n    echo "$before$word"\n  end{files}\nend\n'
    )
