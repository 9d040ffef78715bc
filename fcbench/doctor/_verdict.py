"""Findings -> the most likely causes, the likeliest first.

The order is that of what rests on what: numbers that are no numbers explain all that comes after,
tokens that do not exist explain a template that cannot work, what was trained explains what was
learned, and what is written explains nothing: it is the symptom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.types import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.doctor._finding import Finding

ORDER = (
    # Nothing that is computed means anything.
    "weights_not_finite",
    "logits_not_finite",
    "rows_missing",
    "rows_differ",
    # It cannot be said, or what says it is not loaded.
    "split_control",
    "adapter_misfit",
    "adapter_inactive",
    # It was taught otherwise.
    "training_prompt_differs",
    "targets_without_prefix",
    "targets_malformed",
    "text_without_turn",
    # It is asked otherwise.
    "template_refuses",
    "template_without_tools",
    "no_trigger",
    "two_bos_written",
    "prompt_mismatch",
    # What it knows.
    "skips_prefix",
    "begins_no_call",
    "rows_identical",
    "never_learned",
    # What it writes is cut, or judged as something else.
    "other_format",
    "unknown_format",
    "template_round_trip",
    "stop_cuts_writing",
    "stop_cuts_calls",
    "no_template",
    "stop_outside",
    "no_stop_of_calls",
    # The symptom.
    "writes_no_calls",
)
"""Kinds of faults, causes before their effects."""

EVIDENCE = {
    "never_learned": ("rows_alike", "rows_faint", "adapter_leaves_rows", "writes_no_calls"),
    "skips_prefix": ("writes_no_calls",),
    "begins_no_call": ("writes_no_calls",),
    "targets_without_prefix": ("targets_malformed",),
    "other_format": ("template_round_trip",),
    "unknown_format": ("template_round_trip",),
    "prompt_mismatch": ("writes_no_calls",),
    "stop_cuts_calls": ("stop_cuts_writing",),
}
"""Kinds that are told as part of another, where both were found."""

IRRELEVANT = {"rows_alike", "rows_faint", "adapter_leaves_rows"}
"""Doubts about rows, which are settled where the model was seen to know calls."""


class Cause(Record, frozen=True):
    """One likely cause: its words, what was seen of it, and what to do."""

    kind: str
    words: str
    evidence: list[str]
    do: str


def verdict(findings: Sequence[Finding]) -> list[Cause]:
    """Return the causes that the faults amount to, the most likely first; [] without a fault."""
    faults = [f for f in findings if f.severity == "fault"]
    faults.sort(key=lambda f: ORDER.index(f.kind))
    kinds = {fault.kind for fault in faults}
    told = {kind for cause in kinds for kind in EVIDENCE.get(cause, ())}
    return [_cause(fault, findings) for fault in faults if fault.kind not in told]


def doubts(findings: Sequence[Finding]) -> list[Finding]:
    """Return the warnings that no cause tells of already, and that nothing settled."""
    kinds = {f.kind for f in findings}
    told = {kind for cause in kinds for kind in EVIDENCE.get(cause, ())}
    if any(f.check == "knowledge" and f.kind in ("fine", "prompt_mismatch") for f in findings):
        told |= IRRELEVANT
    return [f for f in findings if f.severity == "warning" and f.kind not in told]


def _cause(fault: Finding, findings: Sequence[Finding]) -> Cause:
    supporting = [f for f in findings if f.kind in EVIDENCE.get(fault.kind, ())]
    # The tables and texts below a finding's first line stand with the check itself.
    seen = [f.seen.partition("\n")[0].rstrip(":") for f in (fault, *supporting)]
    return Cause(fault.kind, fault.means, seen, fault.do)
