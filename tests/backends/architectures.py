"""Tiny models of random weights, one of every architecture, and prompts that resemble each other.

Each token is one character, so that a text says exactly which tokens it was made of.
"""

from __future__ import annotations

import json
import random
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

# transformers gives a Qwen2 model's tokenizer this end of text, whatever its files say.
SPECIAL = ("<pad>", "<bos>", EOS := "<|endoftext|>")
LETTERS = "".join(chr(i) for i in range(ord("!"), ord("~") + 1) if chr(i) not in "<>")
# A turn ends with one of these: random weights choose one of them every other turn or so.
STOPS = tuple(LETTERS[-5:])
WINDOW = 16
CONTEXT = 512


class Architecture(NamedTuple):
    """What differs from model to model: a configuration of transformers', and an adapter's."""

    config: str
    fields: dict[str, Any]
    adapter: dict[str, Any]


_LINEAR = {"target_modules": "all-linear"}
_ROWS = {"trainable_token_indices": [7, 8, 9, 10, 11, 12]}
_WINDOWS = ["sliding_attention", "full_attention", "sliding_attention"]
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}

ARCHITECTURES = {
    "gemma3": Architecture(
        "Gemma3TextConfig",
        {
            "num_hidden_layers": 3,
            "layer_types": _WINDOWS,
            "sliding_window": WINDOW,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "query_pre_attn_scalar": 24,
        },
        {**_LINEAR, **_ROWS},  # what a function-calling adapter of the project trains
    ),
    "gemma3, one key head": Architecture(
        "Gemma3TextConfig",
        {
            "num_hidden_layers": 3,
            "layer_types": _WINDOWS[:2] + _WINDOWS[:1],
            "sliding_window": WINDOW,
            "num_key_value_heads": 1,
        },
        {"target_modules": ["q_proj", "v_proj"]},
    ),
    "gemma2": Architecture(
        "Gemma2Config",
        {
            "layer_types": _WINDOWS[:2],
            "sliding_window": WINDOW,
            "num_key_value_heads": 1,
            # Low enough to bend what random weights give.
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 4.0,
        },
        _LINEAR,
    ),
    "llama": Architecture(
        "LlamaConfig",
        {"num_attention_heads": 4, "num_key_value_heads": 2},
        {**_LINEAR, "use_dora": True},
    ),
    "llama, scaled positions": Architecture(
        "LlamaConfig", {"num_key_value_heads": 1, "rope_parameters": _LLAMA3}, _LINEAR
    ),
    # The angles of all positions depend on the longest sequence of a pass: nothing that was
    # computed for a shorter one serves a longer one.
    "llama, two sets of positions": Architecture(
        "LlamaConfig",
        {
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10_000.0,
                "short_factor": [1.0] * 8,
                "long_factor": [float(4 + i) for i in range(8)],
                "original_max_position_embeddings": 48,
            },
        },
        _LINEAR,
    ),
    "smollm": Architecture(
        "LlamaConfig",
        {"num_attention_heads": 6, "num_key_value_heads": 2, "tie_word_embeddings": True},
        {**_LINEAR, **_ROWS},
    ),
    "qwen2": Architecture("Qwen2Config", {"num_key_value_heads": 1}, {**_LINEAR, "bias": "all"}),
    "qwen2, mixed windows": Architecture(
        "Qwen2Config",
        {
            "num_hidden_layers": 3,
            "use_sliding_window": True,
            "sliding_window": WINDOW,
            "max_window_layers": 1,
            "num_key_value_heads": 2,
        },
        _LINEAR,
    ),
    "qwen3": Architecture(
        "Qwen3Config",
        {"num_attention_heads": 4, "num_key_value_heads": 2},
        {**_LINEAR, "modules_to_save": ["lm_head"]},
    ),
    "mistral": Architecture(
        "MistralConfig", {"sliding_window": WINDOW, "num_key_value_heads": 1}, _LINEAR
    ),
    "gpt2": Architecture(
        "GPT2Config",
        {
            "n_embd": 32,
            "n_head": 2,
            "n_layer": 2,
            "n_positions": CONTEXT,
            "initializer_range": 0.5,
        },
        {"target_modules": ["c_attn"], "fan_in_fan_out": True},
    ),
    "bloom": Architecture(
        "BloomConfig", {"n_head": 2, "n_layer": 2}, {"target_modules": ["query_key_value"]}
    ),
    "mamba": Architecture(
        "MambaConfig", {"state_size": 8}, {"target_modules": ["in_proj", "x_proj"]}
    ),
    "lfm2": Architecture(
        "Lfm2Config",
        {
            "num_hidden_layers": 3,
            "num_key_value_heads": 1,
            "layer_types": ["conv", "full_attention", "conv"],
            "conv_L_cache": 3,
        },
        {"target_modules": ["q_proj", "w1", "w2"]},
    ),
}


def build(name: str, folder: Path) -> Path:
    """Write a model of random weights with its tokenizer; returns the folder."""
    import torch
    import transformers

    build_tokenizer(folder, pad="<pad>")
    architecture = ARCHITECTURES[name]
    n_heads = architecture.fields.get("num_attention_heads", 2)
    common = {
        "vocab_size": len(SPECIAL) + len(LETTERS),
        "hidden_size": 16 * n_heads,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": n_heads,
        "num_key_value_heads": n_heads,
        "head_dim": 16,
        "max_position_embeddings": CONTEXT,
        "tie_word_embeddings": False,
        # So that the likeliest tokens differ from place to place.
        "initializer_range": 0.3,
        "bos_token_id": SPECIAL.index("<bos>"),
        "eos_token_id": SPECIAL.index(EOS),
        "pad_token_id": SPECIAL.index("<pad>"),
    }
    config = getattr(transformers, architecture.config)(**{**common, **architecture.fields})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.generation_config = transformers.GenerationConfig(eos_token_id=config.eos_token_id)
    model.save_pretrained(folder)
    return folder


def without_pad(model_folder: Path, folder: Path) -> Path:
    """Write the same model again with no pad token anywhere; returns the folder."""
    shutil.copytree(model_folder, folder)
    build_tokenizer(folder, pad=None)
    for file in (folder / "config.json", folder / "generation_config.json"):
        config = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps({**config, "pad_token_id": None}), encoding="utf-8")
    return folder


def build_tokenizer(folder: Path, pad: str | None) -> None:
    """Write a tokenizer whose tokens are one character each."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *LETTERS])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token=EOS, pad_token=pad
    ).save_pretrained(folder)


def build_adapter(name: str, model_folder: Path, folder: Path) -> Path:
    """Write a LoRA adapter of random weights for a model; returns its folder."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        task_type="CAUSAL_LM",
        init_lora_weights=False,
        **ARCHITECTURES[name].adapter,
    )
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for parameter_name, parameter in adapted.named_parameters():
            # These begin as copies of the model's own.
            if "trainable_tokens" in parameter_name or "modules_to_save" in parameter_name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    adapted.save_pretrained(folder)
    return folder


def prompts() -> list[str]:
    """Return prompts of 1 to 125 tokens: many begin alike, one begins others, two are the same."""
    rng = random.Random(5)

    def text(n: int) -> str:
        return "".join(rng.choices(LETTERS, k=n))

    system, tools, date = text(61), text(40), text(9)
    return [
        *(f"<bos>{system}{text(n)}" for n in (1, 2, 7, 16)),
        *(f"<bos>{system}{tools}{text(n)}" for n in (1, 5, 12, 23)),
        # Alike only after the first words: nothing to share but <bos>.
        f"<bos>{date}{system}{text(3)}",
        f"<bos>{system}",
        f"<bos>{system}",
        "<bos>",
        *(f"<bos>{text(n)}" for n in (1, WINDOW - 2, WINDOW - 1, WINDOW, 110)),
        text(1),
    ]
