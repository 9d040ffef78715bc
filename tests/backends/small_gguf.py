"""GGUF files of random weights, made in milliseconds, for what needs llama.cpp but no model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WIDTH, N_HEADS, N_LAYERS, INNER = 64, 2, 2, 128
CONTROL = (
    "<pad>",
    "<eos>",
    "<bos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<start_function_call>",
    "<end_function_call>",
    "<escape>",
    "<start_function_response>",
)
BOS = CONTROL.index("<bos>")
CONTEXT = 512


def byte_names() -> list[str]:
    """Return GPT-2's characters for the 256 bytes: those that can be seen stand for themselves."""
    seen = {*range(33, 127), *range(161, 173), *range(174, 256)}
    unseen = [byte for byte in range(256) if byte not in seen]
    return [chr(b if b in seen else 256 + unseen.index(b)) for b in range(256)]


VOCABULARY = (*CONTROL, *byte_names())


def write_model(
    path: Path,
    *,
    template: str | None = None,
    follows: Mapping[str, str] | None = None,
    broken: str | None = None,
    context: int = CONTEXT,
) -> Path:
    """Write a Llama whose tokens are bytes.

    `follows` names tokens and what is written after each, nothing else being looked at. After the
    `broken` one, and after "all" after any, logits are NaN.
    """
    import gguf
    import numpy as np

    draw = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(N_LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(N_HEADS)
    writer.add_head_count_kv(N_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // N_HEADS)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(len(VOCABULARY))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(list(VOCABULARY))
    writer.add_token_types([3] * len(CONTROL) + [1] * 256)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(CONTROL.index("<eos>"))
    writer.add_add_bos_token(True)  # noqa: FBT003  its own way
    if template is not None:
        writer.add_chat_template(template)

    rows = draw.standard_normal((len(VOCABULARY), WIDTH)).astype(np.float32)
    output = (draw.standard_normal((len(VOCABULARY), WIDTH)) * 0.3).astype(np.float32)
    if follows is not None:
        output[:] = 0
        for token, follower in follows.items():
            output[VOCABULARY.index(follower)] += rows[VOCABULARY.index(token)]
    if broken == "all":
        output[:] = np.nan
    elif broken is not None:
        rows[VOCABULARY.index(broken)] = np.nan
    writer.add_tensor("token_embd.weight", rows)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    # Layers that add nothing leave the last token's row as it is.
    strength = 0.3 if follows is None else 0.0

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(name, (draw.standard_normal(shape) * strength).astype(np.float32))

    for i in range(N_LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{name}.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{i}.{name}.weight", WIDTH, WIDTH)
        add(f"blk.{i}.ffn_gate.weight", INNER, WIDTH)
        add(f"blk.{i}.ffn_up.weight", INNER, WIDTH)
        add(f"blk.{i}.ffn_down.weight", WIDTH, INNER)
    return _finish(writer, path)


def write_lora(
    path: Path, *, scale: float = 1.0, architecture: str = "llama", width: int = WIDTH
) -> Path:
    """Write a LoRA adapter of that model's queries; with a scale of 0 it changes nothing."""
    import gguf
    import numpy as np

    draw = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 4.0)

    for i in range(N_LAYERS):
        for half, shape, factor in (("a", (4, width), 1.0), ("b", (width, 4), scale)):
            tensor = (draw.standard_normal(shape) * factor).astype(np.float32)
            writer.add_tensor(f"blk.{i}.attn_q.weight.lora_{half}", tensor)
    return _finish(writer, path)


def _finish(writer: Any, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
