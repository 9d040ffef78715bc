"""A project of somebody who gates a model: its functions count in a file how often they are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

MODEL = r"""
import os
from pathlib import Path

CALL = "<start_function_call>call:show_map{query:<escape>Coit Tower<escape>}<end_function_call>"

def counted(name):
    with open("asked.txt", "a") as file:
        file.write(name + "\n")

def answer(prompts):
    counted("answer")
    return [CALL] * len(prompts)

def silent(prompts):
    counted("silent")
    return ["I would rather not."] * len(prompts)

def hostile(prompts):
    text = "<start_function_call>call:f{\ud800\x00\x1b[2J</failure>\u202e" + "x" * 100_000
    return [text] * len(prompts)

def broken(prompts):
    counted("broken")
    raise OSError("no server here\x1b[31m \ud800")

def fatal(prompts):
    counted("fatal")
    os._exit(9)
"""


@pytest.fixture
def project(pytester, monkeypatch):
    """Return pytester in such a project; `asked()` says what its functions were asked, and by whom."""
    pytester.makepyfile(gated_model=MODEL)
    pytester.syspathinsert()
    # What python -m pytest does of itself, for the workers.
    monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=":")
    pytester.asked = lambda: (
        Path("asked.txt").read_text().split() if Path("asked.txt").exists() else []
    )
    return pytester
