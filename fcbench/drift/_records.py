"""What a drift is: ways to run the same weights, a row for each, and the cases that flipped."""

from __future__ import annotations

from typing import Literal

import msgspec

# typing.get_type_hints wants these
from fcbench.runs import Comparison, Scores
from fcbench.types import Json  # noqa: TC001

CauseKind = Literal[
    "machinery",
    "prompt",
    "tokenisation",
    "stop",
    "rounding",
    "arithmetic",
    "weights",
    "text",
    "judging",
]
CAUSES: dict[CauseKind, str] = {
    "machinery": "one of the two has no answer",
    "prompt": "the model was asked with another text",
    "tokenisation": "the same prompt text, but another number of tokens",
    "stop": "the same words, but one was cut by the token limit and the other ended by itself",
    "rounding": "the reference held both tokens for almost equally likely where the texts part",
    "arithmetic": "the same weights, but arithmetic that differs by more than rounding",
    "weights": "other weights, or arithmetic that differs by more than rounding",
    "text": "the texts differ, and nothing says how near a tie it was",
    "judging": "the same words, judged by another format or read by a server's own parser",
}
"""Each kind of cause in words."""


class Ways(msgspec.Struct, frozen=True):
    """The ways in which weights are run: all prompts x all dtypes x base, adapter and merged.

    `adapter` is the folder of a LoRA adapter, `merged` that of a model into which it was merged.
    `also` are names of the same weights elsewhere, as `run` takes them: other backends are run
    where they are named here, none is looked for. Those other than transformers choose their own
    dtype: of those there is a row a prompt.
    """

    adapter: str | None = None
    merged: str | None = None
    also: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ("chat", "raw", "bare")
    dtypes: tuple[str, ...] = ("float32", "bfloat16")


class Row(msgspec.Struct, frozen=True):
    """One way, and how it scored.

    `weights` is "base", "adapter", "merged", or the short name of a model that is none of them;
    `dtype` is None where a backend does not say it, `adapter_active` where there is no adapter.
    `run` is the run's folder, "" where it was not stored. `texts` are the prompts by their hash.
    `decoding` is how tokens were chosen, as far as not all rows chose them so.
    """

    prompt: str
    dtype: str | None
    weights: str
    backend: str
    run: str
    adapter_active: bool | None
    scores: Scores
    texts: dict[str, str]
    decoding: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The prompt, dtype, weights and decoding, as --reference takes them."""
        named = (self.prompt, self.dtype, self.weights, *self.decoding)
        return ",".join(part for part in named if part)

    @property
    def manifest(self) -> dict[str, Json]:
        """What the run recorded of itself."""
        return self.scores.manifest


class NotRun(msgspec.Struct, frozen=True):
    """A way that is in no row, because it failed when it was run, and the error."""

    prompt: str
    dtype: str | None
    weights: str
    error: str

    @property
    def label(self) -> str:
        """The prompt, dtype and weights."""
        return ",".join(part for part in (self.prompt, self.dtype, self.weights) if part)


class Cause(msgspec.Struct, frozen=True):
    """Why a case flipped: see CAUSES. `detail` says it in words.

    `at` is the first character at which the answers differ, if they do. `gap` is by how much the
    reference's logit of its own next token there exceeds that of the other answer's.
    """

    kind: CauseKind
    detail: str
    at: int | None = None
    gap: float | None = None


class Answer(msgspec.Struct, frozen=True):
    """What one way did with a case. `outcome` is calls, abstained, error or a failure's kind.

    `reason` is why it is not right, None where it is.
    """

    outcome: str
    reason: str | None
    text: str


class FlippedCase(msgspec.Struct, frozen=True):
    """A case that a row (by its index) does not score as the reference does.

    `lost` names the metrics in which the row has less, `gained` those in which it has more; both
    are empty where one of them has no answer at all.
    """

    row: int
    case_id: str
    lost: list[str]
    gained: list[str]
    reference: Answer
    answer: Answer
    cause: Cause


class Span(msgspec.Struct, frozen=True):
    """A number over several cases: its least, median and greatest."""

    low: int
    median: float
    high: int


class PromptPair(msgspec.Struct, frozen=True):
    """How the prompts of two modes differ, over the n cases where they do.

    All numbers count `unit`: tokens, or characters where no tokenizer was at hand. `at` is how many
    are alike at the start, `at_end` at the end, `differing` how many each has between. `example` is
    what the two have where they part in the first case.
    """

    first: str
    second: str
    unit: Literal["tokens", "characters"]
    n: int
    lengths: tuple[Span, Span]
    at: Span
    differing: tuple[Span, Span]
    at_end: Span
    example: tuple[str, str]


class Disagreement(msgspec.Struct, frozen=True):
    """Two rows (by index) of one prompt mode whose prompts are not the same in n cases.

    `what` is "text", or "tokens" where the same text has another number of them; `example` is the
    first such case: its id, and the numbers or the texts where they part.
    """

    first: int
    second: int
    what: Literal["text", "tokens"]
    n: int
    n_cases: int
    example: tuple[str, str, str]


class Drift(msgspec.Struct, frozen=True):
    """The same weights in several ways: rows, their comparisons with one of them, the flips.

    `comparisons` holds for each metric the comparison of the reference (a) with each other row (b),
    by that row's index; `p_adjusted` is Holm's over all of them. `same_answers` counts for each row
    the answers in the reference's very words, of those that both gave; a stop token is no word.
    """

    suite: str
    suite_sha256: str
    rows: list[Row]
    reference: int
    metrics: list[str]
    comparisons: dict[str, dict[int, Comparison]]
    same_answers: list[tuple[int, int]]
    flips: list[FlippedCase]
    prompts: list[PromptPair]
    disagreements: list[Disagreement]
    notes: list[str]
    not_run: list[NotRun] = []

    @property
    def n_errors(self) -> int:
        """How many samples have no answer, in all rows."""
        return sum(row.scores.n_errors for row in self.rows)

    @property
    def n_tests(self) -> int:
        """How many tests there are: of all metrics and rows that have a case with a value."""
        return sum(c.p_value is not None for of in self.comparisons.values() for c in of.values())

    def without_folders(self) -> Drift:
        """Return the same without the folders of runs, which were not kept."""
        rows = [msgspec.structs.replace(row, run="") for row in self.rows]
        return msgspec.structs.replace(self, rows=rows)
