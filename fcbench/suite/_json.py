"""JSON as suites have it: no key twice, no NaN, no infinity, integers of any size."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NoReturn

from fcbench.formats._numbers import read_integer
from fcbench.suite._fault import Fault

if TYPE_CHECKING:
    from fcbench.types import Json


def decode(text: str | bytes, path: str = "") -> Json:
    """Return the value of a JSON text. Fault, at `path`, for what is not UTF-8 or not JSON."""
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=read_integer,
        )
    except UnicodeDecodeError as error:
        raise Fault(path, f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise Fault(path, f"not JSON: {error.msg} at column {error.colno}") from error


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    built = dict(pairs)
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
