"""The packaged Gemma 3 270M, tuned until it calls functions: what the speeds are measured on.

    python -m tests.benchmarks.generation.tuned

As it comes, the model never calls anything and writes on to the token limit, so speeds on its
text would say nothing about a suite of calls. LoRA on a few of mobile_actions' training rows is
enough. The folder is made once and kept in the cache, under the hash of its recipe.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

from fcbench import load_suite, prompts, render
from fcbench.backends.transformers import locate
from fcbench.formats.functiongemma import CONTROL_TOKEN_IDS, END_OF_TURN, START_RESPONSE
from fcbench.paths import cache_folder, data_folder
from fcbench.prompts._case_text import one_answer

BASE = "gemma3-270m"
# Whatever changes the weights stands here or in the base's folder name: the hash is of both.
RECIPE = {
    "suite": "mobile_actions",
    "rows": 160,
    "steps": 160,
    "seed": 270,
    "lora_r": 16,
    "lora_alpha": 32,
    "target_modules": "all-linear",
    "trained_tokens": list(range(46, 53)),
    "learning_rate": 5e-4,
    "warmup_steps": 10,
    "clip_norm": 1.0,
    "dtype": "bfloat16",
    "stop_ids": [CONTROL_TOKEN_IDS[t] for t in ("<eos>", END_OF_TURN, START_RESPONSE)],
}
MANIFEST = "tuned.json"


def tuned_model() -> Path:
    """Return the tuned model's folder, made if need be (some minutes); `adapter/` is inside."""
    base = Path(locate(BASE))
    suite = load_suite(str(RECIPE["suite"]))
    inputs = {**RECIPE, "base": base.name, "train_sha256": train_sha256()}
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
    folder = cache_folder() / f"{BASE}-tuned-{key}"
    if (folder / MANIFEST).is_file():
        return folder
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    log = _tune(base, suite.training_cases(), partial)
    # Last, and then the rename: a folder with this file is a whole one.
    text = json.dumps({"recipe": inputs, **log}, indent=2)
    (partial / MANIFEST).write_text(text + "\n", encoding="utf-8")
    partial.rename(folder)
    return folder


def train_sha256() -> str:
    return hashlib.sha256(_train_file().read_bytes()).hexdigest()


def _train_file() -> Path:
    return data_folder("suites") / str(RECIPE["suite"]) / "train.jsonl"


def _tune(base: Path, cases: Any, folder: Path) -> dict[str, Any]:
    """Train the adapter, merge it, save both; return the losses and the time it took."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    started = time.perf_counter()
    torch.manual_seed(RECIPE["seed"])
    tokenizer = AutoTokenizer.from_pretrained(base)
    examples = [_example(tokenizer, *pair) for pair in _chosen(cases)]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    lora = LoraConfig(
        r=RECIPE["lora_r"],
        lora_alpha=RECIPE["lora_alpha"],
        target_modules=RECIPE["target_modules"],
        trainable_token_indices={"embed_tokens": RECIPE["trained_tokens"]},
        task_type="CAUSAL_LM",
    )
    # Adapters in float32 would cast every activation on its way through them.
    model = get_peft_model(model, lora, autocast_adapter_dtype=False)
    losses = _train(model, examples)
    model.save_pretrained(folder / "adapter")
    merged = model.merge_and_unload()
    merged.generation_config.eos_token_id = RECIPE["stop_ids"]
    merged.generation_config.do_sample = False
    merged.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy2(base / name, folder / name)
    return {"losses": losses, "seconds": round(time.perf_counter() - started, 1)}


def _chosen(cases: Any) -> list[tuple[Any, str]]:
    """Return the drawn training cases, each with what the model should write."""
    lines = _train_file().read_text("utf-8").splitlines()
    spoken = {row["id"]: row["messages"][-1].get("content") for row in map(json.loads, lines)}
    drawn = random.Random(RECIPE["seed"]).sample(list(cases), RECIPE["rows"])
    return [
        (
            case,
            render(one_answer(case)) + START_RESPONSE
            if case.expects_call
            else spoken[case.id] + END_OF_TURN,
        )
        for case in drawn
    ]


def _example(tokenizer: Any, case: Any, target: str) -> tuple[torch.Tensor, int]:
    """Return the ids (1, T) of a prompt with its answer, and how many of them are the answer."""
    (request,) = prompts.requests([case], "chat", prompts.Style())
    prompt, answer = (
        tokenizer.encode(text, add_special_tokens=False) for text in (request.prompt, target)
    )
    return torch.tensor([prompt + answer]), len(answer)


def _train(model: Any, examples: list[tuple[torch.Tensor, int]]) -> list[float]:
    """Return the loss of each step; one example a step."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=RECIPE["learning_rate"], weight_decay=0.0)
    steps, warmup = RECIPE["steps"], RECIPE["warmup_steps"]
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warmup, (steps - step) / (steps - warmup))
    )
    model.train()
    losses = []
    for step in range(steps):
        ids, n_answer = examples[step % len(examples)]
        # The 262,144-way output layer is most of a forward pass: only where there is a label.
        logits = model(ids, logits_to_keep=n_answer + 1).logits[0, :-1].float()
        loss = torch.nn.functional.cross_entropy(logits, ids[0, -n_answer:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, RECIPE["clip_norm"])
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(round(loss.item(), 4))
        if step % 10 == 9:
            sys.stderr.write(f"step {step + 1}: loss {sum(losses[-10:]) / 10:.4f}\n")
    model.eval()
    return losses


if __name__ == "__main__":
    sys.stdout.write(f"{tuned_model()}\n")
