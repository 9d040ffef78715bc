"""What is wrong in a row, and where."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.errors import nearest
from fcbench.types import Call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.types import Json


class Fault(Exception):
    """What is wrong in a row, and where: a JSON path and words."""

    def __init__(self, path: str, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.path, self.what, self.hint = path, what, hint


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


def convert(row: Any, kind: Any) -> Any:
    """Return a row as a record. Fault for what does not fit, with the nearest field."""
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


def refuse_unknown(fields: Mapping[str, Json], known: Sequence[str], path: str) -> None:
    """Raise Fault for a field that is not known."""
    for name in fields:
        if name not in known:
            raise Fault(f"{path}.{name}", "unknown field", nearest(name, known))


def json_type(value: Json) -> str:
    """Return how a value's type is called."""
    names = {dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), type(value).__name__)
