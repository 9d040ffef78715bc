"""A function of your own: a list of prompts in, as many texts or lists of Call out."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import json
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.errors import ModelError, UsageError
from fcbench.types import Call, ChatTemplate, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.backends import ModelOptions
    from fcbench.types import Backend, Decoding, Json, ModelFunction, Request

BATCH_SIZE = 16
"""Prompts that a function is given at a time."""


def open_model(name: str, options: ModelOptions) -> PythonBackend:
    """Return the backend of `module:function`. ModelError if there is no such function."""
    check_model(name, options)
    backend = PythonBackend(_function(name), name, options.batch_size or BATCH_SIZE)
    _say_module(backend, name.partition(":")[0])
    return backend


def check_model(name: str, options: ModelOptions) -> None:
    """Raise ModelError if there is no such function, UsageError for what it cannot be given."""
    _refuse_options(name, options)
    _function(name)


def open_function(function: ModelFunction, options: ModelOptions) -> PythonBackend:
    """Return the backend of a function that is at hand, which names itself as `--model` would.

    A function that is not at the top of a module that can be imported is not found by a name: see
    is_known_again. UsageError for what a function cannot be given, and for an async one.
    """
    if inspect.iscoroutinefunction(function):
        raise UsageError("a model that is a function returns its answers: this one is async")
    module, qualified = _place_of(function)
    name = f"{module}:{qualified}"
    _refuse_options(name, options)
    backend = PythonBackend(function, name, options.batch_size or BATCH_SIZE)
    if getattr(sys.modules.get(module), qualified, None) is not function:
        # No import finds it, as one of a script that runs: its text says whether it is the same.
        backend.manifest["source_sha256"] = _source_sha256(function)
    else:
        _say_module(backend, module)
    return backend


def is_known_again(backend: Backend) -> bool:
    """Whether a later process can tell that a backend of open_function is the same.

    An imported function is, by its name, and one of a script by its text. A lambda, a function
    inside another, a bound method or an object may hold what is written nowhere.
    """
    return backend.manifest.get("source_sha256", "") is not None


def _place_of(function: ModelFunction) -> tuple[str, str]:
    """Return the module and the name of a function; of a script, the module that it would be."""
    named = function if hasattr(function, "__qualname__") else type(function)
    module = str(getattr(named, "__module__", None) or "__main__")
    if module == "__main__":
        script = getattr(sys.modules.get("__main__"), "__file__", None)
        module = Path(script).stem if script else module
    return module, str(named.__qualname__)


def _say_module(backend: PythonBackend, module: str) -> None:
    """Say in the manifest what the function's module is, of which it may call any other part."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is not None:  # one that is built in, or made by hand
        with contextlib.suppress(OSError):
            backend.manifest["module_sha256"] = hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _source_sha256(function: ModelFunction) -> str | None:
    """Return the hash of a function's text, None where that does not say all of it."""
    if not inspect.isfunction(function) or not function.__qualname__.isidentifier():
        return None
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
    except (OSError, TypeError):  # typed in at a prompt
        return None


def _refuse_options(name: str, options: ModelOptions) -> None:
    if options.adapter is not None:
        raise UsageError(f"python:{name}: a function takes no adapter")
    if options.temperature:
        raise UsageError(f"python:{name}: a function chooses its words: no --temperature here")
    if options.decode != "greedy":
        raise UsageError(f"python:{name}: a function chooses its words: no --decode here")


def _function(name: str) -> ModelFunction:
    module_name, _, function_name = name.partition(":")
    if not function_name:
        raise ModelError(f"python:{name}: names no function", hint="python:MODULE:FUNCTION")
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
    function: ModelFunction = found
    return function


class PythonBackend:
    """Answers with a Python function; an exception from it is an error sample, not an answer."""

    template: ChatTemplate | None = None
    bos = "<bos>"
    has_answered = False

    def __init__(self, function: ModelFunction, name: str, batch_size: int) -> None:
        self.manifest: dict[str, Json] = {"name": f"python:{name}", "backend": "python"}
        self._function = function
        self._batch_size = batch_size

    def answer(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Sample]:
        """Yield one sample a request, in order; the function gets `batch_size` at a time."""
        del decoding  # the function decides
        step = self._batch_size
        for first in range(0, len(requests), step):
            batch = requests[first : first + step]
            if batch:  # an interrupted run's requests end early
                yield from self._answer(batch)

    def _answer(self, batch: Sequence[Request]) -> list[Sample]:
        started = time.perf_counter()
        try:
            answers = self._ask([request.prompt for request in batch])
        # The boundary to a user's callable: whatever it raises is a failure of the machinery.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            failure = f"{type(error).__name__}: {error}{_place_in(error)}"
            return [_sample(request, error=failure) for request in batch]
        if len(answers) != len(batch):
            failure = f"{len(batch)} prompts went in, {len(answers)} answers came out"
            return [_sample(request, error=failure) for request in batch]
        seconds = (time.perf_counter() - started) / len(batch)
        return [_judge_type(r, a, seconds) for r, a in zip(batch, answers, strict=True)]

    def _ask(self, prompts: list[str]) -> list[str | list[Call]]:
        answers = self._function(prompts)
        if isinstance(answers, str):  # a list of its characters, of which none is an answer
            raise TypeError(f"expected a list of {len(prompts)} answers, got one str")
        return list(answers)


def _place_in(error: BaseException) -> str:
    """Return the line that raised an error in a user's code, as it stands behind the message."""
    frames = traceback.extract_tb(error.__traceback__)
    # The first two are ours, which called the function.
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames[2:] else ""


def _judge_type(request: Request, answer: Any, seconds: float) -> Sample:
    if isinstance(answer, str):
        return _sample(request, text=answer, seconds=seconds)
    if not isinstance(answer, list) or not all(isinstance(call, Call) for call in answer):
        kind = type(answer).__name__
        if isinstance(answer, list):
            kinds = {type(item).__name__ for item in answer if not isinstance(item, Call)}
            kind = f"a list of {', '.join(sorted(kinds))}"
        return _sample(request, error=f"TypeError: expected str or a list of Call, got {kind}")
    try:  # what cannot be stored must not end the run when it is written
        stored = json.loads(json.dumps([[c.name, c.arguments] for c in answer], allow_nan=False))
        calls = msgspec.convert(stored, list[tuple[str, dict[str, Any]]])
    except (TypeError, ValueError, RecursionError) as error:
        return _sample(request, error=f"not calls of JSON values: {error}")
    return _sample(request, native_calls=[Call(*call) for call in calls], seconds=seconds)


def _sample(request: Request, **fields: Any) -> Sample:
    return Sample(request.case.id, request.repeat, prompt_sha256=request.prompt_sha256, **fields)
