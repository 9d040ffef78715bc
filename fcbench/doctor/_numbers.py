"""Whether the weights, and what is computed from them, are finite numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.doctor._finding import FINE, found
from fcbench.doctor._forward import logits_at
from fcbench.doctor._subject import CHAT, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject

CHECK = "numbers"
N_PROMPTS = 2


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
    asked = subject.cases[:N_PROMPTS]
    overflowed = [
        case.id
        for case in asked
        if not bool(
            logits_at(subject.loaded, subject.encode(subject.ask(case, CHAT))).isfinite().all()
        )
    ]
    if overflowed:
        seen = f"in {dtype}, after the chat prompts of {listed(overflowed)}"
        yield found(CHECK, "logits_not_finite", seen, n_prompts=len(overflowed), dtype=str(dtype))
    if not broken and not overflowed:
        yield found(
            CHECK, FINE, f"weights are finite, and logits after {len(asked)} prompts in {dtype}"
        )
