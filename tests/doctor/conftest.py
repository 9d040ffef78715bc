"""The tiny model, made once, and a function that examines it or a broken copy."""

from __future__ import annotations

import pytest

from fcbench.backends import ModelOptions
from tests import tiny


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tiny.write_model(tmp_path_factory.mktemp("knowing"))
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def suite(tmp_path_factory):
    return tiny.write_suite(tmp_path_factory.mktemp("suite"))


@pytest.fixture(scope="session")
def knowing(folder):
    """A model that calls under its chat template and talks under other prompts."""
    from fcbench.backends.transformers import load

    return load(str(folder), ModelOptions(dtype="float32"))


@pytest.fixture(scope="session")
def untrained(folder):
    from fcbench.backends.transformers import load

    return load(str(folder / "untrained"), ModelOptions(dtype="float32"))


@pytest.fixture
def examined(suite):
    """Return a function that examines a model and returns the report."""
    from fcbench.doctor import Options, examine

    def run(model, **options):
        return examine(model, Options(suite=suite, **{"n_cases": 8, "dtype": "float32", **options}))

    return run
