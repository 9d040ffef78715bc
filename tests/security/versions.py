"""The table of supported versions: what pyproject.toml declares, and what the tests ran with.

python -m tests.security.versions    # puts it into SECURITY.md, and README.md if it has a place
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from fcbench.report.markdown import insert

ROOT = Path(__file__).parent.parent.parent
NAME = "versions"
DOCUMENTS = ("SECURITY.md", "README.md")
SHOWN = {
    "transformers": "hf",
    "torch": "hf",
    "peft": "train",
    "llguidance": "constrain",
    "xllamacpp": "llama",
    "httpx": "server",
    "vllm": "vllm",
    "ray": "ray",
}
"""Packages whose versions change what fcbench does, and the extra that brings each."""


def as_markdown() -> str:
    """Return the table."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    rows = [("Python", "", project["requires-python"], ", ".join(pythons(project)))]
    extras = project["optional-dependencies"]
    rows += [
        (package, f"`{extra}`", declared(extras[extra], package), pinned().get(package, ""))
        for package, extra in SHOWN.items()
    ]
    lines = ["| | extra | declared | tested |", "|---|---|---|---|"]
    lines += [f"| {name} | {e} | {d} | {t or 'no: a stand-in'} |" for name, e, d, t in rows]
    return "\n".join(lines) + "\n"


def pythons(project: dict[str, list[str]]) -> list[str]:
    """Return the Pythons that the classifiers name."""
    found = [
        re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", c)
        for c in project["classifiers"]
    ]
    return [match[1] for match in found if match]


def declared(requirements: list[str], package: str) -> str:
    """Return the versions that a list of requirements asks of a package."""
    (found,) = [r.removeprefix(package) for r in requirements if re.match(rf"{package}[><=~!]", r)]
    return found


def pinned() -> dict[str, str]:
    """Return the version of each package that the tests run with."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def write() -> None:
    """Put the table into each document that has a place for it."""
    for document in DOCUMENTS:
        path = ROOT / document
        if f"<!-- {NAME}: begin -->" in path.read_text("utf-8"):
            insert(path, NAME, as_markdown())


if __name__ == "__main__":
    write()
