"""A tiny model with its adapter and merged form, suites that it is asked, and a stored run."""

import pytest

from tests.backends import architectures
from tests.drift.planted import MODEL, RIGHT, build_merged, install, stored_run, write_suite


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return architectures.build(MODEL, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def adapter(model, tmp_path_factory):
    return architectures.build_adapter(MODEL, model, tmp_path_factory.mktemp("adapter"))


@pytest.fixture(scope="session")
def merged(model, adapter, tmp_path_factory):
    return build_merged(model, adapter, tmp_path_factory.mktemp("merged"))


@pytest.fixture
def words(tmp_path):
    """A suite in which no call is right: models of random weights can be right there."""
    return write_suite(tmp_path / "words.jsonl", 3, [[]])


@pytest.fixture
def calls(tmp_path):
    return write_suite(tmp_path / "calls.jsonl", 20, [[{"name": "f", "arguments": {}}]])


@pytest.fixture
def run(tmp_path, calls, monkeypatch):
    return stored_run(monkeypatch, calls, tmp_path)


@pytest.fixture
def prompt_dependent(monkeypatch):
    """A model that makes its call only where it is shown the tools."""
    return install(monkeypatch, "moody", lambda p: RIGHT if "declaration" in p else "Hello.")
