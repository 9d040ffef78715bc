"""What a model is yet to be asked, as its backend reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from fcbench.types import Request, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcbench.prompts import Requests
    from fcbench.runs._log import Log
    from fcbench.types import Case

_SETTLED, _UNREAD, _READ = 0, 1, 2
MOST_FINISHED = 256
"""With more than so many open, and none left to read, a backend was handed all and no batch."""


class Asked(Sequence[Request]):
    """The requests of a run that have no answer, each rendered when it is read.

    Once it is closed it ends with what was read: nothing more is asked, and what is being answered
    can be finished. A backend that reads far ahead of its answers looks at `is_closed`.
    """

    def __init__(
        self, requests: Requests, cases: Sequence[Case], repeats: int, done: Log | None = None
    ) -> None:
        self._requests = requests
        self._cases = cases
        self._repeats = repeats
        self._places = {case.id: place for place, case in enumerate(cases)}
        self._numbers: Sequence[int] = range(len(requests))
        if done is not None and len(done):
            from array import array

            keys = ((case.id, repeat) for case in cases for repeat in range(repeats))
            missing = (n for n, key in enumerate(keys) if not done.is_answered(*key))
            self._numbers = array("q", missing)
        self._states = bytearray(len(requests))
        for number in self._numbers:
            self._states[number] = _UNREAD
        # Of two threads one reads and one settles; neither touches the other's count.
        self._n_read = self._n_settled = 0
        self._is_closed = self._was_noticed = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is to be asked. Whoever looks is trusted to come to an end."""
        self._was_noticed = True
        return self._is_closed

    def close(self) -> None:
        """Let nothing more be read."""
        self._is_closed = True

    @property
    def has_ended(self) -> bool:
        """Whether nobody need wait: it is closed, and no batch is left to be finished."""
        n_open = self._n_read - self._n_settled
        took_all = self._n_read == len(self) and n_open > MOST_FINISHED
        return self._is_closed and (n_open == 0 or (took_all and not self._was_noticed))

    def settle(self, sample: Sample) -> bool:
        """Note an answer. Return False if it was not asked for, or was there already."""
        place = self._places.get(sample.case_id)
        if place is None or not 0 <= sample.repeat < self._repeats:
            return False
        number = place * self._repeats + sample.repeat
        state, self._states[number] = self._states[number], _SETTLED
        self._n_settled += state == _READ
        return state != _SETTLED

    def failures(self, error: str) -> Iterator[Sample]:
        """Yield an error for each request that has no answer, of a closed run if it was read."""
        for number in self._numbers:
            if self._states[number] >= (_READ if self._is_closed else _UNREAD):
                place, repeat = divmod(number, self._repeats)
                sha256 = self._requests.sha256(place)
                yield Sample(self._cases[place].id, repeat, prompt_sha256=sha256, error=error)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> list[Request]: ...
    def __getitem__(self, index: int | slice) -> Request | list[Request]:
        if isinstance(index, slice):
            found = map(self._read, self._numbers[index])
            return [request for request in found if request is not None]
        request = self._read(self._numbers[index])
        if request is None:
            raise IndexError("the run is ending: nothing more is asked")
        return request

    def __iter__(self) -> Iterator[Request]:
        for number in self._numbers:
            request = self._read(number)
            if request is None:
                return
            yield request

    def _read(self, number: int) -> Request | None:
        """Return a request, None for one that is asked no more."""
        if self._states[number] == _UNREAD:
            if self._is_closed:
                return None
            request = self._requests[number]
            self._states[number] = _READ
            self._n_read += 1
            return request
        return self._requests[number]
