"""Train on calls, and measure calls while training.

    fine_tune(Config(model="gemma3-270m", data=["mobile_actions"], out="tuned"))

is what `python -m fcbench train` does. `CallsCallback` measures calls in anybody's Trainer,
`reward` and `reward_for` are for GRPO.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from fcbench.errors import MissingExtra

if TYPE_CHECKING:
    from fcbench.train._callback import CallsCallback
    from fcbench.train._config import Config, read_config
    from fcbench.train._fine_tune import Trained, fine_tune
    from fcbench.train._reward import reward, reward_for

# Resolved when first used (PEP 562), as in fcbench itself: most of these need torch.
_HOMES = {
    "CallsCallback": "_callback",
    "Config": "_config",
    "Trained": "_fine_tune",
    "fine_tune": "_fine_tune",
    "read_config": "_config",
    "reward": "_reward",
    "reward_for": "_reward",
}
_NEEDED = ("torch", "transformers", "datasets", "peft", "accelerate")

__all__ = ["CallsCallback", "Config", "Trained", "fine_tune", "read_config", "reward", "reward_for"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'fcbench.train' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"fcbench.train.{_HOMES[name]}"), name)
    except ImportError as error:
        if str(error.name).partition(".")[0] not in _NEEDED:
            raise
        raise MissingExtra(str(error.name), "train") from error


def __dir__() -> list[str]:
    return __all__
