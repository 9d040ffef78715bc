"""Logits of two models over the same texts: how far apart, and whether they choose alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fcbench import prompts
from fcbench.errors import UsageError
from fcbench.formats import guess_format
from fcbench.types import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.backends.transformers import Loaded
    from fcbench.types import Case

N_CASES = 8
SHORT_TEXT = "The quick brown fox"


class Probe(Record, frozen=True):
    """Token ids of a text, and how many of the last positions are looked at."""

    ids: list[int]
    n_positions: int


class Difference(Record, frozen=True):
    """How far the logits of two models are apart, over all positions looked at.

    `largest` is the largest absolute difference, `largest_logit` the largest absolute logit of the
    first model; `n_same_choice` of `n_positions` are those whose likeliest token is the same.
    """

    largest: float
    largest_logit: float
    n_positions: int
    n_same_choice: int

    @property
    def same_choices(self) -> bool:
        """Whether both models find the same token likeliest, everywhere."""
        return self.n_same_choice == self.n_positions


def make_probes(loaded: Loaded, cases: Sequence[Case]) -> list[Probe]:
    """Return a short text, all of it, and cases with their right answers.

    Of a case the positions that write the answer are looked at: a prompt's own are no choices of
    the model's. What is longer than the model's context loses its beginning.
    """
    template = loaded.tokenizer.chat_template
    format = (template and guess_format(template)) or "functiongemma"
    style = prompts.Style(format, loaded.template, loaded.bos)
    try:
        asked = list(prompts.requests(cases, "chat", style))
    except UsageError:
        # A template may refuse a developer turn, or tools. What texts are compared over is free.
        own = prompts.Style(format, None, loaded.bos)
        asked = list(prompts.requests(cases, "chat", own))
    answers = prompts.targets(cases, "chat", style)
    short = loaded.tokenizer.encode(SHORT_TEXT)
    probes = [Probe(short, len(short))]
    for request, target in zip(asked, answers, strict=True):
        prompt, answer = (
            loaded.tokenizer.encode(text, add_special_tokens=False)
            for text in (request.prompt, target.text)
        )
        ids = [*prompt, *answer][-loaded.context_length :]
        probes.append(Probe(ids, min(len(answer) + 1, len(ids))))
    return probes


def logits_of(model: Any, probes: Sequence[Probe]) -> list[Any]:
    """Return one tensor (n_positions, V) float32 a probe, which holds no other positions."""
    from fcbench.backends.transformers import logits_at

    return [
        logits_at(model, probe.ids, range(len(probe.ids) - probe.n_positions, len(probe.ids)))
        for probe in probes
    ]


def difference(first: Sequence[Any], second: Sequence[Any]) -> Difference:
    """Return how two models' logits over the same probes differ; NaN anywhere makes it NaN."""
    import torch

    apart, sizes = (
        torch.stack([values.abs().max() for values in several])
        for several in ([a - b for a, b in zip(first, second, strict=True)], first)
    )
    same = sum(
        int((a.argmax(-1) == b.argmax(-1)).sum()) for a, b in zip(first, second, strict=True)
    )
    return Difference(float(apart.max()), float(sizes.max()), sum(map(len, first)), same)
