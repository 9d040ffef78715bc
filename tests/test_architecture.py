"""The house's rules: imports go downward, and nothing heavy comes with `import fcbench`."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fcbench
from fcbench.cli import COMMANDS

PACKAGE = Path(fcbench.__file__).parent

# From the ground up; siblings on one floor do not import each other.
FLOORS = [
    {"types"},
    {"text"},
    {"errors"},
    {"stats", "paths", "packages", "registry"},
    {"formats"},
    {"schemas"},
    {"prompts", "backends", "suite", "matching", "metrics"},
    {"executors"},
    {"runs", "lint"},
    {"report"},
    {"train", "doctor", "drift", "_pytest"},
    {"cli", "pytest_plugin"},
]
HEAVY = {"torch", "transformers", "datasets", "peft", "pandas", "numpy", "lark", "jinja2", "ray"}


def floor_of(part: str) -> int:
    (number,) = [i for i, parts in enumerate(FLOORS) if part in parts]
    return number


def imports() -> list[tuple[str, str]]:
    """Pairs (file, imported part of fcbench), those inside functions and type checks included."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
                if node.module == "fcbench":
                    modules = [f"fcbench.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            found += [
                (path.relative_to(PACKAGE).as_posix(), module.split(".")[1])
                for module in modules
                if module.startswith("fcbench.")
            ]
    return found


def test_imports_go_downward_only():
    upward = []
    for file, part in imports():
        own = Path(file).parts[0].removesuffix(".py")
        if own in ("__init__", "__main__") or own == part:
            continue
        if floor_of(part) >= floor_of(own):
            upward.append(f"{file} imports fcbench.{part}")
    assert imports()
    assert upward == []


@pytest.mark.parametrize(
    "code",
    [
        "import fcbench",
        "import fcbench.pytest_plugin",
        "import sys; from fcbench.cli import main; main([])",
        *(
            f"from fcbench.cli import main, COMMANDS\ntry: main(['{command}', '--help'])\nexcept SystemExit: pass"
            for command in COMMANDS
        ),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_used(code):
    script = f"{code}\nimport sys\nprint('HEAVY', sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_public_names_are_sorted_and_all_resolve():
    assert fcbench.__all__ == sorted(fcbench.__all__)
    for name in fcbench.__all__:
        assert getattr(fcbench, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = fcbench.no_such_name


def test_top_level_folders_are_the_five():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    folders = {line.split("/")[0] for line in listed.stdout.splitlines() if "/" in line}
    assert folders <= {"fcbench", "grammars", "suites", "results", "tests", ".ci"}
