"""What the rows asked: how prompt modes differ, and whether one mode is the same everywhere."""

from __future__ import annotations

from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING, Any

from fcbench.drift._gauge import encode
from fcbench.drift._records import Disagreement, PromptPair, Span
from fcbench.text import n_alike

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fcbench.drift._records import Row
    from fcbench.types import Sample

SHOWN_TOKENS, SHOWN_CHARACTERS = 4, 30


def pairs(rows: Sequence[Row], tokenizer: Any | None) -> list[PromptPair]:
    """Return how the prompts of each two modes differ, those of each mode's first row."""
    first_of = {row.prompt: row for row in reversed(rows)}
    modes = list(dict.fromkeys(row.prompt for row in rows))
    found = (_pair(first_of[a], first_of[b], tokenizer) for a, b in combinations(modes, 2))
    return [pair for pair in found if pair is not None]


def _pair(first: Row, second: Row, tokenizer: Any | None) -> PromptPair | None:
    """Return how the prompts of two rows differ; None where no case has the texts of both."""
    asked = [texts for texts in _texts(first, second) if texts[0] != texts[1]]
    if not asked:
        return None
    cut: list[tuple[Sequence[Any], Sequence[Any]]] = [
        texts if tokenizer is None else (encode(tokenizer, texts[0]), encode(tokenizer, texts[1]))
        for texts in asked
    ]
    starts = [n_alike(a, b) for a, b in cut]
    rests = [(a[n:], b[n:]) for n, (a, b) in zip(starts, cut, strict=True)]
    ends = [n_alike(a[::-1], b[::-1]) for a, b in rests]
    examples = [_shown(part, tokenizer) for part in rests[0]]
    return PromptPair(
        first=first.prompt,
        second=second.prompt,
        unit="characters" if tokenizer is None else "tokens",
        n=len(asked),
        lengths=(_span(len(a) for a, _ in cut), _span(len(b) for _, b in cut)),
        at=_span(starts),
        differing=(
            _span(len(a) - n for (a, _), n in zip(rests, ends, strict=True)),
            _span(len(b) - n for (_, b), n in zip(rests, ends, strict=True)),
        ),
        at_end=_span(ends),
        example=(examples[0], examples[1]),
    )


def _texts(first: Row, second: Row) -> list[tuple[str, str]]:
    a, b = samples_of(first), samples_of(second)
    both = (
        (first.texts.get(a[key].prompt_sha256), second.texts.get(b[key].prompt_sha256))
        for key in a
        if key in b
    )
    return [(x, y) for x, y in both if x is not None and y is not None]


def _shown(part: Sequence[Any], tokenizer: Any | None) -> str:
    if tokenizer is None:
        return str(part[:SHOWN_CHARACTERS])
    return str(tokenizer.decode(part[:SHOWN_TOKENS]))


def _span(values: Iterable[int]) -> Span:
    found = list(values)
    return Span(min(found), median(found), max(found))


def samples_of(row: Row) -> dict[str, Sample]:
    """Return the first sample of each case that has an answer, else its first."""
    found: dict[str, Sample] = {}
    for verdict in row.scores.verdicts:
        known = found.get(verdict.case.id)
        if known is None or (known.error is not None and verdict.sample.error is None):
            found[verdict.case.id] = verdict.sample
    return found


def disagreements(rows: Sequence[Row]) -> list[Disagreement]:
    """Return where a row's prompts are not those of the first row of the same mode."""
    found = []
    for j, row in enumerate(rows):
        i = next(i for i, other in enumerate(rows) if other.prompt == row.prompt)
        if i != j:
            found += _disagreements(rows, i, j)
    return found


def _disagreements(rows: Sequence[Row], i: int, j: int) -> list[Disagreement]:
    a, b = samples_of(rows[i]), samples_of(rows[j])
    shared = [key for key in a if key in b and a[key].prompt_sha256 and b[key].prompt_sha256]
    other = [key for key in shared if a[key].prompt_sha256 != b[key].prompt_sha256]
    counts = {key: (a[key].prompt_tokens, b[key].prompt_tokens) for key in shared}
    longer = [
        key for key in shared if key not in other and None not in counts[key]
        and counts[key][0] != counts[key][1]
    ]  # fmt: skip
    found = []
    if other:
        key = other[0]
        texts = parting(
            rows[i].texts.get(a[key].prompt_sha256), rows[j].texts.get(b[key].prompt_sha256)
        )
        found += [Disagreement(i, j, "text", len(other), len(shared), (key, *texts))]
    if longer:
        key = longer[0]
        numbers = (key, str(counts[key][0]), str(counts[key][1]))
        found += [Disagreement(i, j, "tokens", len(longer), len(shared), numbers)]
    return found


def parting(first: str | None, second: str | None) -> tuple[str, str]:
    """Return what two texts have where they part."""
    if first is None or second is None:
        return "", ""
    at = n_alike(first, second)
    return first[at : at + SHOWN_CHARACTERS], second[at : at + SHOWN_CHARACTERS]
