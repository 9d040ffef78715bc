"""What a suite may overlook in the strings of arguments, by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fcbench.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _datetime(text: str) -> str:
    """Return an ISO 8601 date and time in one spelling, in UTC if it says its offset.

    A date without a time is not a time at midnight, and a time without an offset is not one in UTC.

    >>> _datetime("2026-01-20T15:00"), _datetime("2026-01-20 16:00:00+01:00")
    ('2026-01-20T15:00:00', '2026-01-20T15:00:00+00:00')
    >>> _datetime("2026-01-20")
    '2026-01-20'
    """
    written = text.upper()  # RFC 3339 also has t and z
    if ":" not in written and "T" not in written:
        return text
    try:
        read = datetime.fromisoformat(written)
        return (read if read.tzinfo is None else read.astimezone(UTC)).isoformat()
    except (ValueError, OverflowError):  # not a time, or one that is before year 1 in UTC
        return text


# In the order in which they are applied: a date and time is read before its letters change.
_STEPS: dict[str, Callable[[str], str]] = {
    "space": str.strip,
    "datetime": _datetime,
    "case": str.casefold,
}


def steps(names: Sequence[str]) -> tuple[Callable[[str], str], ...]:
    """Return the named normalisations. UsageError for an unknown one names the nearest."""
    for name in names:
        if name not in _STEPS:
            raise UsageError(f"no such normalisation: {name}", hint=nearest(name, _STEPS))
    return tuple(step for name, step in _STEPS.items() if name in names)
