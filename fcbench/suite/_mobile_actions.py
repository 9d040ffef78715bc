"""The schema of google/mobile-actions: the assistant's last message is the expected answer.

Source: the dataset's card on the Hugging Face hub. `id`, `tags` and `ordered` are additions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.suite._lines import convert
from fcbench.suite._messages import answered
from fcbench.suite._tools import tools_of
from fcbench.types import Case

if TYPE_CHECKING:
    from fcbench.suite._reading import Reading
    from fcbench.types import Json


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[dict[str, Any]]
    tools: list[Any] = msgspec.field(default_factory=list)
    metadata: str | None = None
    id: str | None = None
    tags: tuple[str, ...] = ()
    ordered: bool | None = None


def is_one(row: dict[str, Json]) -> bool:
    """Whether a row is of this schema: what no other claims is taken for one."""
    del row
    return True


def case(row: dict[str, Json], default_id: str, reading: Reading) -> Case | None:
    """Return the case of a row, or None for a row of another split."""
    read: _Row = convert(row, _Row)
    if read.metadata is not None and read.metadata != reading.split:
        return None
    answer = answered(read.messages)
    chosen = reading.ordered if read.ordered is None else read.ordered
    return Case(
        id=read.id or default_id,
        messages=answer.messages,
        tools=tools_of(read.tools),
        expected=[answer.calls],
        reply=answer.reply,
        # As in Google's own evaluation.
        ordered=True if chosen is None else chosen,
        tags=read.tags,
    )
