"""Outputs made elsewhere -> samples, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from fcbench.backends._recorded import read_lines, samples_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fcbench.types import Sample


def read_outputs(path: Path) -> Iterator[tuple[str, Sample]]:
    """Yield the samples of JSON lines, and where they stand. UsageError with file and line."""
    return samples_of(partial(read_lines, path))


def to_samples(outputs: Mapping[str, str] | Iterable[Any]) -> Iterator[tuple[str, Sample]]:
    """Yield samples from a mapping of id to text, or from records, and where they stand.

    A record is a Sample, or a mapping as in a file. UsageError for one that is neither, and for
    two answers to one case.
    """
    if isinstance(outputs, Mapping):
        outputs = [{"id": case_id, "text": text} for case_id, text in outputs.items()]
    seen_once = iter([outputs]) if isinstance(outputs, Iterator) else None

    def records() -> Iterator[tuple[str, Any]]:
        given = outputs if seen_once is None else next(seen_once, ())
        return ((f"output {number}", output) for number, output in enumerate(given, start=1))

    return samples_of(records)
