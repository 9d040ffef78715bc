"""Outputs recorded anywhere -> samples, one at a time.

A record has an `id` and what was answered: `text`, or `tool_calls` in OpenAI's shape, or an
`error`. With both, `text` is the raw text that the model wrote and `tool_calls` what its server
read in it. It may have the other fields of a Sample too: repeat, stop, tokens, seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from fcbench.backends._native import calls_of
from fcbench.errors import UsageError
from fcbench.formats._numbers import read_integer
from fcbench.types import Sample

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import BinaryIO

    from fcbench.types import Call, Json

    # Where a record stands, in words for a message, and the record.
    Found = tuple[str, Any]

ANSWERS = ("text", "native_calls", "tool_calls", "error")
HINT = (
    'an output is {"id": "…", "text": "…"} or '
    '{"id": "…", "tool_calls": [{"name": "…", "arguments": {…}}]}'
)
MOST_BYTES = 2**26
"""No line is longer: a file without line ends is not read into memory whole."""
BITS = 4096
"""Repeats that one integer of Answered stands for: small enough to be copied with every answer."""


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


_read = json.JSONDecoder(parse_int=read_integer, parse_constant=_refuse).decode


def read_lines(path: Path, begins: array[int] | None = None) -> Iterator[Found]:
    """Yield the records of JSON lines, none of which is kept. UsageError with file and line.

    Where each begins is added to `begins`, if it is given, before it is yielded: see read_line.
    """
    offset = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MOST_BYTES), b""), start=1):
                if len(line) == MOST_BYTES:
                    raise UsageError(
                        f"{path}:{number}: longer than {MOST_BYTES:,} bytes",
                        hint="one JSON object a line",
                    )
                text = _text(line, offset)
                if begins is not None and text:
                    begins.append(offset)
                offset += len(line)
                if text:
                    yield f"{path}:{number}", _read(text)
    except json.JSONDecodeError as error:
        what = f"not JSON: {error.msg} at column {error.colno}"
        raise UsageError(f"{path}:{number}: {what}") from error
    except RecursionError as error:
        raise UsageError(f"{path}:{number}: nested too deep") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: cannot be read: line {number}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{path}:{number}: not JSON: {error}") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def read_line(file: BinaryIO, begin: int) -> Any:
    """Return the record of a line that was read before. ValueError if it is another now."""
    file.seek(begin)
    return _read(_text(file.readline(MOST_BYTES), begin))


def _text(line: bytes, begin: int) -> str:
    # Some editors begin a file with a byte order mark.
    return line.decode("utf-8" if begin else "utf-8-sig").rstrip()


def samples_of(records: Callable[[], Iterable[Found]]) -> Iterator[tuple[str, Sample]]:
    """Yield the sample of each record, and where it stands.

    `records` is called once more to find the first of two answers to one case and repeat, which
    are refused. UsageError for them, and for a record that is none.
    """
    answered = Answered()
    for where, record in records():
        sample = sample_of(where, record)
        if not answered.add(sample.case_id, sample.repeat):
            key = sample.case_id, sample.repeat
            again = ((w, sample_of(w, r)) for w, r in records())
            first = next((w for w, s in again if (s.case_id, s.repeat) == key), "an earlier one")
            raise UsageError(
                f"{where}: {sample.case_id} was answered in {first} already",
                hint="answers to one case have repeat: 0, 1, …; a run whose errors were asked "
                "again is read by its folder",
            )
        yield where, sample


def sample_of(where: str, record: Any) -> Sample:
    """Return the sample of one record. UsageError, with `where`, for what is none."""
    if isinstance(record, Sample):
        return record
    if not isinstance(record, Mapping):
        raise UsageError(f"{where}: $: expected object, got {type(record).__name__}")
    fields = {name: value for name, value in record.items() if name not in ANSWERS}
    # null is how servers say that there is none of it
    answers = {name: record[name] for name in ANSWERS if record.get(name) is not None}
    if not answers:
        raise UsageError(f"{where}: $.text: missing", hint=HINT)
    if "id" in fields:
        fields["case_id"] = fields.pop("id")
        if not isinstance(fields["case_id"], str):
            kind = type(fields["case_id"]).__name__
            raise UsageError(f"{where}: $.id: expected str, got {kind}", hint=HINT)
    if "tool_calls" in answers:
        answers["native_calls"] = _native(where, answers)
    try:
        return msgspec.convert({**fields, **answers}, Sample)
    except ValueError as error:  # msgspec's; it has no words for half a surrogate pair
        raise UsageError(f"{where}: {error}", hint=HINT) from error


def _native(where: str, answers: dict[str, Json]) -> list[Call]:
    if "native_calls" in answers:
        raise UsageError(f"{where}: tool_calls and native_calls both say what was called")
    try:
        return calls_of(answers.pop("tool_calls"))
    except ValueError as error:
        raise UsageError(f"{where}: $.{error}", hint=HINT) from error


class Answered:
    """Which repeats of which cases were answered: a bit for each, whatever the repeat's number."""

    def __init__(self) -> None:
        self._bits: dict[str, dict[int, int]] = {}

    def has(self, case_id: str, repeat: int) -> bool:
        """Whether an answer was noted."""
        block, place = divmod(repeat, BITS)
        return bool(self._bits.get(case_id, {}).get(block, 0) >> place & 1)

    def add(self, case_id: str, repeat: int) -> bool:
        """Note an answer. Return False if it was noted before."""
        of_case = self._bits.setdefault(case_id, {})
        block, place = divmod(repeat, BITS)
        bits = of_case.get(block, 0)
        if bits >> place & 1:
            return False
        of_case[block] = bits | 1 << place
        return True
