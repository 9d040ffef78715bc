"""Shell completion: scripts that shells take, and what they complete."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fcbench
from fcbench import registry
from fcbench.cli import COMMANDS, whole_parser
from fcbench.cli._parser import nested, options_of
from fcbench.cli.completion import SHELLS, script
from fcbench.metrics import metric_names
from fcbench.runs import DECODE_MODES
from fcbench.suite import suite_names

ASK = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$(({n} - 1)); COMPREPLY=()
_shtab_fcbench fcbench "${{COMP_WORDS[-1]}}" "${{COMP_WORDS[-2]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def bash(tmp_path_factory):
    """Return a function that says what bash completes the last of some words to."""
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    path = tmp_path_factory.mktemp("bash") / "fcbench"
    path.write_text(script("bash"), encoding="utf-8")

    def complete(*words, cwd=None):
        quoted = " ".join(f"'{word}'" for word in words)
        asked = ASK.format(script=path, words=quoted, n=len(words))
        done = subprocess.run(
            ["bash", "--norc", "-c", asked], capture_output=True, text=True, check=True, cwd=cwd
        )
        assert done.stderr == ""
        return [line for line in done.stdout.splitlines() if line]

    return complete


def test_bash_completes_commands(bash):
    assert sorted(bash("fcbench", "")) == sorted([*COMMANDS])
    assert bash("fcbench", "leader") == ["leaderboard"]


@pytest.mark.parametrize("command", COMMANDS)
def test_bash_completes_every_option_of_every_command(bash, command):
    parser = dict(nested(whole_parser()))[command]
    own = [name for action in parser._actions for name in action.option_strings]
    assert sorted(bash("fcbench", command, "-")) == sorted(own)


def test_bash_completes_the_commands_below_a_command(bash):
    assert "gguf" in bash("fcbench", "export", "")
    options = bash("fcbench", "export", "gguf", "--")
    assert set(options) < set(options_of(whole_parser(), "export"))
    assert "--modelfile" in options
    assert bash("fcbench", "suites", "fetch", "b") == ["bfcl"]


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("--suite", suite_names()),
        ("--prompt", registry.names("prompts")),
        ("--format", ["auto", *registry.names("formats")]),
        ("--fail-under", metric_names()),
        ("--decode", list(DECODE_MODES)),
        ("--interval", ["wilson", "clopper-pearson"]),
        ("--dtype", ["auto", "float32", "bfloat16", "float16"]),
    ],
)
def test_bash_completes_names(bash, tmp_path, option, names):
    found = bash("fcbench", "run", option, "", cwd=tmp_path)
    assert sorted(found) == sorted(names)


def test_bash_completes_files_beside_names(bash, tmp_path):
    (tmp_path / "mine.jsonl").touch()
    assert bash("fcbench", "run", "--suite", "m", cwd=tmp_path) == [
        "mobile_actions",
        "multi_turn",
        "mine.jsonl",
    ]
    assert bash("fcbench", "score", "mi", cwd=tmp_path) == ["mine.jsonl"]
    assert bash("fcbench", "compare", "mine.jsonl", "mi", cwd=tmp_path) == ["mine.jsonl"]
    assert bash("fcbench", "train", "--data", "mi", cwd=tmp_path) == ["mine.jsonl"]


def test_bash_completes_the_last_of_a_list(bash):
    assert bash("fcbench", "run", "--prompt", "chat,r") == ["chat,raw"]
    assert bash("fcbench", "run", "--tags", "single,send") == ["single,send_email"]
    assert bash("fcbench", "drift", "--dtype", "float32,b") == ["float32,bfloat16"]


def test_bash_completes_the_cases_of_the_shipped_suites(bash):
    assert bash("fcbench", "inspect", "flashlight-and-w") == ["flashlight-and-wifi"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_takes_its_script(shell, tmp_path, fcbench_cli, here):
    code, out, err = fcbench_cli("completion", shell)
    assert (code, err) == (0, "")
    assert "mobile_actions" in out or shell == "powershell"
    check = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "-n"]}.get(shell)
    if check is None or shutil.which(check[0]) is None:
        return
    path = tmp_path / shell
    path.write_text(out, encoding="utf-8")
    done = subprocess.run([*check, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish_completes_names_and_the_last_of_a_list(tmp_path):
    path = tmp_path / "fcbench.fish"
    path.write_text(script("fish"), encoding="utf-8")

    def complete(line):
        asked = f"source {path}; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", asked], capture_output=True, text=True, check=True
        )
        return [found.partition("\t")[0] for found in done.stdout.splitlines()]

    assert complete("fcbench run --suite mob") == ["mobile_actions"]
    assert complete("fcbench run --prompt chat,r") == ["chat,raw"]


def test_a_script_names_no_path_of_this_machine():
    text = script("bash")
    assert sys.prefix not in text
    assert str(Path(fcbench.__file__).parent) not in text
