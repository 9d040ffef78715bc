"""What the experiment trains and asks: each training and each row by name, in order of work."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path("results/original_experiment")
RUNS = ROOT / "runs"
TRAINED = Path("experiment-results")
ADAPTER = Path("results/adapters/mobile-actions-chat")
"""Where `more`, the adapter that is published, stands."""
MORE, HELD_OUT = TRAINED / "more.jsonl", TRAINED / "more-held-out.jsonl"
N_MORE, N_HELD_OUT = 16_000, 160
"""Generated rows that `more` learns from, and others that say which of its steps was best. Requests
without a call recur in them; what says it is measured on calls."""
BASE, SECOND_BASE = "gemma3-270m", "smollm2-135m-instruct"
SUITE = "mobile_actions"
TRAININGS = (
    "chat",
    "raw",
    "more",
    "cases-100",
    "cases-300",
    "epochs-1",
    "epochs-10",
    "hermes",
)
"""Names of TOML files in ROOT. `cases-100` is three epochs of 100 cases, as `chat` is of 900;
`epochs-1` and `epochs-10` are so many of the same 100; `more` is the 900 and generated ones, once."""


class Row(NamedTuple):
    """One run over all cases: of which training (None: the base), asked how, decoded how."""

    training: str | None
    prompt: str = "chat"
    decode: str = "greedy"
    format: str = "functiongemma"

    @property
    def base(self) -> str:
        """The model under the adapter."""
        return SECOND_BASE if self.format == "hermes" else BASE


PROMPTS = ("chat", "raw", "bare")
MODELS = ("chat", "raw", "more", None)
"""The trainings that are asked in every way, and the base."""
MAIN = tuple(
    Row(training, prompt, decode)
    for training in MODELS
    for decode in ("greedy", "constrained")
    for prompt in PROMPTS
)
SCALING = tuple(Row(name) for name in ("cases-100", "cases-300", "epochs-1", "epochs-10"))
SECOND = (Row(None, format="hermes"), Row("hermes", format="hermes"))
ROWS = (*MAIN, *SCALING, *SECOND)


def adapter_of(training: str | None) -> str | None:
    """Return the folder of a training's adapter; the published one for `more`."""
    if training is None:
        return None
    return str(ADAPTER if training == "more" else TRAINED / training)
