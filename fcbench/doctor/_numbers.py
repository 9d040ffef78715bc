"""Whether the weights, and what is computed from them, are finite numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.doctor._finding import FINE, found
from fcbench.doctor._subject import listed
from fcbench.errors import FcbenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject

CHECK = "numbers"
N_PROMPTS = 2
SHORT_TEXT = "The quick brown fox"


def check(subject: Subject) -> Iterator[Finding]:
    """Yield weights that are not finite, and prompts whose logits are not."""
    dtype = subject.loaded.manifest.get("dtype") or str(subject.loaded.model.dtype).split(".")[-1]
    broken = [
        name
        for name, weight in subject.loaded.model.named_parameters()
        if not bool(weight.isfinite().all())
    ]
    if broken:
        yield found(CHECK, "weights_not_finite", f"in {listed(broken)}", n_weights=len(broken))
    mode, texts = _texts(subject)
    overflowed = [
        name
        for name, text in texts.items()
        if not bool(_last_logits(subject, text).isfinite().all())
    ]
    if overflowed:
        after = f"the {mode} prompts of {listed(overflowed)}" if mode else overflowed[0]
        seen = f"in {dtype}, after {after}"
        yield found(CHECK, "logits_not_finite", seen, n_prompts=len(overflowed), dtype=str(dtype))
    if not broken and not overflowed:
        what = f"{len(texts)} {mode} prompts" if mode else "a short text"
        yield found(CHECK, FINE, f"weights are finite, and logits after {what} in {dtype}")


def _texts(subject: Subject) -> tuple[str, dict[str, str]]:
    """Return a mode and some prompts by their cases' ids; a fixed text where every mode refuses."""
    for mode in subject.modes:
        try:
            return mode, {c.id: subject.ask(c, mode) for c in subject.cases[:N_PROMPTS]}
        except FcbenchError:
            continue
    return "", {"a short text": SHORT_TEXT}


def _last_logits(subject: Subject, text: str) -> torch.Tensor:
    """Return the logits (1, V) after a text."""
    from fcbench.backends.transformers import logits_at

    ids = subject.encode(text)
    return logits_at(subject.loaded.model, ids, [len(ids) - 1])
