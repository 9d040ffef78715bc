"""What fcbench's pytest plugin costs a test run that has nothing to do with it.

    python -m tests.benchmarks.plugin

The same tests are run in three ways, one after the other, round by round: where fcbench is not
installed, where it is and pytest is told to leave it out (`-p no:fcbench`), and where it is. Each is
a process of its own, that sees pytest, what pytest needs, and the wheel of fcbench, all copied into
folders that hold nothing else. Twice: one test, where start-up is all there is, and a thousand, where
the hooks of every test would show. Of each round the difference counts, and of those the median.

Writes plugin.json and plugin.md, and prints the latter.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from fcbench.stats import paired_bootstrap
from tests.benchmarks.machine import system
from tests.benchmarks.result import write_result

ROOT = Path(__file__).parents[2]
NEEDED = ("pytest", "pluggy", "iniconfig", "packaging", "Pygments")
ABSENT, LEFT_OUT, PRESENT = "not installed", "installed, `-p no:fcbench`", "installed"
SIZES = (1, 1000)
COLUMNS = (
    "tests",
    "fcbench",
    "wall, ms",
    "CPU, ms",
    "more than not installed: wall, ms",
    "CPU, ms",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bare, with_fcbench = environments(Path(folder))
        rows = [
            row
            for n_tests in SIZES
            for row in measure(Path(folder), bare, with_fcbench, n_tests, args.rounds)
        ]
        imported = [import_ms(with_fcbench) for _ in range(args.rounds)]
    result = {
        **system(("fcbench", "pytest")),
        "rounds": args.rounds,
        "import_ms": median(imported),
        "rows": rows,
    }
    write_result(args.folder, "plugin", result, as_markdown(result))


def environments(folder: Path) -> tuple[str, str]:
    """Return PYTHONPATH with pytest alone, and with the wheel of fcbench beside it."""
    bare, added = folder / "pytest", folder / "fcbench"
    for name in NEEDED:
        for file in metadata.files(name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = bare / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), target)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(added)
    return str(bare), f"{bare}{os.pathsep}{added}"


def measure(
    folder: Path, bare: str, with_fcbench: str, n_tests: int, rounds: int
) -> list[dict[str, Any]]:
    """Return what each way took, in all rounds, and how much more than without fcbench."""
    tests = folder / f"tests_{n_tests}"
    tests.mkdir()
    body = "".join(f"def test_{i}():\n    assert {i} == {i}\n" for i in range(n_tests))
    (tests / "test_unrelated.py").write_text(body, encoding="utf-8")
    ways: dict[str, tuple[str, list[str]]] = {
        ABSENT: (bare, []),
        LEFT_OUT: (with_fcbench, ["-p", "no:fcbench"]),
        PRESENT: (with_fcbench, []),
    }
    for path, options in ways.values():  # what Python compiles is compiled
        run(tests, path, options)
    took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for number in range(rounds):
        # Each comes first as often as the others.
        turn = number % len(ways)
        for way in [*ways, *ways][turn : turn + len(ways)]:
            took[way].append(run(tests, *ways[way]))
    return [row_of(n_tests, way, took[way], took[ABSENT]) for way in ways]


def run(tests: Path, path: str, options: list[str]) -> tuple[float, float]:
    """Return the wall and CPU milliseconds of a test run."""
    # Without site, the path alone says what is installed.
    command = [sys.executable, "-S", "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=tests, env={"PYTHONPATH": path}, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"pytest ended with {process.returncode} in {tests}")
    return 1000 * (time.perf_counter() - began), 1000 * (used.ru_utime + used.ru_stime)


def row_of(
    n_tests: int, way: str, took: list[tuple[float, float]], absent: list[tuple[float, float]]
) -> dict[str, Any]:
    """Return the medians of one way, and those of what it takes more, with an interval of the mean."""
    row: dict[str, Any] = {"tests": n_tests, "fcbench": way}
    for i, name in enumerate(("wall", "cpu")):
        more = [mine[i] - other[i] for mine, other in zip(took, absent, strict=True)]
        row[f"{name}_ms"] = median(one[i] for one in took)
        row[f"more_{name}_ms"] = median(more)
        row[f"more_{name}_ms_mean_interval"] = paired_bootstrap(more) if any(more) else None
    return row


def import_ms(path: str) -> float:
    """Return the milliseconds that importing the plugin takes where pytest is imported already."""
    command = [
        sys.executable,
        "-S",
        "-X",
        "importtime",
        "-c",
        "import pytest, fcbench.pytest_plugin",
    ]
    env = {"PYTHONPATH": path}
    lines = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stderr
    rows = [line.split("|") for line in lines.splitlines() if line.count("|") == 2]
    # Cumulative microseconds: of the package, and of the plugin without it.
    return (
        sum(int(r[1]) for r in rows if r[2].strip() in ("fcbench", "fcbench.pytest_plugin")) / 1000
    )


def as_markdown(result: dict[str, Any]) -> str:
    """Return the result as a table."""
    rows = [
        [
            f"{row['tests']:,}",
            row["fcbench"],
            f"{row['wall_ms']:.0f}",
            f"{row['cpu_ms']:.0f}",
            *([""] * 2 if row["fcbench"] == ABSENT else map(_more, (row, row), ("wall", "cpu"))),
        ]
        for row in result["rows"]
    ]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    align = ("right", "left", *["right"] * (len(COLUMNS) - 2))
    table = tabulate(rows, COLUMNS, tablefmt="github", colalign=align, disable_numparse=True)
    return "\n".join(
        [
            "# The pytest plugin in a test run that does not use it",
            "",
            (
                f"Medians of {result['rounds']} rounds of `python -m tests.benchmarks.plugin`, each "
                "way in turn in every round. What it takes more is the median of the rounds' "
                "differences, with the 95 % bootstrap interval of their mean. Importing the plugin "
                f"itself takes {result['import_ms']:.1f} ms (`python -X importtime`). "
                f"{result['processor']}, {result['cpus']} CPUs, {result['python']}, {versions}."
            ),
            "",
            table,
            "",
        ]
    )


def _more(row: dict[str, Any], name: str) -> str:
    low, high = row[f"more_{name}_ms_mean_interval"]
    return f"{row[f'more_{name}_ms']:+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    main()
