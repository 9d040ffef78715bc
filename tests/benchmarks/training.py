"""How fast fcbench trains beside the plain recipe, and whether as much is learned.

    python -m tests.benchmarks.training

The plain recipe is transformers' Trainer as tutorials have it: labels = input_ids, the logits of
all tokens, padding to the longest. Same model, data, LoRA, trained token rows, dtype, examples a
step and machine. Each recipe has a process of its own, one after the other: 20 steps after 2 that
do not count, on the suite's training cases, each with its own order of tools, and on generated ones
of which eight share their tools. Then each learns from the same 300 cases once, and answers the
same cases under the prompt that it was trained with. Writes training.json and training.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

import fcbench
from fcbench.metrics import HEADLINE
from suites.mobile_actions.more import more, write
from tests.benchmarks.machine import system
from tests.benchmarks.result import write_result

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL, SUITE = "gemma3-270m", "mobile_actions"
RECIPES = ("fcbench", "plain")
DATA = {"own": "own tools", "shared": "shared tools"}
PACKAGES = ("fcbench", "torch", "transformers", "peft", "datasets")
EXAMPLES_A_STEP, STEPS, WARM_UP = 4, 20, 2
LEARNED_FROM = 300
GOAL = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--asked", type=int, default=100, help="cases asked after training")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--worker", choices=RECIPES, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--data", choices=DATA, default="own", help=argparse.SUPPRESS)
    parser.add_argument("--learn", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        found = learn(args) if args.learn else clock(args)
        (args.out / "worker.json").write_text(json.dumps(found))
        return
    speeds = {
        data: {name: in_a_process(args, name, "--data", data) for name in RECIPES} for data in DATA
    }
    learned = {name: in_a_process(args, name, "--learn") for name in RECIPES}
    result = {
        "asked": args.asked,
        "dtype": args.dtype,
        "machine": system(PACKAGES),
        "speeds": speeds,
        "learned": learned,
    }
    write_result(args.folder, "training", result, as_markdown(result))


def in_a_process(args: argparse.Namespace, name: str, *options: str) -> dict[str, Any]:
    """Return what a worker measured; one that learns is asked here, by the same code for all."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.benchmarks.training", "--worker", name]
        command += ["--out", folder, "--dtype", args.dtype, *options]
        subprocess.run(command, check=True)
        found: dict[str, Any] = json.loads((Path(folder) / "worker.json").read_text("utf-8"))
        if "--learn" in options:
            found |= asked(f"{folder}/adapter", args)
    return found


def asked(adapter: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return value, low, high and n of the three metrics, of calls under the chat prompt."""
    options: Any = {"dtype": args.dtype, "limit": args.asked, "progress": True}
    scores = fcbench.score(fcbench.run(MODEL, SUITE, adapter=adapter, **options))
    estimates = {name: scores.metrics[name] for name in HEADLINE}
    return {name: [e.value, e.low, e.high, e.n] for name, e in estimates.items()}


# In a process of its own


def clock(args: argparse.Namespace) -> dict[str, Any]:
    """Return seconds, examples, tokens and peak memory of 20 steps."""
    n_steps = WARM_UP + STEPS
    trainer = trainer_of(args, n_cases=n_steps * EXAMPLES_A_STEP)
    ticks = Ticks()
    trainer.add_callback(ticks.callback())
    trainer.train()
    times, lengths = ticks.times, list(trainer.train_dataset["length"])
    seconds = times[n_steps - 1] - times[WARM_UP - 1]
    n_examples = STEPS * EXAMPLES_A_STEP
    return {
        "seconds": seconds,
        "examples_per_second": n_examples / seconds,
        # Without padding, which nobody learns from.
        "tokens_per_second": n_examples * sum(lengths) / len(lengths) / seconds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def learn(args: argparse.Namespace) -> dict[str, Any]:
    """Train on the cases once and leave the adapter."""
    trainer = trainer_of(args, n_cases=LEARNED_FROM)
    began = time.perf_counter()
    trainer.train()
    trainer.model.save_pretrained(args.out / "adapter", save_embedding_layers=False)
    return {"seconds": time.perf_counter() - began}


class Ticks:
    """When each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def callback(self) -> Any:
        from transformers import TrainerCallback

        times = self.times

        class Clock(TrainerCallback):
            def on_step_end(self, args, state, control, **given):
                times.append(time.perf_counter())

        return Clock()


def trainer_of(args: argparse.Namespace, n_cases: int) -> Any:
    """Return a recipe's trainer for one epoch of the cases, ready to train."""
    from fcbench.train._config import Config
    from fcbench.train._job import checked_cases, job_of, trainer_of

    data = SUITE
    if args.data == "shared":
        data = str(args.out / "shared.jsonl")
        write(Path(data), more(n_cases))
    config = Config(
        model=MODEL, data=[data], out=str(args.out), dtype=args.dtype, n_cases=n_cases, epochs=1,
        accumulate=EXAMPLES_A_STEP, seed=270, save_every=10_000,
    )  # fmt: skip
    job = job_of(config, checked_cases(config))
    if args.worker == "fcbench":
        return trainer_of(job, progress=False)
    return plain_trainer(config, job)


def plain_trainer(config: Any, job: Any) -> Any:
    """Return the recipe of the tutorials: every token is learned, every logit computed."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    from fcbench.backends.transformers import locate

    lora = job.model.peft_config["default"]
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(locate(MODEL), dtype=getattr(torch, config.dtype)),
        LoraConfig(
            r=lora.r, lora_alpha=lora.lora_alpha, target_modules="all-linear",
            trainable_token_indices=lora.trainable_token_indices, task_type="CAUSAL_LM",
        ),
        autocast_adapter_dtype=False,
    )  # fmt: skip
    data = Dataset.from_dict({
        "input_ids": [example.input_ids for example in job.examples],
        "length": [len(example.input_ids) for example in job.examples],
    })  # fmt: skip
    arguments = TrainingArguments(
        output_dir=str(config.out), num_train_epochs=1, learning_rate=config.rate,
        per_device_train_batch_size=EXAMPLES_A_STEP, lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup, max_grad_norm=config.clip_norm, seed=config.seed,
        save_strategy="no", report_to="none", disable_tqdm=True, remove_unused_columns=False,
    )  # fmt: skip
    pad_id = job.loaded.pad_id
    return Trainer(
        model=model, args=arguments, train_dataset=data,
        data_collator=lambda some: padded(some, pad_id),
    )  # fmt: skip


def padded(examples: Sequence[dict[str, Any]], pad_id: int) -> dict[str, Any]:
    """Return a batch padded to its longest example, labels = input_ids."""
    import torch

    longest = max(len(e["input_ids"]) for e in examples)
    rows = [e["input_ids"] + [pad_id] * (longest - len(e["input_ids"])) for e in examples]
    ids = torch.tensor(rows)
    places = torch.arange(longest)
    mask = torch.stack([places < len(e["input_ids"]) for e in examples]).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


# What is written


def as_markdown(result: dict[str, Any]) -> str:
    """Return both tables and the ratio."""
    speeds, learned = result["speeds"], result["learned"]
    rows = [
        [
            DATA[data],
            name,
            f"{s['examples_per_second']:.2f}",
            f"{s['tokens_per_second']:.0f}",
            f"{s['peak_mib']:,.0f}",
            f"{ratio(of_data, name):.1f}",
        ]
        for data, of_data in speeds.items()
        for name, s in of_data.items()
    ]
    after = [
        [name, f"{entry['seconds'] / 60:.1f}"]
        + [
            f"{100 * entry[m][0]:.1f} [{100 * entry[m][1]:.1f}–{100 * entry[m][2]:.1f}]"
            for m in HEADLINE
        ]
        for name, entry in learned.items()
    ]
    n = learned["fcbench"]["argument_exact_match"][3]
    gain = ratio(speeds["own"], "fcbench")
    columns = ["cases with", "", "examples/s", "tokens/s", "peak MiB", "x plain"]
    return f"""# Training speed

Written by `make bench-training`: {MODEL} in {result["dtype"]} on {SUITE}'s training cases, each with
its own order of tools, and on generated ones of which eight share their tools; LoRA,
{EXAMPLES_A_STEP} examples a step, {STEPS} steps, on {result["machine"]["cpus"]} cores
({result["machine"]["processor"]}). The plain recipe is transformers' Trainer with
labels = input_ids, all logits, padding to the longest.

{table(rows, columns)}

On cases with their own tools {gain:.1f} x the examples a second; the goal is {GOAL:g}.
{"Met" if gain >= GOAL else "Missed"}. Tokens are counted as if none was shared.

## After the same {LEARNED_FROM} examples

{table(after, ["", "minutes", *(name.replace("_", " ") for name in HEADLINE)])}

Per cent [95 % Wilson interval] of {n} cases that expect a call.
"""


def ratio(speeds: dict[str, Any], name: str) -> float:
    """Return how many times the plain recipe's examples a second."""
    found: float = speeds[name]["examples_per_second"] / speeds["plain"]["examples_per_second"]
    return found


def table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    main()
