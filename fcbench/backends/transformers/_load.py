"""Load a model, its tokenizer and its adapter, and record what was loaded."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import warnings
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig
from transformers.utils import logging as transformers_logging

from fcbench.backends import refuse_equal_repeats
from fcbench.backends.transformers import _trust, packaged
from fcbench.errors import MissingExtra, ModelError, UsageError, nearest
from fcbench.formats._bounds import bounded
from fcbench.formats._jinja import MODELS_OWN
from fcbench.paths import ADAPTER_WEIGHTS
from fcbench.text import in_a_line
from fcbench.types import ChatTemplate, Decoding, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.backends import ModelOptions

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
UNKNOWN_CONTEXT = 1 << 30
GEMMA_3 = "gemma3"  # what the model types of all of its kinds begin with
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_PROBE = "The quick brown fox"


class Loaded(msgspec.Struct):
    """A model ready to decode: `model` is on its device, in eval mode, adapter applied."""

    model: Any
    tokenizer: Any
    template: ChatTemplate | None
    bos: str
    pad_id: int
    eos_ids: list[int]
    context_length: int
    manifest: dict[str, Json]

    def without_row(self, ids: Sequence[int]) -> str | None:
        """Return the first token of a text for which the model has no row, None if it has all.

        Gemma 3's text models have a tokenizer with one token too many, which no text holds.
        """
        layer = self.model.get_input_embeddings()
        # peft wraps a layer whose rows are trained.
        n_rows = getattr(layer, "original_module", layer).weight.shape[0]
        beyond = next((i for i in ids if i >= n_rows), None)
        return None if beyond is None else str(self.tokenizer.convert_ids_to_tokens(beyond))

    def ids_of(self, tokens: Sequence[str]) -> list[int]:
        """Return the ids of those tokens that are single entries of the vocabulary."""
        ids = self.tokenizer.convert_tokens_to_ids(list(tokens))
        return [i for i in ids if i is not None and i != self.tokenizer.unk_token_id]


class TokenizerTemplate:
    """A tokenizer's own chat template."""

    def __init__(self, tokenizer: Any) -> None:
        self.source = str(tokenizer.chat_template)
        self._tokenizer = tokenizer

    def __call__(self, messages: list[dict[str, Json]], tools: list[dict[str, Json]]) -> str:
        """Return the prompt of a conversation. UsageError if the template refuses it."""
        try:
            with bounded(MODELS_OWN):
                prompt = self._tokenizer.apply_chat_template(
                    messages, tools=tools or None, tokenize=False, add_generation_prompt=True
                )
        except UsageError:
            raise
        # The boundary to the model's own template: an expression in it may raise anything.
        except Exception as error:
            raise UsageError(f"{MODELS_OWN} refuses this conversation: {error}") from error
        return str(prompt)


def load(name: str, options: ModelOptions, quantization: Any = None) -> Loaded:
    """Return a model by hub name, folder, or `gemma3-270m`.

    `quantization` is a configuration of transformers' for weights of fewer bits. Raises ModelError
    for a missing folder, a model that cannot be loaded, and an adapter that does not fit;
    UsageError for an unknown dtype. An adapter that changes no logit warns.
    """
    check(name, options)
    dtype = dtype_of(options.dtype)
    folder = locate(name)
    trusted = options.trust_remote_code
    said, _ = _load_or_explain(name, PreTrainedConfig.get_config_dict, folder)
    _trust.refuse_demands(name, said, trusted=trusted)
    code = {"trust_remote_code": trusted}  # left open, transformers asks at the terminal
    config = _load_or_explain(name, AutoConfig.from_pretrained, folder, **code)
    _refuse_overflow(name, config.model_type, options)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = _load_or_explain(name, AutoTokenizer.from_pretrained, folder, **code)
    quantized = {} if quantization is None else {"quantization_config": quantization}
    model = _load_or_explain(
        name,
        AutoModelForCausalLM.from_pretrained,
        folder,
        config=config,
        dtype=DTYPES[dtype],
        use_safetensors=True,
        **code,
        **quantized,
    )
    _refuse_own_adapter(name, model)
    if torch.cuda.is_available() and not quantized:  # which is where it belongs already
        model = model.to("cuda")
    model.eval()
    manifest = {
        "name": name,
        "backend": "transformers",
        "dtype": dtype,
        "device": model.device.type,
        "revision": getattr(model.config, "_commit_hash", None),
        "weights_sha256": sha256_of(folder, "*.safetensors"),
        "provenance": provenance_of(name),
        "tokenizer_sha256": hashlib.sha256(
            tokenizer.backend_tokenizer.to_str().encode()
        ).hexdigest(),
        "template_sha256": None,
        "adapter": None,
    }
    if tokenizer.chat_template is not None:
        manifest["template_sha256"] = hashlib.sha256(
            str(tokenizer.chat_template).encode()
        ).hexdigest()
    if trusted:  # said where it is so alone: runs of before said nothing
        manifest["trust_remote_code"] = True
    if options.adapter is not None:
        model, manifest["adapter"] = _apply_adapter(model, tokenizer, options.adapter)
    return wrap(model, tokenizer, manifest)


def tokenizer_of(name: str, options: ModelOptions) -> Any:
    """Return a model's tokenizer alone. ModelError if it cannot be loaded."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    code = {"trust_remote_code": options.trust_remote_code}
    return _load_or_explain(name, AutoTokenizer.from_pretrained, locate(name), **code)


def wrap(model: Any, tokenizer: Any, manifest: dict[str, Json]) -> Loaded:
    """Return a model that is already in memory as a loaded one; `manifest` is what runs record."""
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        template=None if tokenizer.chat_template is None else TokenizerTemplate(tokenizer),
        bos=bos_of(tokenizer),
        pad_id=_first_id(tokenizer.pad_token_id, tokenizer.eos_token_id),
        eos_ids=_eos_ids(model, tokenizer),
        context_length=getattr(model.config, "max_position_embeddings", UNKNOWN_CONTEXT),
        manifest=manifest,
    )


def check(name: str, options: ModelOptions) -> None:
    """Raise ModelError or UsageError for what is wrong without a model being loaded."""
    dtype_of(options.dtype)
    if options.native:
        raise UsageError(
            f"{name}: transformers has no chat endpoint: native prompts are for servers",
            hint="--prompt chat: the model's own template, and the grammar reads the calls",
        )
    refuse_equal_repeats(options)
    is_constrained = Decoding(options.decode).is_constrained
    if is_constrained and importlib.util.find_spec("llguidance") is None:
        raise MissingExtra("llguidance", "constrain")
    if options.adapter is not None:
        _adapter_files(options.adapter)
    path = Path(name).expanduser()
    if name == packaged.NAME:
        _refuse_overflow(name, GEMMA_3, options)
    if path.is_dir():
        _check_folder(path, name)
        _refuse_overflow(name, _model_type(path), options)
    is_hub_name = name.count("/") == 1 and not name.startswith((".", "/", "~"))
    if not (path.is_dir() or is_hub_name or name == packaged.NAME):
        hint = nearest(name, [packaged.NAME]) if "/" not in name else None
        raise ModelError(
            f"{name}: no such model folder", hint or "a folder, OWNER/NAME, or gemma3-270m"
        )


def _refuse_overflow(name: str, model_type: str, options: ModelOptions) -> None:
    if options.dtype == "float16" and model_type.startswith(GEMMA_3) and not options.allow_float16:
        raise UsageError(
            f"{name}: Gemma 3 overflows in float16: what its layers hand on exceeds 65504, the "
            "largest number there, and becomes infinity, then NaN",
            hint="--dtype bfloat16 or float32; --allow-float16 to try all the same",
        )


def _check_folder(folder: Path, name: str) -> None:
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelError(f"{name}: is an adapter", hint=f"--model BASE --adapter {name}")
        raise ModelError(f"{name}: holds no config.json", hint="a folder made by save_pretrained")
    if (folder / "adapter_config.json").is_file():
        raise _own_adapter(name)
    _trust.refuse_pickles(folder, name)
    # transformers makes up a tokenizer of five tokens rather than say that there is none.
    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise ModelError(f"{name}: holds no tokenizer", hint="tokenizer.save_pretrained(folder)")


def _refuse_own_adapter(name: str, model: Any) -> None:
    if getattr(model, "_hf_peft_config_loaded", False):
        raise _own_adapter(name)


def _own_adapter(name: str) -> ModelError:
    """Return the error for what transformers would apply unasked, and no manifest would record."""
    return ModelError(
        f"{name}: holds a model and an adapter, of which a run can only name one",
        hint="move adapter_config.json and its weights to a folder of their own: --adapter FOLDER",
    )


def _model_type(folder: Path) -> str:
    """Return what a folder's config says, "" where it says nothing: loading tells what is wrong."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        return ""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""


def locate(name: str) -> str:
    """Return what from_pretrained takes: a folder, or a hub name for it to find."""
    if name == packaged.NAME:
        source = files("fcbench.formats") / "functiongemma.jinja"
        return str(packaged.prepare(source.read_text(encoding="utf-8")))
    path = Path(name).expanduser()
    return str(path) if path.is_dir() else name


def dtype_of(name: str) -> str:
    """Return the name of the dtype that "auto" or a name stands for. UsageError if unknown."""
    if name == "auto":
        if torch.cuda.is_available():
            return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
        capabilities = torch.cpu.get_capabilities()
        # Without these instructions bfloat16 is emulated and slower than float32.
        fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
        return "bfloat16" if fast else "float32"
    if name not in DTYPES:
        raise UsageError(f"no such dtype: {name}", hint=nearest(name, ["auto", *DTYPES]))
    return name


def _load_or_explain(name: str, loader: Any, folder: str, **options: Any) -> Any:
    try:
        with _trust.safetensors_only(name):
            return loader(folder, **options)
    except ModelError:
        raise
    # The boundary to somebody's model files: transformers raises what it stumbles over.
    except Exception as error:
        untrusted = _trust.needs_code(name, error)
        if untrusted is not None:
            raise untrusted from error
        hint = None if Path(folder).is_dir() else "no folder has this name either"
        raise ModelError(f"{name}: cannot be loaded: {in_a_line(error)}", hint) from error


def bos_of(tokenizer: Any) -> str:
    """Return the token that the tokenizer puts before every text, or ""."""
    return str(tokenizer.bos_token) if tokenizer.bos_token_id in tokenizer.encode("") else ""


def _first_id(*ids: int | None) -> int:
    # A tokenizer without a pad token may pad with anything: the mask hides it.
    return next((i for i in ids if i is not None), 0)


def _eos_ids(model: Any, tokenizer: Any) -> list[int]:
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return sorted({i for i in [*ids, tokenizer.eos_token_id] if i is not None})


def provenance_of(name: str) -> str | None:
    return "dequantised from Q4_K_M" if name == packaged.NAME else None


def sha256_of(folder: str, pattern: str) -> str | None:
    """Return the hash of a local folder's weights; a hub model has its revision instead."""
    if not Path(folder).is_dir():
        return None
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob(pattern)):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


# Adapters


def _apply_adapter(model: Any, tokenizer: Any, adapter: str) -> tuple[Any, dict[str, Json]]:
    """Return the model with a LoRA adapter on top, and the proof that it is active."""
    try:
        from peft import PeftModel, get_peft_model_state_dict
        from peft.tuners.trainable_tokens import TrainableTokensLayer
    except ImportError as error:
        raise MissingExtra("peft", "train") from error
    folder, weights = _adapter_files(adapter)
    base = _probe_logits(model, tokenizer)
    try:
        with warnings.catch_warnings(record=True) as said, _trust.safetensors_only(adapter):
            warnings.simplefilter("always")
            adapted = PeftModel.from_pretrained(model, str(folder), use_safetensors=True)
    except ModelError:
        raise
    # The boundary to somebody's adapter files, as above.
    except Exception as error:
        raise ModelError(
            f"{adapter}: does not fit the model (another architecture?): {in_a_line(error)}"
        ) from error
    # peft leaves layers as they were and only warns when keys are missing, and says nothing at all
    # when the file holds more than the model takes.
    missing = any("missing adapter keys" in str(warning.message) for warning in said)
    # A file holds the embeddings as well where they were resized or trained. Left to find that out,
    # peft asks the hub for the base's config, and warns of a base that is not there.
    plain, whole = (
        get_peft_model_state_dict(adapted, save_embedding_layers=with_embeddings).keys()
        for with_embeddings in (False, True)
    )
    held = _tensor_names(weights)
    if missing or (len(held) != len(plain) and held != whole):
        raise ModelError(
            f"{adapter}: does not fit the model (another architecture?): "
            "its layers are not the model's"
        )
    adapted.eval()
    difference = float((_probe_logits(adapted, tokenizer) - base).abs().max())
    if difference == 0:
        warnings.warn(
            f"{adapter}: the adapter changes no logit of the base model (never trained?)",
            stacklevel=2,
        )
    # Left apart, trained token rows cost a copy of the whole embedding in every pass. They replace
    # rows, so that merging them changes nothing.
    for module in adapted.modules():
        if isinstance(module, TrainableTokensLayer):
            module.merge()
    return adapted, {
        "name": adapter,
        "sha256": sha256_of(str(folder), "adapter_*"),
        "max_logit_difference": difference,
        "active": difference > 0,
    }


def _adapter_files(adapter: str) -> tuple[Path, Path]:
    """Return a LoRA adapter's folder and weights. ModelError for another kind, or half of one."""
    folder = Path(adapter).expanduser()
    weights = folder / ADAPTER_WEIGHTS
    if folder.is_dir():
        _trust.refuse_pickles(folder, adapter)
    for needed in (folder / _trust.ADAPTER_CONFIG, weights):
        if not needed.is_file():
            raise ModelError(f"{adapter}: no adapter here: {needed.name} is missing")
    _trust.refuse_other_adapters(folder, adapter)
    return folder, weights


def _tensor_names(path: Path) -> set[str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return set(file.keys())


def _probe_logits(model: Any, tokenizer: Any) -> torch.Tensor:
    """Return the logits (T, V) float32 of a short fixed text."""
    ids = torch.tensor([tokenizer.encode(_PROBE)], device=model.device)
    with torch.inference_mode():
        logits: torch.Tensor = model(ids).logits[0].float()
    return logits
