"""Outputs made elsewhere -> samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.errors import UsageError
from fcbench.formats._numbers import read_integer
from fcbench.types import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ANSWERS = ("text", "native_calls", "error")


def read_outputs(path: Path) -> list[Sample]:
    """Return the samples of JSON lines with `id` and `text`. UsageError with file and line."""
    return to_samples(_lines(path))


def to_samples(outputs: Mapping[str, str] | Iterable[Any]) -> list[Sample]:
    """Return samples from a mapping of id to text, or from records.

    A record is a Sample, or a mapping with `id` (or `case_id`) and `text`. UsageError for one
    that is neither, and for two answers to one case.
    """
    if isinstance(outputs, Mapping):
        outputs = ({"id": case_id, "text": text} for case_id, text in outputs.items())
    samples = []
    seen: dict[tuple[str, int], str] = {}
    for number, output in enumerate(outputs, start=1):
        where, record = output if isinstance(output, tuple) else (f"output {number}", output)
        sample = record if isinstance(record, Sample) else _sample(where, record)
        key = sample.case_id, sample.repeat
        if key in seen:
            raise UsageError(f"{where}: {sample.case_id} was answered in {seen[key]} already")
        seen[key] = where
        samples.append(sample)
    return samples


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield f"{path}:{number}", json.loads(line, parse_int=read_integer)
        except json.JSONDecodeError as error:
            what = f"not JSON: {error.msg} at column {error.colno}"
            raise UsageError(f"{path}:{number}: {what}") from error
        except RecursionError as error:
            raise UsageError(f"{path}:{number}: nested too deep") from error


def _sample(where: str, record: Any) -> Sample:
    if not isinstance(record, Mapping):
        raise UsageError(f"{where}: $: expected object, got {type(record).__name__}")
    fields = dict(record)
    if "id" in fields:
        fields["case_id"] = fields.pop("id")
    if not any(fields.get(name) is not None for name in ANSWERS):
        raise UsageError(f"{where}: $.text: missing", hint="an output has id and text")
    try:
        return msgspec.convert(fields, Sample)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {error}", hint="an output has id and text") from error
