"""A GGUF file, by llama.cpp in this process: `gguf:FILE`.

Source: llama.cpp's tools/server/README.md; its server runs in threads of xllamacpp's.

Rendered prompts go to /completion as token ids, which llama.cpp's own tokenizer makes of them:
nothing is put before a prompt that says itself where it begins. Native ones go to
/v1/chat/completions, where the file's template and llama.cpp's own parser decide.

Weights in float32 are computed in float32 throughout, so that what is measured are the weights; all
others as llama.cpp has them by default, which is how they are deployed, unless --dtype float32.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.backends import Outline
from fcbench.backends._served import answer_all, failed
from fcbench.backends._template import template_of
from fcbench.backends._windows import until_closed, windows
from fcbench.backends.gguf._ask import Asking
from fcbench.backends.gguf._check import check
from fcbench.backends.gguf._probe import adapter_record, check_finite, probe
from fcbench.backends.gguf._server import (
    FIRST_TOKENS,
    STEP,
    Llama,
    Settings,
    fitting_slots,
    rounded,
)
from fcbench.errors import BackendError
from fcbench.paths import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.backends import ModelOptions
    from fcbench.backends.gguf._file import Metadata
    from fcbench.types import Decoding, Json, Request, Sample

SAVED_BYTES = 256 * 2**20
"""What beginnings of prompts that no slot holds any more may take where nobody says how much."""


def open_model(name: str, options: ModelOptions) -> GgufBackend:
    """Return the backend of a file. ModelError if llama.cpp cannot load it or its adapter.

    ModelError too where the logits are no numbers. An adapter that changes nothing warns.
    """
    return GgufBackend(name, check(name, options), options)


def check_model(name: str, options: ModelOptions) -> None:
    """Raise UsageError, ModelError or MissingExtra for what can be known without loading."""
    check(name, options)


def outline(name: str, options: ModelOptions) -> Outline:
    """Return what the file, and llama.cpp's tokenizer, say; the weights are mapped, not read."""
    metadata = check(name, options)
    path = str(Path(name).expanduser())
    settings = Settings(
        path, None, n_slots=1, slot_tokens=STEP, in_float32=False, saved_bytes=0, to_answer=False
    )
    llama = Llama(settings, options)
    asking = Asking(llama.endpoint, keeps_prefixes=False)
    bos, eos, _ = asking.properties()

    def count(request: Request) -> int:
        return len(asking.tokens(request))

    weakref.finalize(count, llama.close)  # nobody asks any more
    template = template_of(metadata.chat_template, bos, eos, f"gguf:{name}")
    return Outline(template, bos, count, "llama.cpp's tokenizer")


class GgufBackend:
    """Answers prompts with llama.cpp, several together. close() ends its server."""

    def __init__(self, name: str, metadata: Metadata, options: ModelOptions) -> None:
        self.has_answered = False
        self._path = Path(name).expanduser()
        self._metadata = metadata
        self._options = options
        # Begun small: how much the slots must hold is known when the prompts are.
        self._running = [Llama(self._settings(FIRST_TOKENS), options)]
        # The server outlives neither this object nor the process.
        self._end = weakref.finalize(self, _close, self._running)
        self._asking = Asking(self._llama.endpoint, keeps_prefixes=options.prefix_memory != 0)
        found = probe(self._llama.endpoint)
        check_finite(f"gguf:{name}", found)
        self.bos, eos, file_type = self._asking.properties()
        self.template = template_of(metadata.chat_template, self.bos, eos, f"gguf:{name}")
        self.manifest: dict[str, Json] = {
            "name": f"gguf:{name}",
            "backend": "gguf",
            "dtype": metadata.dtype or file_type,
            "kv": "float32" if self._in_float32 else "float16",
            "weights_sha256": sha256_of(self._path),
            "template_sha256": None
            if self.template is None
            else hashlib.sha256(self.template.source.encode()).hexdigest(),
            "xllamacpp": importlib.metadata.version("xllamacpp"),
            "adapter": None,
        }
        if options.adapter is not None:
            self.manifest["adapter"] = adapter_record(
                options.adapter, found, probe(self._llama.endpoint, scale=0.0)
            )

    def answer(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Sample]:
        """Yield one sample a request, as each is finished.

        A prompt longer than the model's context is an error, and so are logits that are not finite.
        """
        if not self._running and self._end.alive:  # no larger slots could be had, see _make_room
            self._begin(FIRST_TOKENS)
        # A part at a time: they are sorted, and many prompts would not fit into memory.
        for part in windows(requests):
            yield from self._answer(part, decoding, requests)

    def _answer(
        self, part: Sequence[Request], decoding: Decoding, whole: Sequence[Request]
    ) -> Iterator[Sample]:
        ready: list[Request] = []
        n_needed = 0
        for request in part:
            try:
                n_needed = max(n_needed, self._n_tokens(request, decoding))
            except BackendError as error:
                yield failed(request, error)
            else:
                ready.append(request)
        self._make_room(n_needed)
        # Prompts that begin alike meet in a slot, which keeps what it has read.
        ready.sort(key=lambda request: request.prompt)
        n_slots = self._llama.settings.n_slots
        wanted = until_closed(ready, whole)
        for sample in answer_all(wanted, decoding, self._asking.ask, n_at_once=n_slots):
            self.has_answered = self.has_answered or sample.error is None
            yield sample

    def close(self) -> None:
        """End the server; nothing can be asked any more."""
        self._end()

    @property
    def _llama(self) -> Llama:
        return self._running[0]

    @property
    def _in_float32(self) -> bool:
        return "float32" in (self._options.dtype, self._metadata.dtype)

    def _settings(self, n_tokens: int) -> Settings:
        slot_tokens = rounded(n_tokens, self._metadata.context_length)
        saved = self._options.prefix_memory
        adapter = self._options.adapter
        return Settings(
            path=str(self._path),
            adapter=None if adapter is None else str(Path(adapter).expanduser()),
            n_slots=fitting_slots(
                self._metadata, slot_tokens, self._options, in_float32=self._in_float32
            ),
            slot_tokens=slot_tokens,
            in_float32=self._in_float32,
            saved_bytes=SAVED_BYTES if saved is None else saved,
        )

    def _n_tokens(self, request: Request, decoding: Decoding) -> int:
        """Return what a prompt and its answer take. BackendError if the model cannot hold it."""
        n_tokens, limit = len(self._asking.tokens(request)), decoding.max_new_tokens
        most = self._metadata.context_length
        if not n_tokens:
            raise BackendError("the prompt holds no token", kind="refused_request")
        if most is not None and n_tokens + limit > most:
            raise BackendError(
                f"{n_tokens} prompt tokens and {limit} new ones exceed the model's context of "
                f"{most}",
                kind="refused_request",
            )
        return n_tokens + limit

    def _make_room(self, n_tokens: int) -> None:
        """Begin again with larger slots where prompts and answers need them."""
        if n_tokens <= self._llama.settings.slot_tokens:
            return
        self._running.pop().close()  # first, or two models are in memory
        self._begin(n_tokens)

    def _begin(self, n_tokens: int) -> None:
        self._running.append(Llama(self._settings(n_tokens), self._options))
        self._asking.endpoint = self._llama.endpoint


def _close(running: list[Llama]) -> None:
    while running:
        running.pop().close()
