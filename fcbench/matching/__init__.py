"""Expected calls x called calls -> verdict. One file a matcher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench import registry

if TYPE_CHECKING:
    from fcbench.types import Case, Parse, Sample, Verdict


def judge(case: Case, sample: Sample, parsed: Parse, matcher: str = "exact") -> Verdict:
    """Return how one parsed sample compares with its case, under a matcher by name."""
    verdict: Verdict = registry.load("matching", matcher).judge(case, sample, parsed)
    return verdict
