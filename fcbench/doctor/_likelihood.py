"""How likely a model finds the parts of the right calls after a prompt."""

from __future__ import annotations

from collections import Counter
from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple

from fcbench.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.doctor._subject import Subject
    from fcbench.doctor._target import Span
    from fcbench.types import Json

    Part = Mapping[str, Json]
    Parts = Mapping[str, Part]


class Seen(NamedTuple):
    """One part of one target: rank of its worst token, probability of all, what came first."""

    rank: int
    probability: float
    instead: str | None


class Right(NamedTuple):
    """How a target's token was expected: its rank, its probability, the likeliest token."""

    rank: int
    probability: float
    likeliest: int


def measured(
    subject: Subject,
    asked: Sequence[Sequence[int]],
    targets: Sequence[tuple[str, Sequence[Span]]],
) -> Parts:
    """Return the parts of targets after prompts, over all cases that fit into the context."""
    parts: dict[str, list[Seen]] = {}
    for prompt, (text, spans) in zip(asked, targets, strict=True):
        for part, one in (_seen(subject, prompt, text, spans) or {}).items():
            parts.setdefault(part, []).append(one)
    return {part: _summary(parts[part]) for part in parts}


def _seen(
    subject: Subject, asked: Sequence[int], text: str, spans: Sequence[Span]
) -> dict[str, Seen] | None:
    """Return how a target's parts were expected after a prompt; None where it is too long.

    Of a part that stands several times it is the least likely one.
    """
    encoded = subject.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    target, offsets = encoded["input_ids"], encoded["offset_mapping"]
    if len(asked) + len(target) > subject.loaded.context_length:
        return None
    # A token counts where it begins; what has no width belongs to a character before it.
    begins = [(i, start) for i, (start, end) in enumerate(offsets) if end > start]
    inside = [[i for i, at in begins if span.start <= at < span.end] for span in spans]
    wanted = sorted({i for places in inside for i in places})
    right = dict(zip(wanted, _right(subject, asked, target, wanted), strict=True))
    parts: dict[str, Seen] = {}
    for span, places in zip(spans, inside, strict=True):
        if not places:
            continue
        one = _all(subject, [right[i] for i in places])
        if span.part not in parts or one.probability < parts[span.part].probability:
            parts[span.part] = one
    return parts


def _right(
    subject: Subject, asked: Sequence[int], target: Sequence[int], wanted: Sequence[int]
) -> list[Right]:
    """Return how some of a target's tokens, by their places in it, were expected."""
    import torch

    from fcbench.backends.transformers import logits_at

    first = len(asked) - 1  # the place whose logits are of the target's first token
    logits = logits_at(subject.loaded.model, [*asked, *target], [first + i for i in wanted])
    if not bool(logits.isfinite().all()):
        raise ModelError(f"the logits after a {len(asked)}-token prompt are not finite")
    chosen = torch.tensor([target[i] for i in wanted], device=logits.device)[:, None]
    ranks = (logits > logits.gather(1, chosen)).sum(dim=1) + 1
    probabilities = logits.softmax(dim=1).gather(1, chosen)[:, 0]
    columns = (ranks.tolist(), probabilities.tolist(), logits.argmax(dim=1).tolist())
    return [Right(*row) for row in zip(*columns, strict=True)]


def _all(subject: Subject, tokens: Sequence[Right]) -> Seen:
    """Return a part of several tokens: the product of their probabilities, the worst rank."""
    probability = 1.0
    for token in tokens:
        probability *= token.probability
    other = next((token.likeliest for token in tokens if token.rank > 1), None)
    instead = None if other is None else subject.token(other)
    return Seen(max(token.rank for token in tokens), probability, instead)


def _summary(seen: Sequence[Seen]) -> Part:
    """Return what a part's cases have in common; `instead` is what mostly came first."""
    others = Counter(one.instead for one in seen if one.instead is not None)
    return {
        "n": len(seen),
        "median_rank": median(one.rank for one in seen),
        "mean_probability": fmean(one.probability for one in seen),
        "share_first": fmean(one.rank == 1 for one in seen),
        "instead": others.most_common(1)[0][0] if others else None,
    }
