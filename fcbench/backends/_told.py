"""What a server tells, read as a record of a kind: it can be anything, or of another version."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from fcbench.errors import BackendError

if TYPE_CHECKING:
    from fcbench.types import Json

T = TypeVar("T")


def told(said: Json, kind: type[T], path: str) -> T:
    """Return what a server said at a path. BackendError where a field is missing or another.

    Fields that the kind does not have are left out.
    """
    try:
        return msgspec.convert(said, kind)
    except ValueError as error:  # msgspec's; it has no words for half a surrogate pair
        raise BackendError(f"{path}: {error}", kind="server_error") from error
