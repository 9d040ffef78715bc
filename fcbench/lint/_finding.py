"""What lint finds."""

from __future__ import annotations

from typing import Literal

from fcbench.types import Record

Level = Literal["error", "warning"]

LEVELS: dict[str, tuple[Level, str]] = {
    "unsatisfiable": ("error", "no output scores 1 under the suite's own matcher"),
    "inexpressible": ("error", "the wire format cannot express the answer"),
    "invalid_schema": ("error", "a tool's parameters are not valid JSON Schema"),
    "twin_tools": ("error", "two tools have one name, and a call does not say which it means"),
    "schema_refuses": ("error", "an expected value that the tool's schema refuses"),
    "unknown_argument": ("error", "an expected argument that the tool's schema does not declare"),
    "required_optional": ("error", "a required argument is marked optional"),
    "duplicate": ("error", "two cases ask the same"),
    "leaked": ("error", "a training case has the same words"),
    "nearly_leaked": ("warning", "a training case has nearly the same words"),
    "dead_value": ("warning", "an accepted value that the matcher never accepts"),
    "overlap": ("warning", "two accepted answers, or values, accept the same"),
    "unmentioned": ("warning", "an expected string that the prompt never mentions"),
}
"""Kind -> whether a suite with one of them passes, and what it means."""


class Finding(Record, frozen=True):
    """One thing that lint found: its kind, the case, where in the case, and words."""

    kind: str
    case_id: str
    where: str
    what: str

    @property
    def is_error(self) -> bool:
        """Whether a suite with it does not pass."""
        return LEVELS[self.kind][0] == "error"
