"""Small real parts: a tokenizer with FunctionGemma's control tokens and models of random weights."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pathlib import Path

# No test reaches for a hub: what is not on the disk is an error at once, not after retries.
os.environ["HF_HUB_OFFLINE"] = "1"

pytest_plugins = ["pytester"]

# Speed is for benchmarks: on a busy machine any example may take long.
settings.register_profile("fcbench", deadline=None)
settings.load_profile("fcbench")


def build_tokenizer(folder: Path, chat_template: str | None, pad: str | None = "<pad>") -> None:
    """Write a byte-level BPE tokenizer that puts <bos> first and knows every control token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from fcbench.formats.functiongemma import CONTROL_TOKEN_IDS

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(CONTROL_TOKEN_IDS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        ["call:turn_on_flashlight{} call:show_map{query:} model user"], trainer
    )
    bos = tokenizer.token_to_id("<bos>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", bos)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token=pad
    )
    fast.chat_template = chat_template
    fast.save_pretrained(folder)


def build_gemma(folder: Path, *, seed: int = 0, hidden: int = 32) -> None:
    """Write a Gemma 3 of random weights whose sliding window is shorter than the prompts."""
    import torch
    from transformers import AutoTokenizer, Gemma3ForCausalLM, Gemma3TextConfig, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(seed)
    config = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=16,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        max_position_embeddings=8192,
        initializer_range=0.3,  # so that the likeliest tokens differ from place to place
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id or 0,
    )
    model = Gemma3ForCausalLM(config)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=2.0, top_k=50, eos_token_id=tokenizer.eos_token_id
    )
    model.save_pretrained(folder)


@pytest.fixture
def one_thread():
    """Compute tiny matrices on one thread: two wait for each other longer than they work."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A folder with a tiny Gemma 3, without a chat template, that asks for sampling."""
    folder = tmp_path_factory.mktemp("tiny-gemma")
    build_tokenizer(folder, None)
    build_gemma(folder)
    return folder


@pytest.fixture
def write_lines(tmp_path):
    """Return a function that writes rows as JSON lines and returns the file's path."""

    def write(*rows: object, name: str = "cases.jsonl") -> Path:
        path = tmp_path / name
        lines = [
            row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows
        ]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def case_row():
    """Return a function that builds a case of fcbench's own schema, fields replaced as given."""

    def build(**fields: object) -> dict[str, object]:
        row: dict[str, object] = {
            "id": "a",
            "messages": [{"role": "user", "content": "Show me Oslo."}],
            "tools": [
                {
                    "name": "show_map",
                    "description": "Shows a place.",
                    "parameters": {
                        "type": "object",
                        "properties": {"query": {"type": "string"}},
                        "required": ["query"],
                    },
                }
            ],
            "expected": [[{"name": "show_map", "arguments": {"query": "Oslo"}}]],
        }
        return {**row, **fields}

    return build
