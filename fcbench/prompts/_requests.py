"""Cases -> requests, one after the other as they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from fcbench.errors import UsageError
from fcbench.types import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fcbench.types import Case

KEPT_CHARACTERS = 2**24
"""Prompts are kept up to so many characters in all; those beyond are rendered each time."""
_DIGEST_BYTES = hashlib.sha256().digest_size
_UNKNOWN = bytes(_DIGEST_BYTES)


class Requests(Sequence[Request]):
    """One request for each case and repeat, in order; a case's repeats share its prompt.

    A prompt is rendered when it is read, so that however many there are takes no memory. UsageError
    for one that is another than when it was read before: a template that writes the time, say.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        render: Callable[[Case], str],
        repeats: int = 1,
        *,
        native: bool = False,
    ) -> None:
        self._cases = cases
        self._render = render
        self._repeats = repeats
        self._native = native
        self._kept: dict[int, str] = {}
        self._room = KEPT_CHARACTERS
        self._last = (-1, "")
        self._digests = bytearray(_DIGEST_BYTES * len(cases))

    def __len__(self) -> int:
        return len(self._cases) * self._repeats

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> list[Request]: ...
    def __getitem__(self, index: int | slice) -> Request | list[Request]:
        if isinstance(index, slice):
            return [self._request(number) for number in range(len(self))[index]]
        return self._request(range(len(self))[index])

    def __iter__(self) -> Iterator[Request]:
        return map(self._request, range(len(self)))

    def sha256s(self) -> Iterator[str]:
        """Yield the hash of each case's prompt; only those never read before are rendered."""
        for place in range(len(self._cases)):
            yield self.sha256(place)

    def sha256(self, place: int) -> str:
        """Return the hash of a case's prompt, by its place among the cases."""
        known = self._digest(place)
        if known == _UNKNOWN:
            self._prompt(place)
            known = self._digest(place)
        return known.hex()

    def _request(self, number: int) -> Request:
        place, repeat = divmod(number, self._repeats)
        prompt = self._prompt(place)
        return Request(self._cases[place], prompt, self.sha256(place), repeat, self._native)

    def _digest(self, place: int) -> bytes:
        return bytes(self._digests[_DIGEST_BYTES * place : _DIGEST_BYTES * (place + 1)])

    def _prompt(self, place: int) -> str:
        if place in self._kept:
            return self._kept[place]
        number, prompt = self._last  # one tuple: a thread beside this one may replace it
        if number == place:
            return prompt
        prompt = self._render(self._cases[place])
        digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()
        if self._digest(place) not in (_UNKNOWN, digest):
            raise UsageError(
                f"case {self._cases[place].id}: its prompt is another than when the run began",
                hint="its file was changed, or it writes the time, or it draws at random",
            )
        self._digests[_DIGEST_BYTES * place : _DIGEST_BYTES * (place + 1)] = digest
        if len(prompt) <= self._room:
            self._room -= len(prompt)
            self._kept[place] = prompt
        self._last = (place, prompt)
        return prompt
