"""Where in a file each case's answers begin, in few bytes however many there are."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 2**63 - 1
"""No repeat has a larger number: it would not fit."""


class Offsets:
    """A number for each case and repeat, of which the last that was put counts.

    It may be any that fits into 64 bits; the repeats of a case are in their order.
    """

    def __init__(self) -> None:
        # Of a case that has only a repeat 0, which is most of them where there are many, its number
        # alone; else all repeats and, beside them, their numbers.
        self._of: dict[str, int | tuple[array[int], array[int]]] = {}

    def put(self, case_id: str, repeat: int, offset: int) -> None:
        """Note a number. OverflowError for a repeat that does not fit."""
        if not -MOST <= repeat <= MOST:
            raise OverflowError(f"a repeat of {repeat:.3g}")
        found = self._of.get(case_id)
        if repeat == 0 and not isinstance(found, tuple):
            self._of[case_id] = offset
            return
        repeats, offsets = self._repeats_of(case_id)
        if not isinstance(found, tuple):
            self._of[case_id] = repeats, offsets
        i = bisect_left(repeats, repeat)
        if i < len(repeats) and repeats[i] == repeat:
            offsets[i] = offset
        else:
            repeats.insert(i, repeat)
            offsets.insert(i, offset)

    def find(self, case_id: str, repeat: int) -> int | None:
        """Return what was noted of a case and repeat, None if nothing was."""
        repeats, offsets = self._repeats_of(case_id)
        i = bisect_left(repeats, repeat)
        return offsets[i] if i < len(repeats) and repeats[i] == repeat else None

    def case_ids(self) -> Iterator[str]:
        """Yield the cases of which something was noted, in the order in which they were named."""
        return iter(self._of)

    def of(self, case_id: str) -> array[int]:
        """Return what was noted of a case, in the order of its repeats."""
        return self._repeats_of(case_id)[1]

    def _repeats_of(self, case_id: str) -> tuple[array[int], array[int]]:
        found = self._of.get(case_id)
        if isinstance(found, tuple):
            return found
        return (
            (array("q"), array("q")) if found is None else (array("q", (0,)), array("q", (found,)))
        )

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._of
