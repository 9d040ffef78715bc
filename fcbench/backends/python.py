"""A function of your own: a list of prompts in, as many texts or lists of Call out."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.errors import ModelError, UsageError
from fcbench.types import Call, ChatTemplate, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fcbench.backends import ModelOptions
    from fcbench.types import Decoding, Json, Request

BATCH_SIZE = 16
"""Prompts that a function is given at a time."""


def open_model(name: str, options: ModelOptions) -> PythonBackend:
    """Return the backend of `module:function`. ModelError if there is no such function."""
    check_model(name, options)
    return PythonBackend(_function(name), name, options.batch_size or BATCH_SIZE)


def check_model(name: str, options: ModelOptions) -> None:
    """Raise ModelError if there is no such function, UsageError for what it cannot be given."""
    if options.adapter is not None:
        raise UsageError(f"python:{name}: a function takes no adapter")
    if options.temperature:
        raise UsageError(f"python:{name}: a function chooses its words: no --temperature here")
    if options.decode != "greedy":
        raise UsageError(f"python:{name}: a function chooses its words: no --decode here")
    _function(name)


def _function(name: str) -> Callable[[list[str]], Sequence[Any]]:
    module_name, _, function_name = name.partition(":")
    # As with `python -m`: modules beside the user's own work are found.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module_name), function_name)
    # The boundary to a user's module: importing it may raise anything.
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ModelError(f"python:{name}: {what}", hint="python:MODULE:FUNCTION") from error
    if not callable(found):
        raise ModelError(f"python:{name}: not a function but {type(found).__name__}")
    function: Callable[[list[str]], Sequence[Any]] = found
    return function


class PythonBackend:
    """Answers with a Python function; an exception from it is an error sample, not an answer."""

    template: ChatTemplate | None = None
    bos = "<bos>"
    has_answered = False

    def __init__(
        self, function: Callable[[list[str]], Sequence[Any]], name: str, batch_size: int
    ) -> None:
        self.manifest: dict[str, Json] = {"name": f"python:{name}", "backend": "python"}
        self._function = function
        self._batch_size = batch_size

    def answer(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Sample]:
        """Yield one sample a request, in order; the function gets `batch_size` at a time."""
        del decoding  # the function decides
        step = self._batch_size
        for first in range(0, len(requests), step):
            yield from self._answer(requests[first : first + step])

    def _answer(self, batch: Sequence[Request]) -> list[Sample]:
        started = time.perf_counter()
        try:
            answers = list(self._function([request.prompt for request in batch]))
        # The boundary to a user's callable: whatever it raises is a failure of the machinery.
        except Exception as error:  # noqa: BLE001
            failure = f"{type(error).__name__}: {error}"
            return [_sample(request, error=failure) for request in batch]
        if len(answers) != len(batch):
            failure = f"{len(batch)} prompts went in, {len(answers)} answers came out"
            return [_sample(request, error=failure) for request in batch]
        seconds = (time.perf_counter() - started) / len(batch)
        return [_judge_type(r, a, seconds) for r, a in zip(batch, answers, strict=True)]


def _judge_type(request: Request, answer: Any, seconds: float) -> Sample:
    if isinstance(answer, str):
        return _sample(request, text=answer, seconds=seconds)
    if not isinstance(answer, list) or not all(isinstance(call, Call) for call in answer):
        kind = type(answer).__name__
        return _sample(request, error=f"TypeError: expected str or a list of Call, got {kind}")
    try:  # what cannot be stored must not end the run when it is written
        stored = json.loads(json.dumps([[c.name, c.arguments] for c in answer], allow_nan=False))
        calls = msgspec.convert(stored, list[tuple[str, dict[str, Any]]])
    except (TypeError, ValueError, RecursionError) as error:
        return _sample(request, error=f"not calls of JSON values: {error}")
    return _sample(request, native_calls=[Call(*call) for call in calls], seconds=seconds)


def _sample(request: Request, **fields: Any) -> Sample:
    return Sample(request.case.id, request.repeat, prompt_sha256=request.prompt_sha256, **fields)
