"""The wheel carries its grammars and suites."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CHECK = """
import fcbench
from fcbench.paths import data_folder
assert "_data" in str(data_folder("grammars")), data_folder("grammars")
print(fcbench.parse("<start_function_call>call:f{a:[1,None]}<end_function_call>").calls)
print(len(fcbench.load_suite("mobile_actions").cases))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Hatchling is installed with the tests, so that building needs no network.
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(folder),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_data_and_no_litter(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "fcbench/_data/grammars/functiongemma.lark" in names
    assert "fcbench/_data/suites/mobile_actions/cases.jsonl" in names
    assert "fcbench/formats/functiongemma.jinja" in names
    for name in ("page.jinja", "report.css", "browser.js"):
        assert f"fcbench/report/html/{name}" in names
    assert not [name for name in names if "cache" in name or name.startswith("tests")]


def test_a_fresh_environment_parses_with_a_grammar_from_the_wheel(wheel, tmp_path):
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--constraint", constraints, wheel], check=True
    )
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", CHECK], cwd=tmp_path, env=clean, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["[Call(name='f', arguments={'a': [1, None]})]", "200"]
