"""fcbench's own schema: a row is a Case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.suite._lines import convert
from fcbench.suite._messages import ends_with_answer, messages_of
from fcbench.suite._tools import read_tool
from fcbench.types import Case

if TYPE_CHECKING:
    from fcbench.suite._reading import Reading
    from fcbench.types import Json


def is_one(row: dict[str, Json]) -> bool:
    """Whether a row is of this schema."""
    return "expected" in row or ("id" in row and not ends_with_answer(row.get("messages")))


def case(row: dict[str, Json], default_id: str, reading: Reading) -> Case:
    """Return the case of a row."""
    del default_id  # a case says its own
    row = dict(row)
    # Where these are no lists, converting says so.
    if isinstance(row.get("tools"), list):
        row["tools"] = [read_tool(tool, f"$.tools[{i}]") for i, tool in enumerate(row["tools"])]
    if isinstance(row.get("messages"), list):
        row["messages"] = messages_of(row["messages"])
    if reading.ordered is not None:
        row.setdefault("ordered", reading.ordered)
    made: Case = convert(row, Case)
    return made
