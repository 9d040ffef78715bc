"""llama.cpp's own server in this process, and how much it is given."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import weakref
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.backends._http import Endpoint
from fcbench.errors import MissingExtra, ModelError
from fcbench.types import Record

if TYPE_CHECKING:
    import httpx

    from fcbench.backends import ModelOptions
    from fcbench.backends.gguf._file import Metadata

STEP = 256
"""Tokens that llama.cpp rounds a slot up to."""
N_SLOTS = 8
"""Prompts answered together where nobody says how many."""
CACHE_SHARE = 4
"""What part of the machine's memory the slots take at most, as in one in four."""
FIRST_TOKENS = 1024
"""What a slot holds until longer prompts come."""


class Settings(Record, frozen=True):
    """What a server is started with.

    With `in_float32` nothing is rounded to 16 bits on the way: neither what is kept of earlier
    tokens, nor what attention multiplies. `saved_bytes` may be taken by beginnings of prompts that
    no slot holds any more. Without `to_answer` it only reads texts, and no weights.
    """

    path: str
    adapter: str | None
    n_slots: int
    slot_tokens: int
    in_float32: bool
    saved_bytes: int
    to_answer: bool = True


class Llama:
    """A server that runs, and the way to it. close() ends it."""

    def __init__(self, settings: Settings, options: ModelOptions) -> None:
        """ModelError if llama.cpp cannot load the model, MissingExtra without it."""
        try:
            import xllamacpp
        except ImportError as error:
            raise MissingExtra("xllamacpp", "llama") from error
        self.settings = settings
        try:
            self._server: Any = xllamacpp.Server(_params(xllamacpp, settings))
        except RuntimeError as error:
            adapter = "" if settings.adapter is None else f" with the adapter {settings.adapter}"
            raise ModelError(
                f"{settings.path}: llama.cpp cannot load it{adapter}: {error}",
                hint="damaged, too large for the memory, newer than this xllamacpp, or an adapter "
                "for a model of another size",
            ) from error
        # What fails in this process fails again: nothing is asked twice.
        once = msgspec.structs.replace(options, retries=0)
        self.endpoint = _Line(str(self._server.listening_address), once)

    def close(self) -> None:
        """End the server, what it is busy with included."""
        self.endpoint.close()
        self._server = None  # whose destructor it is


class _Line(Endpoint):
    """The way to a server in this process, which cannot end before its clients hang up."""

    def __init__(self, url: str, options: ModelOptions) -> None:
        super().__init__(url, options)
        self._connected = _Connected()
        self._client.event_hooks = {"request": [self._connected.watch]}
        # At exit the last is called first: before what closes the client, see hang_up.
        weakref.finalize(self, self._connected.hang_up)

    def close(self) -> None:
        """Hang up, in the middle of an answer too."""
        self._connected.hang_up()
        super().close()


class _Connected:
    """The sockets of a client whose threads wait for answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._has_hung_up = False

    def watch(self, request: httpx.Request) -> None:
        """Have a request tell of the connection that it opens."""
        request.extensions = {**request.extensions, "trace": self._note}

    def hang_up(self) -> None:
        """Shut all down: to close a socket that a thread reads from does not hang up."""
        with self._lock:
            self._has_hung_up = True
            for connected in self._sockets:
                _shut_down(connected)

    def _note(self, event: str, told: dict[str, Any]) -> None:
        if event != "connection.connect_tcp.complete":
            return
        connected = told["return_value"].get_extra_info("socket")
        with self._lock:
            # Those that were closed since are of no more use.
            self._sockets = [each for each in self._sockets if each.fileno() >= 0]
            self._sockets.append(connected)
            if self._has_hung_up:
                _shut_down(connected)


def _shut_down(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed already
        connected.shutdown(socket.SHUT_RDWR)


def _params(xllamacpp: Any, settings: Settings) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = settings.path
    if settings.adapter is not None:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(settings.adapter, 1.0)]
    params.n_parallel = settings.n_slots
    params.n_ctx = settings.n_slots * settings.slot_tokens
    params.fit_params = False  # which would make the context smaller without a word
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = n_threads()
    if settings.in_float32:
        # On a processor, llama.cpp's flash attention rounds to half precision whatever the cache
        # holds: with it 88 of 100 greedy answers were those of transformers.
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.cache_ram_mib = settings.saved_bytes // 2**20
    # Without it the layers with a window forget what another prompt could take up.
    params.swa_full = settings.saved_bytes > 0
    # The extra buffers hold weights in another order, for which all of them are read.
    params.no_extra_bufts = not settings.to_answer
    params.special = True  # control tokens are what calls are made of
    params.use_jinja = True  # native requests: the model's own template, and tools
    params.warmup = False
    params.ui = False
    params.verbosity = -1
    return params


def n_threads() -> int:
    """Return how many threads to compute with: as many as torch would take, never more than CPUs.

    One more than are free is ten times slower: all wait for each other after each layer.
    """
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(free, int(said)) if said.isdecimal() and int(said) else free


def fitting_slots(
    metadata: Metadata, slot_tokens: int, options: ModelOptions, *, in_float32: bool
) -> int:
    """Return how many slots to have: what was asked for, else as many as are good and fit."""
    if options.batch_size is not None:
        return options.batch_size
    if metadata.cache_width is None:
        return N_SLOTS
    each = slot_tokens * metadata.cache_width * (4 if in_float32 else 2)
    return max(1, min(N_SLOTS, _memory_bytes() // CACHE_SHARE // each))


def _memory_bytes() -> int:
    """Return how much memory the machine has; where it does not say, as a small one."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return 8 * 2**30


def rounded(n_tokens: int, most: int | None) -> int:
    """Return how many tokens a slot must have to hold so many.

    >>> rounded(600, None), rounded(600, 512)
    (768, 512)
    """
    up = -(-n_tokens // STEP) * STEP
    return up if most is None else min(up, most)
