"""The model to train: loaded, and with what is trained of it marked."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from fcbench.backends import ModelOptions
from fcbench.backends.transformers import load
from fcbench.errors import MissingExtra, UsageError, nearest
from fcbench.train import _attention, _tokens

if TYPE_CHECKING:
    from fcbench.backends.transformers import Loaded
    from fcbench.formats._wire import Wire
    from fcbench.train._config import Config


def check_method(config: Config) -> None:
    """Raise MissingExtra for a package that the method needs and that is not installed."""
    needed = {"lora": ["peft"], "qlora": ["peft", "bitsandbytes"], "full": []}[config.method]
    for package in [*needed, "accelerate", "datasets"]:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "qlora" if package == "bitsandbytes" else "train")


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
            bnb_4bit_compute_dtype=getattr(torch, config.dtype)
            if config.dtype != "auto"
            else torch.bfloat16,
        )
    return load(config.model, ModelOptions(dtype=config.dtype), quantization)


def trained_tokens(config: Config, loaded: Loaded, wire: Wire) -> list[int]:
    """Return the ids of the tokens whose rows are trained. UsageError for an unknown token."""
    controls = [token for token in wire.controls if token not in wire.padding]
    if config.method == "full" or config.train_tokens == "none":
        return []
    if config.train_tokens == "auto":
        return _tokens.new_tokens(loaded.model, loaded.tokenizer, controls)
    named = [token for token in config.train_tokens.split(",") if token]
    for token in named:
        if len(loaded.tokenizer.encode(token, add_special_tokens=False)) != 1:
            raise UsageError(
                f"train_tokens: {token} is no single token of the tokenizer",
                hint=nearest(token, controls),
            )
    return sorted(loaded.tokenizer.encode("".join(named), add_special_tokens=False))


def prepare(config: Config, loaded: Loaded, token_ids: list[int]) -> Any:
    """Return the model with what is trained of it requiring gradients, adapter applied."""
    model = loaded.model
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    _attention.use_products(model)
    if config.method == "full":
        return model.train()
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if config.method == "qlora":
        model = prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
            model, use_gradient_checkpointing=config.gradient_checkpointing
        )
    targets: str | list[str] = config.lora_targets
    lora = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets if targets == "all-linear" else str(targets).split(","),
        trainable_token_indices=token_ids or None,
        task_type="CAUSAL_LM",
    )
    # Adapters in float32 would cast every activation on its way through them; the optimiser keeps
    # them in float32 instead.
    adapted = get_peft_model(model, lora, autocast_adapter_dtype=False)
    _tokens.compute_rows_apart(adapted)
    return adapted.train()
