"""The mean of adapters that were trained on from each other, put where the repository keeps it."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tabulate import tabulate

from fcbench.paths import ADAPTER_WEIGHTS
from tests.experiment.plan import ADAPTER, AVERAGED, GOES, TRAINED

CARD = Path(__file__).with_name("adapter.md")
NOTICE = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at "
    "https://ai.google.dev/gemma/terms\n\n"
    "The files in this folder are a LoRA adapter, a modification of Gemma 3 270M, made by\n"
    "python -m fcbench train as README.md tells.\n"
)


def average() -> None:
    """Publish the mean of the averaged goes' weights."""
    parts = [load_file(TRAINED / name / ADAPTER_WEIGHTS) for name in AVERAGED]
    ADAPTER.mkdir(parents=True, exist_ok=True)
    weights = {name: _mean([part[name] for part in parts]) for name in parts[0]}
    save_file(weights, ADAPTER / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    for name in ("adapter_config.json", "config.toml"):  # in what matters they are alike
        shutil.copyfile(TRAINED / AVERAGED[-1] / name, ADAPTER / name)
    (ADAPTER / "README.md").write_text(_card(), encoding="utf-8")
    (ADAPTER / "NOTICE").write_text(NOTICE, encoding="utf-8")


def _mean(tensors: list[torch.Tensor]) -> torch.Tensor:
    mean = torch.stack([tensor.double() for tensor in tensors]).mean(0)
    return mean.to(tensors[0].dtype).contiguous()


def _card() -> str:
    rows = [
        [
            f"[{name}](../../original_experiment/{name}.toml)",
            f"{n:,}",
            f"[curves](../../original_experiment/curves-{name}.svg)",
            "yes" if name in AVERAGED else "no",
        ]
        for name, n in GOES.items()
    ]
    return CARD.read_text("utf-8").format(
        n_generated=f"{sum(GOES.values()):,}",
        n_goes=len(GOES),
        goes=tabulate(
            rows, ["go", "generated cases", "measured", "in the mean"], tablefmt="github"
        ),
    )
