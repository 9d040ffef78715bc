"""The same prompts answered by llama.cpp, from the GGUF, and by transformers, from the folder."""

from __future__ import annotations

import gc
import http.client
import importlib.util
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fcbench import prompts
from fcbench.backends import ModelOptions
from fcbench.errors import MissingExtra, ModelError
from fcbench.formats import module_of
from fcbench.suite import load_suite
from fcbench.types import Decoding, Json, Record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

N_PROMPTS = 3
MAX_NEW_TOKENS = 128
_CONTEXT = 4096
_SECONDS = 600  # for one answer, before llama.cpp is taken for dead


class Answer(Record, frozen=True):
    """Two greedy answers to a case's chat prompt, without the stop token.

    `same_tokens` is whether llama.cpp makes the same tokens of the prompt's text as the tokenizer.
    """

    case_id: str
    transformers: str
    llama: str
    same_tokens: bool

    @property
    def same_text(self) -> bool:
        """Whether both wrote the same."""
        return self.transformers == self.llama


def check_installed() -> None:
    """Raise MissingExtra without llama.cpp."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise MissingExtra("xllamacpp", "llama")


def answer_both(folder: Path, gguf: Path, format: str, *, adds_bos: bool) -> list[Answer]:
    """Return the answers to the first cases of mobile_actions. ModelError if one cannot answer.

    llama.cpp is asked as Ollama asks it: the prompt as text, control tokens not written out.
    """
    from fcbench.backends.transformers import open_model

    stops = module_of(format).STOP_TOKENS
    backend = open_model(str(folder), ModelOptions(dtype="float32"))
    style = prompts.Style(format, backend.template, backend.bos)
    requests = prompts.requests(load_suite("mobile_actions").cases[:N_PROMPTS], "chat", style)
    decoding = Decoding(max_new_tokens=MAX_NEW_TOKENS, stops=stops, format=format)
    texts = {
        sample.case_id: sample.text if sample.error is None else f"error: {sample.error}"
        for sample in backend.answer(requests, decoding)
    }
    tokenizer = backend._loaded.tokenizer  # noqa: SLF001  loaded once, for both
    ids = [tokenizer.encode(request.prompt, add_special_tokens=False) for request in requests]
    bos = backend.bos if adds_bos else ""
    # Two models at a time are more than a small machine has room for.
    del backend
    gc.collect()
    answers = _ask_llama(gguf, [r.prompt.removeprefix(bos) for r in requests], stops)
    return [
        Answer(request.case.id, _without(stops, texts[request.case.id]), text, tokens == expected)
        for request, (text, tokens), expected in zip(requests, answers, ids, strict=True)
    ]


def _without(stops: Sequence[str], text: str) -> str:
    return next((text.removesuffix(stop) for stop in stops if text.endswith(stop)), text)


def _ask_llama(gguf: Path, texts: Sequence[str], stops: Sequence[str]) -> list[tuple[str, Json]]:
    """Return what llama.cpp writes after each text, and the tokens that it makes of the text."""
    import torch
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    # As torch, which obeys OMP_NUM_THREADS: one more than are free is ten times slower.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = torch.get_num_threads()
    params.n_ctx, params.n_parallel, params.verbosity = _CONTEXT, 1, -1
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise ModelError(f"{gguf}: llama.cpp cannot load it: {error}") from error
    address = str(server.listening_address)
    found = []
    for text in texts:
        said = _post(
            address,
            "/completion",
            {"prompt": text, "n_predict": MAX_NEW_TOKENS, "temperature": 0.0, "stop": list(stops)},
        )
        tokens = _post(address, "/tokenize", {"content": text, "add_special": True})
        found.append((str(said["content"]), tokens["tokens"]))
    del server  # which ends it
    return found


def _post(address: str, path: str, body: dict[str, Json]) -> Any:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=_SECONDS)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        said = response.read()
        if response.status != http.client.OK:
            raise ModelError(f"llama.cpp refuses {path}: {said.decode(errors='replace')[:300]}")
        return json.loads(said)
    except (OSError, http.client.HTTPException, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise ModelError(f"llama.cpp does not answer {path}: {what}") from error
    finally:
        connection.close()
