"""A stand-in for vLLM, which cannot be installed here: its signatures, computed by transformers.

It is not vLLM, and that a test passes beside it says nothing of vLLM's engine. It is strict where
vLLM is: what a signature does not have is a TypeError, what a value cannot be a ValueError, and one
prompt that is too long refuses all. Source: vllm/entrypoints/llm.py, vllm/sampling_params.py,
vllm/outputs.py, vllm/lora/request.py, vllm/lora/peft_helper.py of github.com/vllm-project/vllm, as
of November 2026. test_vllm.py holds both to the same contract, vLLM where it is installed.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

ENGINE_FIELDS = frozenset(
    {
        "max_num_seqs",
        "max_model_len",
        "enable_prefix_caching",
        "generation_config",
        "load_format",
        "enable_lora",
        "max_loras",
        "max_lora_rank",
        "disable_log_stats",
    }
)
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


@dataclass
class SamplingParams:
    """The fields that matter here, with vLLM's defaults."""

    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    max_tokens: int | None = 16
    prompt_logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    include_stop_str_in_output: bool = False

    def __post_init__(self) -> None:
        """Refuse what vLLM refuses."""
        if self.stop and not self.detokenize:
            raise ValueError("stop strings are only supported when detokenize is True.")
        if not 0 < self.top_p <= 1 or self.top_k < -1 or self.temperature < 0:
            raise ValueError("not a way to sample")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError("max_tokens must be at least 1")


@dataclass
class LoRARequest:
    """An adapter to apply, by its folder."""

    lora_name: str
    lora_int_id: int
    lora_path: str = ""
    base_model_name: str | None = None
    tensorizer_config_dict: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse what vLLM refuses."""
        if self.lora_int_id < 1:
            raise ValueError(f"id must be > 0, got {self.lora_int_id}")
        if not self.lora_path:
            raise ValueError("lora_path cannot be empty")


@dataclass
class Logprob:
    """The log probability of a token."""

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    """One answer. The token that ended it is in `token_ids`."""

    index: int
    text: str
    token_ids: Sequence[int]
    cumulative_logprob: float | None
    logprobs: Any
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    """What came of one prompt."""

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int] | None
    prompt_logprobs: Any
    outputs: list[CompletionOutput] = field(default_factory=list)
    finished: bool = True


class _ModelConfig:
    def __init__(self, config: Any, dtype: Any, max_model_len: int) -> None:
        self.dtype = dtype
        self.max_model_len = max_model_len
        self.revision = None
        self._n_rows = config.vocab_size

    def get_vocab_size(self) -> int:
        """Return the number of rows of the embedding."""
        return int(self._n_rows)


class LLM:
    """An engine of vLLM's signatures that asks transformers, one prompt at a time."""

    made: list[LLM]

    def __init__(  # noqa: PLR0913  vLLM's signature
        self,
        model: str,
        *,
        runner: str = "auto",
        tokenizer: str | None = None,
        trust_remote_code: bool = False,
        tensor_parallel_size: int = 1,
        dtype: str = "auto",
        seed: int = 0,
        gpu_memory_utilization: float = 0.92,
        enforce_eager: bool = False,
        **kwargs: Any,
    ) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        del runner, tokenizer, trust_remote_code, tensor_parallel_size, seed
        del gpu_memory_utilization, enforce_eager
        for unknown in set(kwargs) - ENGINE_FIELDS:
            raise TypeError(f"EngineArgs.__init__() got an unexpected keyword argument '{unknown}'")
        if kwargs.get("max_lora_rank", 16) not in RANKS:
            raise ValueError("max_lora_rank is one of those there are kernels for")
        self.arguments = {"model": model, "dtype": dtype, **kwargs}
        self._model = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
        self._model.eval()
        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self._adapted: dict[int, Any] = {}
        most = kwargs.get("max_model_len", self._model.config.max_position_embeddings)
        model_config = _ModelConfig(self._model.config, self._model.dtype, most)
        self.llm_engine = types.SimpleNamespace(model_config=model_config)
        self.asked: list[tuple[int, Any]] = []
        type(self).made.append(self)

    def get_tokenizer(self) -> Any:
        """Return the tokenizer."""
        return self._tokenizer

    def generate(  # noqa: PLR0913  vLLM's signature
        self,
        prompts: Any,
        sampling_params: Any = None,
        *,
        use_tqdm: bool = True,
        lora_request: LoRARequest | None = None,
        priority: list[int] | None = None,
        tokenization_kwargs: dict[str, Any] | None = None,
    ) -> list[RequestOutput]:
        """Return the answers in the order of the prompts."""
        del use_tqdm, priority, tokenization_kwargs
        many = sampling_params if isinstance(sampling_params, list) else None
        if many is not None and len(many) != len(prompts):
            raise ValueError("The lengths of prompts and params must be the same.")
        all_ids = [list(prompt["prompt_token_ids"]) for prompt in prompts]
        for ids in all_ids:
            if not ids or len(ids) >= self.llm_engine.model_config.max_model_len:
                raise ValueError(f"The prompt of {len(ids)} tokens is too long")
            if max(ids) >= self.llm_engine.model_config.get_vocab_size():
                raise ValueError(f"Token id {max(ids)} is out of vocabulary")
        model = self._model if lora_request is None else self._with(lora_request)
        params = many or [sampling_params] * len(prompts)
        self.asked.append((len(prompts), params))
        return [self._one(model, ids, each) for ids, each in zip(all_ids, params, strict=True)]

    def _with(self, lora: LoRARequest) -> Any:
        from peft import PeftConfig, PeftModel
        from transformers import AutoModelForCausalLM

        if not self.arguments.get("enable_lora"):
            raise ValueError("Got lora_request but LoRA is not enabled!")
        if lora.lora_int_id not in self._adapted:
            config: Any = PeftConfig.from_pretrained(lora.lora_path)
            if config.r > self.arguments["max_lora_rank"]:
                raise ValueError(f"LoRA rank {config.r} is greater than max_lora_rank")
            if config.trainable_token_indices:
                raise ValueError("token_adapter.trainable_tokens_delta is unsupported LoRA weight")
            base = AutoModelForCausalLM.from_pretrained(
                self.arguments["model"], dtype=self._model.dtype
            )
            adapted = PeftModel.from_pretrained(base, lora.lora_path)
            self._adapted[lora.lora_int_id] = adapted.eval()
        return self._adapted[lora.lora_int_id]

    def _one(self, model: Any, ids: list[int], params: SamplingParams) -> RequestOutput:
        import torch

        read = torch.tensor([ids])
        told = None
        with torch.inference_mode():
            if params.prompt_logprobs is not None:
                logprobs = model(read).logits[0].float().log_softmax(-1)
                following = zip(ids[1:], logprobs, strict=False)
                told = [None, *({id: Logprob(float(row[id]))} for id, row in following)]
            eos = self._model.generation_config.eos_token_id
            ends = {*(params.stop_token_ids or []), *(eos if isinstance(eos, list) else [eos])}
            written: list[int] = []
            draw = torch.Generator().manual_seed(params.seed or 0)
            while len(written) < (params.max_tokens or 16):
                logits = model(torch.tensor([ids + written])).logits[0, -1].float()
                if params.temperature:
                    probabilities = (logits / params.temperature).softmax(-1)
                    token = int(torch.multinomial(probabilities, 1, generator=draw))
                else:
                    token = int(logits.argmax())
                written.append(token)
                if token in ends:
                    break
        stopped = bool(written) and written[-1] in ends
        text = self._tokenizer.decode(written) if params.detokenize else ""
        output = CompletionOutput(
            0, text, written, None, None, finish_reason="stop" if stopped else "length"
        )
        return RequestOutput("0", None, ids, told, [output])


def install(monkeypatch: Any) -> type[LLM]:
    """Put the stand-in where vLLM would be imported from; return its LLM, which remembers."""
    engine = type("LLM", (LLM,), {"made": []})
    modules = {name: types.ModuleType(name) for name in ("vllm", "vllm.lora", "vllm.lora.request")}
    for name, module in modules.items():
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        monkeypatch.setitem(sys.modules, name, module)
    package: Any = modules["vllm"]
    package.__version__ = "0.0+stand-in"
    package.LLM, package.SamplingParams = engine, SamplingParams
    lora: Any = modules["vllm.lora.request"]
    lora.LoRARequest = LoRARequest
    package.__file__ = str(Path(__file__))
    return engine
