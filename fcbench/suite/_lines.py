"""Lines of JSON -> objects, and a place for whatever is wrong in one: file, line and JSON path."""

from __future__ import annotations

import json
import math
import re
from contextlib import contextmanager
from io import BytesIO
from sys import intern
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from fcbench.errors import SuiteError, nearest
from fcbench.formats._numbers import MOST_DIGITS, read_writable_integer
from fcbench.types import Call

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fcbench.types import Json


class Fault(Exception):
    """What is wrong in a row, and where: a JSON path and words."""

    def __init__(self, path: str, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.path, self.what, self.hint = path, what, hint


def lines(content: bytes | Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not blank, with their numbers from 1.

    Of a file that is named only one line is in memory at a time. SuiteError if it cannot be read.
    """
    try:
        with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.removesuffix(b"\n")
    except OSError as error:
        raise SuiteError(f"{content!s}: cannot be read: {error.strerror}") from error


@contextmanager
def located_in(shown: str, number: int) -> Iterator[None]:
    """Make a fault within into a SuiteError that names the file and the line."""
    try:
        yield
    except RecursionError as error:
        raise SuiteError(f"{shown}:{number}: nested too deep") from error
    except Fault as fault:
        path = f"{fault.path}: " if fault.path else ""
        raise SuiteError(f"{shown}:{number}: {path}{fault.what}", fault.hint) from fault


def located(error: msgspec.ValidationError) -> str:
    """Return msgspec's message as `PATH: what is wrong`."""
    path, what = _path_and_words(error)
    return f"{path}: {what}"


def _path_and_words(error: msgspec.ValidationError) -> tuple[str, str]:
    match = re.fullmatch(r"(.*?)(?: - at `(?:key in )?(.*)`)?", str(error), flags=re.DOTALL)
    words, path = match.groups() if match else (str(error), None)
    words = words.replace("`", "")
    words = words[:1].lower() + words[1:]
    path = path or "$"
    unknown = re.fullmatch(r"object contains unknown field (.*)", words)
    if unknown:
        return f"{path}.{unknown.group(1)}", "unknown field"
    return path, words


def decode(line: bytes) -> dict[str, Json]:
    """Return the object that a line is. Raises Fault."""
    row = decode_json(line)
    if not isinstance(row, dict):
        raise Fault("$", f"expected object, got {json_type(row)}")
    return row


def decode_json(text: str | bytes, path: str = "") -> Json:
    """Return the value of a JSON text, no key twice, every number finite and one that is written.

    Fault at `path`. An integer of more digits than Python writes could be in no prompt.
    """
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=read_writable_integer,
        )
    except UnicodeDecodeError as error:
        raise Fault(path, f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise Fault(path, f"not JSON: {error.msg} at column {error.colno}") from error
    except ValueError as error:
        raise Fault(_place_of_long(text, path or "$"), str(error)) from error


def _place_of_long(text: str | bytes, path: str) -> str:
    """Return the path of the first integer of a JSON text that is too long to be written."""
    try:
        # Each integer is read as the number of its digits.
        n_digits = json.loads(text, parse_int=lambda digits: len(digits.lstrip("-")))
    except json.JSONDecodeError:  # further on
        return path
    return _long_in(n_digits, path) or path


def _long_in(value: Json, path: str) -> str | None:
    if isinstance(value, int):
        return path if value > MOST_DIGITS else None
    inner: Iterable[tuple[str, Json]] = ()
    if isinstance(value, dict):
        inner = ((f"{path}.{key}", item) for key, item in value.items())
    elif isinstance(value, list):
        inner = ((f"{path}[{i}]", item) for i, item in enumerate(value))
    return next(filter(None, (_long_in(item, at) for at, item in inner)), None)


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    built = {intern(key): value for key, value in pairs}  # thousands of rows have the same keys
    if len(built) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Fault("", f"the key {twice!r} stands twice in one object")
    return built


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise Fault("", f"the number {number} is too large")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise Fault("", f"not JSON: {name} is not a JSON number")


def convert(row: Any, kind: Any) -> Any:
    """Return a row as a record of a kind. Raises Fault."""
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        path, what = _path_and_words(error)
        hint = None
        if what == "unknown field":
            # Below the top level only expected calls are converted; tools were checked before.
            known = kind if path.count(".") == 1 else Call
            hint = nearest(path.rsplit(".", 1)[-1], known.__struct_fields__)
        raise Fault(path, what, hint) from error
    except UnicodeEncodeError as error:  # msgspec's own, of a name with half a surrogate pair
        raise Fault(f"$.{error.object}", "unknown field") from error


def refuse_unknown(fields: Mapping[str, Json], known: Sequence[str], path: str) -> None:
    """Raise Fault for a field that is not known."""
    for name in fields:
        if name not in known:
            raise Fault(f"{path}.{name}", "unknown field", nearest(name, known))


def json_type(value: Json) -> str:
    """Return the name of a value's type as errors say it."""
    names = {dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), type(value).__name__)
