"""The model to train: loaded, and with what is trained of it marked."""

from __future__ import annotations

import importlib.util
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcbench.backends import ModelOptions, check_model
from fcbench.backends.transformers import dtype_of, load, safetensors_only
from fcbench.errors import MissingExtra, UsageError, nearest
from fcbench.train import _attention, _tokens

if TYPE_CHECKING:
    from fcbench.backends.transformers import Loaded
    from fcbench.formats._wire import Wire
    from fcbench.train._config import Config


def check_method(config: Config) -> None:
    """Raise MissingExtra for a package that the method needs and that is not installed.

    UsageError and ModelError for an adapter that cannot be gone on from.
    """
    needed = {"lora": ["peft"], "qlora": ["peft", "bitsandbytes"], "full": []}[config.method]
    for package in [*needed, "accelerate", "datasets"]:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "qlora" if package == "bitsandbytes" else "train")
    if config.adapter is None:
        return
    if config.method == "full":
        raise UsageError(
            "a full fine-tune has no adapter to go on from",
            hint="python -m fcbench merge makes a model of it",
        )
    check_model(config.model, ModelOptions(adapter=config.adapter))


def load_base(config: Config) -> Loaded:
    """Return the base model, in four bits for qlora."""
    quantization = None
    if config.method == "qlora":
        import torch
        from transformers import BitsAndBytesConfig

        quantization = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, dtype_of(config.dtype)),
        )
    return load(config.model, ModelOptions(dtype=config.dtype), quantization)


def trained_tokens(config: Config, loaded: Loaded, wire: Wire) -> list[int]:
    """Return the ids of the tokens whose rows are trained. UsageError for an unknown token."""
    controls = [token for token in wire.controls if token not in wire.padding]
    if config.method == "full" or config.train_tokens == "none":
        return []
    if config.train_tokens == "auto":
        return _tokens.new_tokens(loaded.model, loaded.tokenizer, controls)
    found = set()
    for token in names(config.train_tokens):
        ids = loaded.tokenizer.encode(token, add_special_tokens=False)
        if len(ids) != 1:
            raise UsageError(
                f"train_tokens: {token} is no single token of the tokenizer",
                hint=nearest(token, controls),
            )
        found.add(ids[0])
    return sorted(found)


def names(text: str) -> list[str]:
    """Return the names in a list with commas."""
    return [name for name in map(str.strip, text.split(",")) if name]


def prepare(config: Config, loaded: Loaded, token_ids: list[int]) -> Any:
    """Return the model with what is trained of it requiring gradients, adapter applied."""
    model = loaded.model
    if config.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    _attention.use_products(model)
    if config.method == "full":
        return model.train()
    from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training

    from fcbench.train._rows import compute_rows_apart

    if config.method == "qlora":
        model = prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
            model, use_gradient_checkpointing=False
        )
    # Adapters in float32 would cast every activation on its way through them; the optimiser keeps
    # them in float32 instead.
    if config.adapter is not None:
        with safetensors_only(config.adapter):
            adapted = PeftModel.from_pretrained(
                model,
                str(Path(config.adapter).expanduser()),
                is_trainable=True,
                autocast_adapter_dtype=False,
                use_safetensors=True,
            )
    else:
        lora = LoraConfig(
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            target_modules=_targets(config, model),
            trainable_token_indices=_rows_of(model, token_ids),
            task_type="CAUSAL_LM",
        )
        adapted = get_peft_model(model, lora, autocast_adapter_dtype=False)
    # Loading a checkpoint would make them float32 too.
    adapted.load_adapter = partial(  # type: ignore[method-assign]
        adapted.load_adapter, autocast_adapter_dtype=False
    )
    compute_rows_apart(adapted)
    return adapted.train()


def _targets(config: Config, model: Any) -> str | list[str]:
    """Return the layers under LoRA. UsageError for a name that no layer has."""
    if config.lora_targets == "all-linear":
        return config.lora_targets
    known = {name for name, _ in model.named_modules()}
    named = names(config.lora_targets)
    for name in named:
        if not any(f".{k}".endswith(f".{name}") for k in known):
            raise UsageError(
                f"lora_targets: the model has no layer {name}",
                hint=nearest(name, {k.rpartition(".")[2] for k in known}),
            )
    return named


def _rows_of(model: Any, token_ids: list[int]) -> dict[str, list[int]] | None:
    """Return the trained rows by the names of the layers that hold them.

    Where input and output have rows of their own, both are trained: a token whose output row is
    another's cannot be told from it.
    """
    if not token_ids:
        return None
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    weights = {id(layer.weight): layer for layer in reversed(layers) if layer is not None}
    return {name: token_ids for name, module in model.named_modules() if module in weights.values()}


def refuse_several_processes() -> None:
    """Raise UsageError under torchrun: one process trains, with one device."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "fcbench trains in one process, on one device",
            hint="run it without torchrun; CallsCallback measures in a Trainer of your own",
        )
