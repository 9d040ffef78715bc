"""What is published is the mean of the goes that it names, and says so."""

import shutil

import torch
from safetensors.torch import load_file, save_file

from fcbench.paths import ADAPTER_WEIGHTS
from tests.experiment import average
from tests.experiment.plan import AVERAGED, GOES, ROOT


def test_the_weights_are_the_mean_and_the_card_names_every_go(tmp_path, monkeypatch):
    monkeypatch.setattr(average, "TRAINED", tmp_path)
    monkeypatch.setattr(average, "ADAPTER", tmp_path / "published")
    for i, name in enumerate(AVERAGED):
        (tmp_path / name).mkdir()
        weights = {"a": torch.full((2, 3), float(3 * i), dtype=torch.bfloat16)}
        save_file(weights, tmp_path / name / ADAPTER_WEIGHTS)
        for file in ("adapter_config.json", "config.toml"):
            (tmp_path / name / file).write_text(name)
    average.average()
    (mean,) = load_file(tmp_path / "published" / ADAPTER_WEIGHTS).values()
    assert torch.equal(mean, torch.full((2, 3), 3.0, dtype=torch.bfloat16))
    assert (tmp_path / "published" / "config.toml").read_text() == AVERAGED[-1]
    card = (tmp_path / "published" / "README.md").read_text()
    assert all(f"original_experiment/{name}.toml" in card for name in GOES)


def test_the_published_card_is_the_one_that_would_be_written(tmp_path, monkeypatch):
    published = average.ADAPTER
    monkeypatch.setattr(average, "TRAINED", tmp_path)
    monkeypatch.setattr(average, "ADAPTER", tmp_path / "published")
    for name in AVERAGED:
        (tmp_path / name).mkdir()
        for file in (ADAPTER_WEIGHTS, "adapter_config.json", "config.toml"):
            shutil.copyfile(published / file, tmp_path / name / file)
    average.average()
    for file in ("README.md", "NOTICE", "adapter_config.json"):
        assert (tmp_path / "published" / file).read_text() == (published / file).read_text()
    assert (published / ADAPTER_WEIGHTS).stat().st_size < 10_000_000
    assert all((ROOT / f"curves-{name}.svg").is_file() for name in GOES)
