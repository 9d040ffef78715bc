"""samples.jsonl as it is read: line by line, and as a sequence that reads what is looked at."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from io import BytesIO
from itertools import accumulate
from typing import TYPE_CHECKING, overload

import msgspec

from fcbench.backends._offsets import Offsets
from fcbench.errors import RunError
from fcbench.formats._numbers import read_integer
from fcbench.runs._version import UPGRADE
from fcbench.types import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

MOST_BYTES = 2**26
"""No line is longer: a file without line ends is not read into memory whole."""
KEPT_BYTES = 2**22
"""A log of no more bytes is kept as it was read, and outlives its folder."""
REDO = "cut the line out, and --resume asks for its sample again"
_decode = msgspec.json.Decoder(Sample).decode


def read_log(path: Path) -> Iterator[tuple[int, Sample]]:
    """Yield where each sample begins and the sample, in the order of the log.

    A last line without its end is left out: it is being written, or a kill cut it off. RunError
    names the line of any other that is not a sample.
    """
    try:
        with path.open("rb") as file:
            yield from _samples(file, path)
    except FileNotFoundError:
        return  # nothing is answered yet
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from error


def _samples(file: BinaryIO, path: Path) -> Iterator[tuple[int, Sample]]:
    offset = 0
    for number, line in enumerate(iter(lambda: file.readline(MOST_BYTES), b""), start=1):
        if not line.endswith(b"\n"):
            if len(line) < MOST_BYTES:
                return
            raise RunError(f"{path}:{number}: longer than {MOST_BYTES:,} bytes", REDO)
        try:
            sample = _sample(line)
        except (ValueError, RecursionError) as error:
            # The line of a later fcbench is good, and nothing to cut out.
            hint = f"a later fcbench wrote it: {UPGRADE}" if "unknown field" in str(error) else REDO
            raise RunError(f"{path}:{number}: not a sample: {error}", hint) from error
        yield offset, sample
        offset += len(line)


class Log(Sequence[Sample]):
    """The last sample of each case and repeat of a log, in the order of the cases.

    Whatever order they were answered in; a resumed run asks its errors again. It is the log as it
    was when this was made. Of a large one some 16 bytes a sample are kept, and each is read when it
    is looked at: RunError comes then of a file that is gone.
    """

    def __init__(self, path: Path, case_ids: Iterable[str]) -> None:
        self._path = path
        self._offsets = Offsets()
        self._content = _small(path)
        found = read_log(path) if self._content is None else _samples(self._open(), path)
        for offset, sample in found:
            # Of errors all bits are turned, which makes a negative number.
            try:
                self._offsets.put(
                    sample.case_id, sample.repeat, offset if sample.error is None else ~offset
                )
            except OverflowError as error:
                raise RunError(f"{path}: not a sample of {sample.case_id}: {error}") from error
        known = dict.fromkeys(case_id for case_id in case_ids if case_id in self._offsets)
        self._order = list(known | dict.fromkeys(self._offsets.case_ids()))
        ends = accumulate(len(self._offsets.of(case_id)) for case_id in self._order)
        self._ends = array("q", ends)

    @property
    def n_errors(self) -> int:
        """How many of the samples are errors."""
        of = self._offsets.of
        return sum(offset < 0 for case_id in self._order for offset in of(case_id))

    def is_answered(self, case_id: str, repeat: int) -> bool:
        """Whether there is a sample of a case and repeat that is no error."""
        offset = self._offsets.find(case_id, repeat)
        return offset is not None and offset >= 0

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return list(self._read(map(self._offset, numbers)))
        return next(self._read([self._offset(numbers)]))

    def __iter__(self) -> Iterator[Sample]:
        of = self._offsets.of
        return self._read(offset for case_id in self._order for offset in of(case_id))

    def of_case(self, case_id: str) -> list[Sample]:
        """Return the samples of one case, in the order of its repeats."""
        return list(self._read(self._offsets.of(case_id)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(map(Sample.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]  # as of any list

    def __repr__(self) -> str:
        return f"<{len(self)} samples of {self._path}>"

    def _offset(self, index: int) -> int:
        place = bisect_right(self._ends, index)
        first = self._ends[place - 1] if place else 0
        return self._offsets.of(self._order[place])[index - first]

    def _open(self) -> BinaryIO:
        return self._path.open("rb") if self._content is None else BytesIO(self._content)

    def _read(self, offsets: Iterable[int]) -> Iterator[Sample]:
        try:
            with self._open() as file:
                for offset in offsets:
                    yield _sample_at(file, offset if offset >= 0 else ~offset)
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(
                f"{self._path}: was changed since it was read, or is gone: {error}",
                hint="a run's log is only ever added to",
            ) from error


def _small(path: Path) -> bytes | None:
    """Return what is in a log, None if that is much or cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(KEPT_BYTES + 1)
    except FileNotFoundError:
        return b""  # nothing is answered yet
    except OSError:
        return None
    return content if len(content) <= KEPT_BYTES else None


def _sample_at(file: BinaryIO, offset: int) -> Sample:
    if file.tell() != offset:  # they mostly follow each other
        file.seek(offset)
    return _sample(file.readline())


def _sample(line: bytes) -> Sample:
    """Return the sample of a line. ValueError or RecursionError if it is none."""
    try:
        return _decode(line)
    # What a log may hold and msgspec does not read: lone surrogates, NaN, numbers beyond floats.
    except msgspec.MsgspecError:
        return msgspec.convert(json.loads(line, parse_int=read_integer), Sample)
