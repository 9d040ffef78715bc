"""What a GGUF says of itself: its metadata, read without its weights and without a library.

Source: docs/gguf.md of github.com/ggml-org/ggml, versions 2 and 3.
"""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING, Any

from fcbench.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"GGUF"
VERSIONS = (2, 3)
KIND_OF_ARRAY, KIND_OF_STRING = 9, 8
# The value types of numbers, as struct's codes.
NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}

MOST = 2**40
"""No number of layers, heads or tokens is as large."""
FLOATS = {0: "float32", 1: "float16", 32: "bfloat16"}
"""What general.file_type says of weights that are not quantised, as fcbench calls them."""


class Metadata:
    """The keys and values of a GGUF; vocabularies, which are long lists of strings, left out."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    @property
    def architecture(self) -> str:
        """The name of what it is a model, or an adapter, of."""
        return str(self._values.get("general.architecture", ""))

    @property
    def is_lora(self) -> bool:
        """Whether it is a LoRA adapter."""
        return self._values.get("general.type") == "adapter"

    @property
    def dtype(self) -> str | None:
        """What its weights are stored in; None where they are quantised, or it does not say."""
        found = self._values.get("general.file_type")
        return FLOATS.get(found) if isinstance(found, int) else None

    @property
    def chat_template(self) -> str | None:
        """The tokenizer's own chat template."""
        found = self._values.get("tokenizer.chat_template")
        return found if isinstance(found, str) and found else None

    @property
    def context_length(self) -> int | None:
        """The tokens it was trained to read."""
        return self._number("context_length")

    @property
    def cache_width(self) -> int | None:
        """The numbers that its cache keeps of a token, in all layers; None where it is not said."""
        n_layers, width, n_heads = map(
            self._number, ("block_count", "embedding_length", "attention.head_count")
        )
        if not n_layers or not width or not n_heads:
            return None
        n_kept = self._number("attention.head_count_kv") or n_heads
        key = self._number("attention.key_length") or width // n_heads
        value = self._number("attention.value_length") or width // n_heads
        return n_layers * n_kept * (key + value) or None  # more heads than numbers is nonsense

    def _number(self, key: str) -> int | None:
        value = self._values.get(f"{self.architecture}.{key}")
        # Where layers differ there is a list, of which the largest is enough for all.
        said = value if isinstance(value, list) else [value]
        return max((n for n in said if isinstance(n, int) and 0 < n < MOST), default=None)


def read_metadata(path: Path) -> Metadata:
    """Return what a file says. ModelError for one that is no GGUF, or ends before its metadata."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            return Metadata(_Reader(held).read(path))
    except (struct.error, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{path}: a damaged GGUF: its metadata cannot be read") from error
    except (OSError, ValueError) as error:  # mmap's own for an empty file
        raise ModelError(f"{path}: cannot be read: {error}") from error


class _Reader:
    def __init__(self, held: mmap.mmap) -> None:
        self._held = held
        self._at = 0

    def read(self, path: Path) -> dict[str, Any]:
        if self._held[:4] != MAGIC:
            raise ModelError(f"{path}: no GGUF", hint="python -m fcbench export gguf makes one")
        self._at = 4
        version = self._number("I")
        if version not in VERSIONS:
            raise ModelError(f"{path}: a GGUF of version {version}, known are {VERSIONS}")
        _n_tensors, n_keys = self._number("Q"), self._number("Q")
        values = {}
        for _ in range(n_keys):
            key = self._string()
            values[key] = self._value(self._number("I"))
        return values

    def _value(self, kind: int) -> Any:
        if kind == KIND_OF_STRING:
            return self._string()
        if kind != KIND_OF_ARRAY:
            return self._number(self._code(kind))
        kind, n = self._number("I"), self._number("Q")
        if kind == KIND_OF_STRING:  # a vocabulary: a quarter of a million of them
            for _ in range(n):
                self._skip(self._number("Q"))
            return None
        if kind == KIND_OF_ARRAY:
            return [self._value(KIND_OF_ARRAY) for _ in range(n)]
        layout = struct.Struct(f"<{n}{self._code(kind)}")
        values = list(layout.unpack_from(self._held, self._at))
        self._skip(layout.size)
        return values

    def _code(self, kind: int) -> str:
        if kind not in NUMBERS:
            raise struct.error(f"no such type: {kind}")
        return NUMBERS[kind]

    def _number(self, code: str) -> Any:
        (value,) = struct.unpack_from(f"<{code}", self._held, self._at)
        self._at += struct.calcsize(f"<{code}")
        return value

    def _string(self) -> str:
        n = self._number("Q")
        text = self._held[self._at : self._at + n]
        self._skip(n)
        return text.decode()

    def _skip(self, n: int) -> None:
        self._at += n
        if self._at > len(self._held):
            raise struct.error("the file ends before its metadata does")
