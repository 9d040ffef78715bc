"""A model in vLLM: `vllm:MODEL` in this process, `vllm:http://HOST:PORT#MODEL` in a server.

Source: vllm/entrypoints/llm.py, vllm/sampling_params.py, vllm/outputs.py, vllm/lora/request.py and
vllm/config/lora.py of github.com/vllm-project/vllm, as of November 2026. vLLM could not be
installed where this was written. It is tested beside a stand-in of those signatures, and by a
contract test where vLLM is.

MODEL is what transformers takes, and is asked the same: its tokenizer's chat template and bos, the
prompt as token ids, the same stop tokens, and the text that the tokenizer makes of the ids. A
server is the openai backend, which knows vLLM when it meets it. What differs from transformers:

- logits that are not finite are not noticed, vLLM goes on with a token of its own;
- an adapter with trained tokens or other trained layers is refused, since vLLM cannot apply it:
  merge it. fcbench trains such adapters by default;
- native prompts and constrained decoding are for `vllm serve`, or for transformers.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcbench import registry
from fcbench.backends._served import seed_of
from fcbench.backends._windows import windows
from fcbench.errors import BackendError, MissingExtra, ModelError, UsageError
from fcbench.text import in_a_line
from fcbench.types import Decoding, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.backends import ModelOptions, Outline
    from fcbench.types import Backend, ChatTemplate, Json, Request, Stop

CHUNK = 256
"""Prompts that the engine is given at a time: what was answered before is kept when one fails."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM makes room for."""
STOPS: dict[str, Stop] = {"stop": "token", "length": "limit"}
UNSUPPORTED = {
    "trainable_token_indices": "trained tokens",
    "modules_to_save": "layers trained as a whole",
    "use_dora": "DoRA",
}
_PROBE = "The quick brown fox"


def open_model(name: str, options: ModelOptions) -> Backend:
    """Return the backend of a hub name, a folder or the packaged model, or of a server.

    MissingExtra without vLLM, ModelError for what it cannot load.
    """
    check_model(name, options)
    if _is_served(name):
        served: Backend = registry.load("backends", "openai").OpenAIBackend(name, options, "vllm")
        return served
    return VllmBackend(name, options)


def check_model(name: str, options: ModelOptions) -> None:
    """Raise UsageError, ModelError or MissingExtra for what is wrong without loading the model."""
    if _is_served(name):
        registry.load("backends", "openai").check_model(name, options)
        return
    if options.native:
        raise UsageError(
            f"vllm:{name}: the engine in this process reads no calls: native prompts are for a "
            "server",
            hint=f"vllm serve {name} --enable-auto-tool-choice --tool-call-parser …, then "
            f"--model vllm:http://127.0.0.1:8000#{name}",
        )
    if Decoding(options.decode).is_constrained:
        raise UsageError(
            f"vllm:{name}: vLLM is not held to a grammar here: no --decode {options.decode}",
            hint=f"--model {name}: transformers is",
        )
    if options.prefix_memory:
        raise UsageError(
            f"vllm:{name}: vLLM has its own cache of beginnings: no --prefix-memory but 0 here"
        )
    _adapter_config(options)
    if importlib.util.find_spec("vllm") is None:
        raise MissingExtra("vllm", "vllm")
    from fcbench.backends.transformers import check_model as check_transformers

    check_transformers(name, options)


def outline(name: str, options: ModelOptions) -> Outline:
    """Return what the model's tokenizer says, or its server."""
    kind = "openai" if _is_served(name) else "transformers"
    found: Outline = registry.load("backends", kind).outline(name, options)
    return found


def engine_arguments(name: str, options: ModelOptions) -> dict[str, Any]:
    """Return the arguments of vllm.LLM, which loads a model."""
    from fcbench.backends.transformers import dtype_of, locate

    arguments: dict[str, Any] = {
        "model": locate(name),
        # "auto" would be another dtype than elsewhere: vLLM takes the weights', or float16.
        "dtype": dtype_of(options.dtype),
        # The model's own would limit the length of answers, and no more is taken from it.
        "generation_config": "vllm",
        # Without it vLLM reads pickles where a model has nothing else.
        "load_format": "safetensors",
        "trust_remote_code": options.trust_remote_code,
    }
    if options.batch_size is not None:
        arguments["max_num_seqs"] = options.batch_size
    if options.prefix_memory == 0:
        arguments["enable_prefix_caching"] = False
    config = _adapter_config(options)
    if config is not None:
        rank = max([config.get("r", 1), *(config.get("rank_pattern") or {}).values()])
        arguments |= {
            "enable_lora": True,
            "max_loras": 1,
            "max_lora_rank": next((r for r in RANKS if r >= rank), rank),
        }
    return arguments


def sampling_arguments(
    request: Request, decoding: Decoding, stop_ids: Sequence[int]
) -> dict[str, Any]:
    """Return the arguments of vllm.SamplingParams: softmax(logits / temperature), no less.

    The text is made of the ids, so that vLLM has not to: stop strings, which need its text, would
    also end a turn where the model spells a token out.
    """
    return {
        "temperature": decoding.temperature,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "max_tokens": decoding.max_new_tokens,
        "stop_token_ids": list(stop_ids),
        "seed": seed_of(request, decoding),
        "detokenize": False,
        "skip_special_tokens": False,
    }


class VllmBackend:
    """Answers prompts with vLLM's engine in this process, which divides the work itself."""

    has_answered = False

    def __init__(self, name: str, options: ModelOptions) -> None:
        import vllm

        from fcbench.backends.transformers import TokenizerTemplate
        from fcbench.backends.transformers._load import bos_of

        self._engine = _load(name, engine_arguments(name, options))
        self._tokenizer = self._engine.get_tokenizer()
        config = self._engine.llm_engine.model_config
        self._context_length = int(config.max_model_len)
        self._n_rows = int(config.get_vocab_size())
        has_template = getattr(self._tokenizer, "chat_template", None) is not None
        self.template: ChatTemplate | None = (
            TokenizerTemplate(self._tokenizer) if has_template else None
        )
        self.bos = bos_of(self._tokenizer)
        self.manifest = self._describe(name, str(vllm.__version__))
        if options.trust_remote_code:
            self.manifest["trust_remote_code"] = True
        self._adapter: Any = None
        if options.adapter is not None:
            self._adapter, self.manifest["adapter"] = self._apply(options.adapter)

    def answer(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Sample]:
        """Yield one sample a request, CHUNK at a time.

        A prompt that exceeds the model's context is an error. ModelError when the engine fails at
        the first ones, BackendError when it does later.
        """
        stop_ids = self._ids_of(decoding.stops)
        # No prompt is read ahead: what is read when a run is interrupted is what it finishes.
        for part in windows(requests, CHUNK):
            chunk = []
            for request in part:
                ids = self._encode(request.prompt)
                wrong = self._wrong_with(ids, decoding)
                if wrong is None:
                    chunk.append((request, ids))
                else:
                    yield _sample(request, prompt_tokens=len(ids), error=wrong)
            if chunk:
                yield from self._answer(chunk, decoding, stop_ids)

    def _answer(
        self,
        chunk: Sequence[tuple[Request, list[int]]],
        decoding: Decoding,
        stop_ids: Sequence[int],
    ) -> Iterator[Sample]:
        started = time.perf_counter()
        outputs = self._generate(chunk, decoding, stop_ids)
        seconds = round((time.perf_counter() - started) / len(chunk), 4)
        self.has_answered = True
        for (request, ids), output in zip(chunk, outputs, strict=True):
            yield self._read(request, ids, output.outputs[0], stop_ids, seconds)

    def _generate(
        self,
        chunk: Sequence[tuple[Request, list[int]]],
        decoding: Decoding,
        stop_ids: Sequence[int],
    ) -> list[Any]:
        from vllm import SamplingParams

        params = [
            SamplingParams(**sampling_arguments(request, decoding, stop_ids))
            for request, _ in chunk
        ]
        try:
            return self._run([ids for _, ids in chunk], params, self._adapter)
        # The boundary to the engine: out of memory, a worker that died, anything.
        except Exception as error:
            what = f"{self.manifest['name']}: the engine failed: {_named(error)}"
            if self.has_answered:
                raise BackendError(what) from error
            raise ModelError(
                what, hint="out of memory: a smaller --batch-size or --max-new-tokens"
            ) from error

    def _run(self, prompts: Sequence[list[int]], params: Any, adapter: Any) -> list[Any]:
        outputs: list[Any] = self._engine.generate(
            [{"prompt_token_ids": ids} for ids in prompts],
            params,
            use_tqdm=False,
            lora_request=adapter,
        )
        return outputs

    def _read(
        self,
        request: Request,
        ids: Sequence[int],
        written: Any,
        stop_ids: Sequence[int],
        seconds: float,
    ) -> Sample:
        if written.finish_reason not in STOPS:
            what = f"the engine ended the answer: {written.finish_reason}"
            return _sample(request, prompt_tokens=len(ids), error=what)
        tokens = list(written.token_ids)
        shown = tokens
        # The format's own stop token is evidence and stays; a foreign one would read as text.
        if written.finish_reason == "stop" and tokens and tokens[-1] not in stop_ids:
            shown = tokens[:-1]
        text = self._tokenizer.decode(
            shown, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return _sample(
            request,
            text=str(text),
            prompt_tokens=len(ids),
            output_tokens=len(tokens),
            seconds=seconds,
            stop=STOPS[written.finish_reason],
        )

    def _wrong_with(self, ids: Sequence[int], decoding: Decoding) -> str | None:
        """Return what makes a prompt unanswerable: vLLM refuses all of a batch for one."""
        if not ids:
            return "the prompt holds no token"
        if max(ids) >= self._n_rows:
            return f"the prompt holds the token {max(ids)}, for which the model has no row"
        limit, most = decoding.max_new_tokens, self._context_length
        if len(ids) + limit > most:
            what = f"{len(ids)} prompt tokens and {limit} new ones exceed the model's context"
            return f"{what} of {most}"
        return None

    def _encode(self, prompt: str) -> list[int]:
        """Return a prompt's token ids. The prompt itself says where it begins: nothing is added."""
        return list(self._tokenizer.encode(prompt, add_special_tokens=False))

    def _ids_of(self, tokens: Sequence[str]) -> list[int]:
        """Return the ids of those tokens that are single entries of the vocabulary."""
        ids = self._tokenizer.convert_tokens_to_ids(list(tokens))
        unknown = getattr(self._tokenizer, "unk_token_id", None)
        return sorted({i for i in ids if i is not None and i != unknown})

    def _describe(self, name: str, version: str) -> dict[str, Json]:
        from fcbench.backends.transformers import locate
        from fcbench.backends.transformers._load import provenance_of, sha256_of

        config = self._engine.llm_engine.model_config
        template = None if self.template is None else self.template.source
        return {
            "name": f"vllm:{name}",
            "backend": "vllm",
            "version": version,
            "dtype": str(config.dtype).removeprefix("torch."),
            "revision": config.revision,
            "weights_sha256": sha256_of(locate(name), "*.safetensors"),
            "provenance": provenance_of(name),
            "template_sha256": None
            if template is None
            else hashlib.sha256(template.encode()).hexdigest(),
            "adapter": None,
        }

    def _apply(self, adapter: str) -> tuple[Any, dict[str, Json]]:
        """Return what asks for an adapter, and the proof that it is active."""
        from vllm.lora.request import LoRARequest

        from fcbench.backends.transformers._load import sha256_of

        folder = str(Path(adapter).expanduser())
        asks = LoRARequest(lora_name=Path(folder).name, lora_int_id=1, lora_path=folder)
        try:
            pairs = zip(self._probe(None), self._probe(asks), strict=True)
        # The boundary to somebody's adapter files: vLLM raises what it stumbles over.
        except Exception as error:
            raise ModelError(
                f"{adapter}: does not fit the model: {_named(error)}",
                hint="python -m fcbench merge BASE --adapter … --out FOLDER, then vllm:FOLDER",
            ) from error
        difference = max(abs(plain - adapted) for plain, adapted in pairs)
        if difference == 0:
            warnings.warn(
                f"{adapter}: the adapter changes nothing in the base model (never trained?)",
                stacklevel=2,
            )
        return asks, {
            "name": adapter,
            "sha256": sha256_of(folder, "adapter_*"),
            "max_logprob_difference": difference,
            "active": difference > 0,
        }

    def _probe(self, adapter: Any) -> list[float]:
        """Return the log probabilities of the tokens of a short fixed text."""
        from vllm import SamplingParams

        ids = self._encode(self.bos + _PROBE)
        params = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0)
        (output,) = self._run([ids], params, adapter)
        # Of the first token none is told: nothing stands before it.
        told = zip(ids[1:], output.prompt_logprobs[1:], strict=True)
        return [float(known[id].logprob) for id, known in told]


def _is_served(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def _load(name: str, arguments: dict[str, Any]) -> Any:
    from vllm import LLM

    try:
        return LLM(**arguments)
    # The boundary to somebody's model files and drivers: vLLM raises what it stumbles over.
    except Exception as error:
        raise ModelError(f"vllm:{name}: cannot be loaded: {_named(error)}") from error


def _adapter_config(options: ModelOptions) -> dict[str, Json] | None:
    """Return an adapter's config, None without one. UsageError for what vLLM does not apply."""
    if options.adapter is None:
        return None
    path = Path(options.adapter).expanduser() / "adapter_config.json"
    if not path.is_file():
        raise ModelError(f"{options.adapter}: no adapter here: {path.name} is missing")
    try:
        config: dict[str, Json] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path}: not JSON: {error}") from error
    for key, what in UNSUPPORTED.items():
        if config.get(key):
            raise UsageError(
                f"{options.adapter}: vLLM applies no {what} ({key})",
                hint=f"python -m fcbench merge BASE --adapter {options.adapter} --out FOLDER, "
                "then vllm:FOLDER",
            )
    return config


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {in_a_line(error)}"


def _sample(request: Request, **fields: Any) -> Sample:
    return Sample(request.case.id, request.repeat, prompt_sha256=request.prompt_sha256, **fields)
