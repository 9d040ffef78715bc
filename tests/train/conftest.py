"""The tiny model, its suite and its cases, written once."""

import pytest

from tests import tiny


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tiny.write_model(tmp_path_factory.mktemp("tiny"))
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def untrained(tiny_folder):
    return str(tiny_folder / "untrained")


@pytest.fixture(scope="session")
def suite_file(tmp_path_factory):
    return str(tiny.write_suite(tmp_path_factory.mktemp("suite")))


@pytest.fixture
def config(untrained, suite_file, tmp_path):
    """Return a function that makes a configuration which trains the tiny model at all."""
    from fcbench.train import Config

    def make(**fields):
        known = {
            "model": untrained,
            "data": [suite_file],
            "out": str(tmp_path / "out"),
            "method": "full",
            "dtype": "float32",
            "learning_rate": 4e-3,
            "batch_size": 8,
            "accumulate": 2,
            "max_steps": 4,
            "schedule": "constant",
        }
        return Config(**{**known, **fields})

    return make
