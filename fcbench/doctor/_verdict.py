"""Findings -> the most likely causes, the likeliest first.

The order is that of what rests on what: numbers that are no numbers explain all that comes after,
tokens that do not exist explain a template that cannot work, what was trained explains what was
learned, and what is written explains nothing: it is the symptom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from fcbench.doctor._finding import as_warning
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
    # It cannot be asked, or what it says is judged as something else.
    "template_refuses",
    "other_format",
    "unknown_format",
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
    "template_without_tools",
    "no_trigger",
    "two_bos_written",
    "prompt_mismatch",
    # What it knows.
    "knows_by_hand",
    "skips_prefix",
    "begins_no_call",
    "rows_identical",
    "never_learned",
    # What it writes is cut, or is not what it was shown.
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
    "targets_malformed": ("knows_by_hand",),
    "knows_by_hand": ("writes_no_calls",),
    "never_learned": (
        *("rows_alike", "rows_faint", "adapter_leaves_rows", "split_tags"),
        "writes_no_calls",
    ),
    "skips_prefix": ("writes_no_calls",),
    "begins_no_call": ("writes_no_calls",),
    "targets_without_prefix": ("targets_malformed",),
    "other_format": (
        *("template_round_trip", "split_control", "absent_control", "split_tags"),
        *("skips_prefix", "begins_no_call", "never_learned", "writes_no_calls"),
    ),
    "unknown_format": ("template_round_trip", "split_control", "absent_control", "split_tags"),
    "prompt_mismatch": ("writes_no_calls", "no_trigger"),
    "stop_cuts_calls": ("stop_cuts_writing",),
}
"""Kinds that are told as part of another, where both were found."""

IRRELEVANT = {"rows_alike", "rows_faint", "adapter_leaves_rows", "no_trigger"}
"""Doubts that are settled where the model was seen to know calls."""


class Cause(Record, frozen=True):
    """One likely cause: its words, what was seen of it, and what to do."""

    kind: str
    words: str
    evidence: list[str]
    do: str


def settled(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, each as bad as it is beside the others.

    Whoever writes nothing but calls knows them, whatever the probabilities of one way to write
    them are; and tags in pieces matter where calls are not known.
    """
    writes = any(f.check == "writing" and f.kind == "fine" for f in findings)
    unknown = any(f.check == "knowledge" and f.severity == "fault" for f in findings)
    return [_beside(finding, writes=writes, unknown=unknown) for finding in findings]


def _beside(finding: Finding, *, writes: bool, unknown: bool) -> Finding:
    if writes and finding.check == "knowledge":
        return as_warning(finding)
    if finding.kind == "split_tags" and unknown and not writes:
        return structs.replace(finding, severity="warning")
    return finding


def verdict(findings: Sequence[Finding]) -> list[Cause]:
    """Return the causes that the faults amount to, the most likely first; [] without a fault."""
    faults = [f for f in findings if f.severity == "fault"]
    faults.sort(key=lambda f: ORDER.index(f.kind))
    kinds = {fault.kind: fault for fault in reversed(faults)}
    told = {kind for cause in kinds for kind in EVIDENCE.get(cause, ())}
    first = sorted(kinds, key=ORDER.index)
    return [_cause(kinds[kind], findings) for kind in first if kind not in told]


def doubts(findings: Sequence[Finding]) -> list[Finding]:
    """Return the warnings that no cause tells of already, and that nothing settled."""
    kinds = {f.kind for f in findings}
    told = {kind for cause in kinds for kind in EVIDENCE.get(cause, ())}
    if any(f.check == "knowledge" and f.kind in ("fine", "prompt_mismatch") for f in findings):
        told |= IRRELEVANT
    return [f for f in findings if f.severity == "warning" and f.kind not in told]


def _cause(fault: Finding, findings: Sequence[Finding]) -> Cause:
    # Two checks may see one cause, each in its own way.
    known = (fault.kind, *EVIDENCE.get(fault.kind, ()))
    supporting = [f for f in findings if f.kind in known and f is not fault]
    # The tables and texts below a finding's first line stand with the check itself.
    seen = [f.seen.partition("\n")[0].rstrip(":") for f in (fault, *supporting)]
    return Cause(fault.kind, fault.means, seen, fault.do)
