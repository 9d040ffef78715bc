"""What SECURITY.md says of versions and exceptions is what stands in the project's own files."""

import importlib.metadata
import re
import sys
import tomllib

import pytest

from fcbench.report.markdown import insert
from tests.security import versions
from tests.security.versions import DOCUMENTS, NAME, ROOT, SHOWN, as_markdown, pinned

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SOURCES = sorted([*(ROOT / "fcbench").rglob("*.py"), *(ROOT / "suites").rglob("*.py")])


def test_the_table_of_versions_is_what_the_project_declares_and_pins(tmp_path):
    shown = 0
    for document in DOCUMENTS:
        text = (ROOT / document).read_text("utf-8")
        if f"<!-- {NAME}: begin -->" not in text:
            continue
        shown += 1
        copy = tmp_path / document
        copy.write_text(text, "utf-8")
        insert(copy, NAME, as_markdown())
        assert copy.read_text("utf-8") == text, "python -m tests.security.versions"
    assert shown


def test_the_versions_that_are_called_tested_are_those_of_this_test_run():
    checked = []
    for package in SHOWN:
        try:
            installed = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that these tests do without
        assert installed.partition("+")[0] == pinned()[package], package
        checked.append(package)
    assert {"transformers", "torch"} <= set(checked)
    tested = versions.pythons(PROJECT["project"])
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in tested
    assert f"PYTHON ?= python{tested[0]}" in (ROOT / "Makefile").read_text("utf-8")


def test_no_security_rule_is_off_as_a_whole():
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    ours = [
        *lint["ignore"],
        *(r for p, rs in lint["per-file-ignores"].items() for r in rs if "tests" not in p),
    ]
    assert [rule for rule in ours if re.fullmatch(r"S\d*", rule)] == ["S311"]  # suites' generators


@pytest.mark.parametrize("folder", ["fcbench", "suites"])
def test_every_exception_to_a_security_rule_says_why(folder):
    unsaid = []
    n_exceptions = 0
    for path in (ROOT / folder).rglob("*.py"):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            found = re.search(r"# noqa: ((?:\w+, )*S\d{3}\b[^ ]*)(.*)", line)
            if found is None:
                continue
            n_exceptions += 1
            above = path.read_text("utf-8").splitlines()[number - 2].strip()
            if not found[2].strip() and not above.startswith("#"):
                unsaid.append(f"{path.relative_to(ROOT)}:{number}")
    assert n_exceptions or folder == "suites"
    assert unsaid == []


def test_nothing_of_ours_reads_a_pickle_evaluates_a_text_or_starts_a_shell():
    """Ruff's S rules would allow each of these with a noqa; here there is none at all."""
    banned = re.compile(
        r"\b(?:pickle|cPickle|dill|marshal|shelve|joblib|cloudpickle)\.(?:loads?|Unpickler)\b"
        r"|\btorch\.load\(|\byaml\.(?:unsafe_)?load\(|\ballow_pickle=True|\bshell=True"
        r"|\bos\.(?:system|popen)\(|(?<![.\w])(?:eval|exec)\(|\bextractall\(|\bunpack_archive\("
    )
    # Ray's workers and their driver pickle what they say to each other: a cluster is trusted whole.
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in SOURCES
        if path.parent.name != "executors"
        for match in banned.finditer(path.read_text("utf-8"))
    ]
    assert len(SOURCES) > 100
    assert found == []
