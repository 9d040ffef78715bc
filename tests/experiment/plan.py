"""What the experiment trains and asks: each training and each row by name, in order of work."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path("results/original_experiment")
RUNS = ROOT / "runs"
TRAINED = Path("experiment-results")
ADAPTER = Path("results/adapters/mobile-actions-chat")
"""Where the adapter that is published stands."""
GOES = {"more": 16_000, "more-2": 4_000, "more-3": 8_000, "dates": 6_000}
"""Trainings, each on from the one before (`more` from the base), and how many generated rows each
learns from; those of `dates` mostly hold a date."""
_, *AVERAGED = GOES
PUBLISHED = "averaged"
"""What stands at ADAPTER: the mean of the weights after the later goes, which begin alike."""
HELD_OUT, N_HELD_OUT = TRAINED / "more-held-out.jsonl", 160
"""Generated rows that say which steps were best, made after those of `more`. Requests without a call
recur in them; what says it is measured on calls."""
BASE, SECOND_BASE = "gemma3-270m", "smollm2-135m-instruct"
SUITE = "mobile_actions"
TRAININGS = (
    "chat",
    "raw",
    *GOES,
    "cases-100",
    "cases-300",
    "epochs-1",
    "epochs-10",
    "hermes",
)
"""Names of TOML files in ROOT. `cases-100` is three epochs of 100 cases, as `chat` is of 900;
`epochs-1` and `epochs-10` are so many of the same 100; `more` is the 900 and generated ones, once,
and those after it go on with others."""


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
MODELS = ("chat", "raw", PUBLISHED, None)
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
    """Return the folder of a training's adapter; of the published one where everybody has it."""
    if training is None:
        return None
    return str(ADAPTER if training == PUBLISHED else TRAINED / training)
