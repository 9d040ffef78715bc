"""Train on calls, and measure calls while training.

    fine_tune(Config(model="gemma3-270m", data=["mobile_actions"], out="tuned"))

is what `python -m fcbench train` does. `CallsCallback` measures calls in anybody's Trainer,
`reward` is for GRPO.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcbench.train._callback import CallsCallback
    from fcbench.train._config import Config, read_config
    from fcbench.train._fine_tune import Trained, fine_tune
    from fcbench.train._reward import reward

# Resolved when first used (PEP 562), as in fcbench itself: most of these need torch.
_HOMES = {
    "CallsCallback": "_callback",
    "Config": "_config",
    "Trained": "_fine_tune",
    "fine_tune": "_fine_tune",
    "read_config": "_config",
    "reward": "_reward",
}

__all__ = ["CallsCallback", "Config", "Trained", "fine_tune", "read_config", "reward"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'fcbench.train' has no attribute {name!r}")
    return getattr(importlib.import_module(f"fcbench.train.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
