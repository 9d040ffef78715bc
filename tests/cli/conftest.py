"""A folder to work in, with stand-in models, and the command line called in this process."""

import pytest

from fcbench.cli import main

MODEL = """
CALL = "<start_function_call>call:show_map{query:<escape>Coit Tower<escape>}<end_function_call>"
def answer(prompts):
    return [CALL] * len(prompts)
def failing(prompts):
    raise RuntimeError("boom")
def hostile(prompts):
    return ["<start_function_call>call:f{\\x1b[2J\\u202e\\ud800\\x00"] * len(prompts)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with the module standin, in which commands run."""
    (tmp_path / "standin.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def fcbench_cli(capsys):
    """Return a function that runs a command: (exit code, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as exit_:
            code = exit_.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
