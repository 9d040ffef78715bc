"""Small suites, stored runs and models in which a difference, and its cause, is planted."""

from __future__ import annotations

import json
import shutil
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import fcbench
from tests.backends import architectures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODEL = "mistral"
SMALL = {"max_new_tokens": 8, "limit": 3}
RIGHT = "<start_function_call>call:f{}<end_function_call>"
WRONG = "<start_function_call>call:g{}<end_function_call>"


def write_suite(path: Path, n_cases: int, expected: list) -> str:
    """Write a suite of short cases that all expect the same; returns its path."""
    rows = [
        {
            "id": f"c{i}",
            "messages": [{"role": "user", "content": f"{i}?Show-me-{'Oslo' * (i % 3)}"}],
            "tools": [{"name": "f", "description": "F", "parameters": {"type": "object"}}],
            "expected": expected,
        }
        for i in range(n_cases)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def install(monkeypatch, name: str, answer: Callable[[str], str]) -> str:
    """Let a function of one prompt be a model; returns its name."""
    module = SimpleNamespace(answer=lambda prompts: [answer(prompt) for prompt in prompts])
    monkeypatch.setitem(sys.modules, name, module)
    return f"python:{name}:answer"


def stored_run(monkeypatch, suite: str, folder: Path, prompt: str = "chat") -> Path:
    """Store a run in which every answer is right and has 9 prompt tokens; returns its folder."""
    model = install(monkeypatch, "right", lambda prompt: RIGHT)
    run = fcbench.run(model, suite, prompt, results=folder)
    return changed(run.folder, folder / f"counted-{prompt}", prompt_tokens=9, stop="token")


def changed(
    run: Path | str, folder: Path, *, only: int | None = None, model: dict | None = None, **fields
) -> Path:
    """Copy a stored run, its samples (or only one of them) and its model's record changed."""
    shutil.copytree(run, folder)
    log = folder / "samples.jsonl"
    rows = list(map(json.loads, log.read_text(encoding="utf-8").splitlines()))
    for i, row in enumerate(rows):
        row.update(fields if only in (None, i) else {})
    log.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    manifest["model"].update(model or {})
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def build_merged(model_folder: Path, adapter: Path, folder: Path) -> Path:
    """Write the model with an adapter merged into it, in float32; returns its folder."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(model_folder), str(adapter)
    )
    merged = model.merge_and_unload()
    merged.save_pretrained(folder)
    architectures.build_tokenizer(folder, pad="<pad>")
    return folder


def build_idle_adapter(model_folder: Path, folder: Path) -> Path:
    """Write an adapter that was never trained and changes nothing; returns its folder."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder)
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(folder)
    return folder
