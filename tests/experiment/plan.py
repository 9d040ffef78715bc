"""What the experiment trains and asks: each training and each row by name, in order of work."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path("results/original_experiment")
RUNS = ROOT / "runs"
TRAINED = Path("experiment-results")
ADAPTER = Path("results/adapters/mobile-actions-chat")
"""Where the adapter that is published stands."""
PUBLISHED = "more-2"
MORE, HELD_OUT, MORE_2 = (
    TRAINED / f"{name}.jsonl" for name in ("more", "more-held-out", PUBLISHED)
)
N_MORE, N_HELD_OUT, N_MORE_2 = 16_000, 160, 4_000
"""Generated rows that `more` learns from, others that say which of its steps was best, and those
with which `more-2` goes on from there. Requests without a call recur in them; what says which step
was best is measured on calls."""
BASE, SECOND_BASE = "gemma3-270m", "smollm2-135m-instruct"
SUITE = "mobile_actions"
TRAININGS = (
    "chat",
    "raw",
    "more",
    "more-2",
    "cases-100",
    "cases-300",
    "epochs-1",
    "epochs-10",
    "hermes",
)
"""Names of TOML files in ROOT. `cases-100` is three epochs of 100 cases, as `chat` is of 900;
`epochs-1` and `epochs-10` are so many of the same 100; `more` is the 900 and generated ones, once,
and `more-2` goes on from it."""


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
