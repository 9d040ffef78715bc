"""One replica of a model, as it stands in a worker's process.

It imports nothing of Ray: an executor makes it an actor. What goes wrong inside is said in a
Refusal, because most of our errors cannot be sent from one process to another.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import time
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from fcbench import errors, packages
from fcbench.errors import BackendError, FcbenchError, ModelError
from fcbench.types import Json, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fcbench.types import Backend, Decoding, Request

BLOCK_SECONDS = 0.25
"""Samples that come faster are sent together."""

COMPARED_PACKAGES = ("fcbench", "torch", "transformers", "tokenizers", "peft")


class Pickle(Protocol):
    """What makes bytes of objects, functions of a script included, and objects of bytes again."""

    def dumps(self, obj: object, /) -> bytes:
        """Return the bytes of an object."""

    def loads(self, data: bytes, /) -> Any:
        """Return the object of bytes."""


class Refusal(msgspec.Struct, frozen=True):
    """An FcbenchError of another process: the name of its class, and what it says."""

    kind: str
    message: str
    hint: str | None

    def as_error(self) -> FcbenchError:
        """Return the error as it was raised there."""
        kind = getattr(errors, self.kind)
        error: FcbenchError = kind.__new__(kind)
        # Some take other arguments, of which they make these two.
        base = BackendError if issubclass(kind, BackendError) else FcbenchError
        base.__init__(error, self.message, self.hint)
        return error


class About(msgspec.Struct, frozen=True):
    """What a replica tells of its model once that is loaded.

    `template` is pickled, None where the model has none; `warnings` are what was logged meanwhile.
    """

    manifest: dict[str, Json]
    versions: dict[str, str]
    bos: str
    template: bytes | None
    host: str
    pid: int
    warnings: list[str]


class Replica:
    """A model that is loaded where this object is made, not where it was thought of."""

    def __init__(self, opened: bytes, pickle: Pickle, folder: str) -> None:
        # `opened` is a pickled function that returns the backend, `folder` where the run was begun:
        # relative paths mean the same where there is such a folder.
        self._opened, self._pickle, self._folder = opened, pickle, folder
        self._backend: Backend | None = None

    def load(self) -> About | Refusal:
        """Load the model and return what it is."""
        with contextlib.suppress(OSError):
            os.chdir(self._folder)
        try:
            opened: Callable[[], Backend] = self._pickle.loads(self._opened)
        # The boundary to a user's module, which may be absent here, or raise when it is imported.
        except Exception as error:  # noqa: BLE001
            what = f"the model cannot be opened on {platform.node()}: {type(error).__name__}"
            return _refusal(ModelError(f"{what}: {error}", hint="install its module there"))
        with _heard() as warnings:
            try:
                backend = opened()
            except FcbenchError as error:
                return _refusal(error)
        try:
            template = None if backend.template is None else self._pickle.dumps(backend.template)
        # The boundary to somebody's template: it says itself what happens when it is pickled.
        except Exception as error:  # noqa: BLE001
            what = f"its chat template cannot be sent to the process that writes prompts: {error}"
            return _refusal(ModelError(f"{backend.manifest['name']}: {what}"))
        self._backend = backend
        return About(
            manifest=backend.manifest,
            versions=versions(),
            bos=backend.bos,
            template=template,
            host=platform.node(),
            pid=os.getpid(),
            warnings=warnings,
        )

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, *, has_answered: bool
    ) -> Iterator[list[Sample] | Refusal]:
        """Yield samples as they come, those of a moment together; a Refusal ends them."""
        backend = self._backend
        assert backend is not None  # noqa: S101  nobody is asked before it said what it is
        backend.has_answered = backend.has_answered or has_answered
        block: list[Sample] = []
        began = time.monotonic()
        try:
            for sample in backend.answer(requests, decoding):
                block.append(sample)
                if time.monotonic() - began > BLOCK_SECONDS:
                    yield block
                    block, began = [], time.monotonic()
        except FcbenchError as error:
            if block:
                yield block
            yield _refusal(error)
            return
        if block:
            yield block


def _refusal(error: FcbenchError) -> Refusal:
    known = (kind.__name__ for kind in type(error).__mro__ if hasattr(errors, kind.__name__))
    return Refusal(next(known), error.message, error.hint)


def versions() -> dict[str, str]:
    """Return the versions of the packages that an answer depends on, as far as there are any."""
    return packages.versions(COMPARED_PACKAGES)


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """Give a list that fills with what fcbench warns of: a worker's own log is read by nobody."""
    heard: list[str] = []

    class _Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    ear = _Ear(logging.WARNING)
    log = logging.getLogger("fcbench")
    log.addHandler(ear)
    try:
        yield heard
    finally:
        log.removeHandler(ear)
