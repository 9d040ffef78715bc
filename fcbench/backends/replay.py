"""Outputs that were recorded elsewhere, JSON lines of {id, text} or {id, tool_calls}, as a model.

A line answers the case of its `id`, and `repeat` says which of several answers it is (0 where it
says nothing; two answers to one case and repeat are refused). Nothing was asked, so that a run's
prompts are only what fcbench would have asked, and its samples have no prompt_sha256 unless their
line says one. Lines for cases or repeats that are not asked for are left out.
"""

from __future__ import annotations

from array import array
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.backends._offsets import MOST, Offsets
from fcbench.backends._recorded import read_line, read_lines, sample_of, samples_of
from fcbench.errors import UsageError, nearest
from fcbench.paths import sha256_of
from fcbench.types import ChatTemplate, Sample

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from fcbench.backends import ModelOptions
    from fcbench.types import Decoding, Json, Request

UNRECORDED = "no output was recorded"


def open_model(name: str, options: ModelOptions) -> ReplayBackend:
    """Return the backend of a file. UsageError with file and line for one that is none."""
    check_model(name, options)
    # A line that is broken is found before a run begins.
    return ReplayBackend(name, _sha256(Path(name)), _offsets(Path(name)))


def check_model(name: str, options: ModelOptions) -> None:
    """Raise UsageError if there is no such file, and for what changes no recorded output."""
    if options.adapter is not None:
        raise UsageError(f"replay:{name}: recorded outputs take no adapter")
    if options.temperature:
        raise UsageError(f"replay:{name}: the outputs are recorded: no --temperature here")
    if options.decode != "greedy":
        raise UsageError(f"replay:{name}: the outputs are recorded: no --decode here")
    if options.dtype != "auto" or options.allow_float16:
        raise UsageError(f"replay:{name}: the outputs are recorded: no --dtype here")
    if not Path(name).is_file():
        raise UsageError(f"replay:{name}: no such file", hint="replay:FILE, a file of JSON lines")


class ReplayBackend:
    """Answers with what a file says; a request that it does not answer is an error sample."""

    template: ChatTemplate | None = None
    bos = "<bos>"
    has_answered = False

    def __init__(self, name: str, sha256: str, offsets: Offsets) -> None:
        self.manifest: dict[str, Json] = {
            "name": f"replay:{name}",
            "backend": "replay",
            "sha256": sha256,
        }
        self._path = Path(name)
        self._offsets = offsets

    def answer(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Sample]:
        """Yield one sample a request, in their order; those that were held back come last.

        UsageError if the file answers none, and never answered one.
        """
        del decoding  # what was recorded was drawn in its own way
        held: list[tuple[str, int]] = []
        try:
            with self._path.open("rb") as file:
                for request in requests:
                    key = request.case.id, request.repeat
                    begin = self._offsets.find(*key)
                    if begin is not None:
                        self.has_answered = True
                        yield sample_of(str(self._path), read_line(file, begin))
                    elif self.has_answered:
                        yield Sample(*key, error=UNRECORDED)
                    else:  # it may be that none is answered
                        held.append(key)
        except (OSError, ValueError) as error:
            raise UsageError(f"{self._path}: was changed since it was read: {error}") from error
        if held and not self.has_answered:
            raise UsageError(*self._answers_none([case_id for case_id, _ in held]))
        for key in held:
            yield Sample(*key, error=UNRECORDED)

    def _answers_none(self, asked: Collection[str]) -> tuple[str, str | None]:
        """Return what is wrong, and a hint."""
        other = next((sample for _, sample in samples_of(partial(read_lines, self._path))), None)
        if other is None:
            return f"{self._path}: holds no output", None
        if other.case_id in asked:
            first = f"the first is repeat {other.repeat} of {other.case_id}"
            return f"{self._path}: no line answers a repeat that is asked: {first}", None
        first = f"the first is for {other.case_id}"
        hint = nearest(other.case_id, asked)
        return f"{self._path}: no line answers a case that is asked: {first}", hint


def _offsets(path: Path) -> Offsets:
    """Return where the answers of a file begin. UsageError with file and line."""
    offsets, begins = Offsets(), array("q")
    for _, sample in samples_of(partial(read_lines, path, begins)):
        if abs(sample.repeat) <= MOST:  # nobody asks for others
            offsets.put(sample.case_id, sample.repeat, begins[-1])
        del begins[:]
    return offsets


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
