"""Messages as chat templates without a developer turn want them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.types import Json


def system_first(messages: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Return copies of the messages, developer messages made system messages."""
    return [
        {**message, "role": "system"} if message["role"] == "developer" else dict(message)
        for message in messages
    ]
