"""From a configuration to a trained model in a folder."""

from __future__ import annotations

import json
import logging
import random
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from fcbench.errors import RunError, UsageError
from fcbench.formats import detect_format
from fcbench.prompts import Style
from fcbench.suite import load_training
from fcbench.train._card import card, data_sha256
from fcbench.train._config import as_toml, check_config, read_config
from fcbench.train._curves import Curves
from fcbench.train._examples import encode, fault_counts, valid_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.backends.transformers import Loaded
    from fcbench.prompts import Target
    from fcbench.train._callback import CallsCallback
    from fcbench.train._config import Config
    from fcbench.train._examples import Example
    from fcbench.types import Case

CHECKPOINTS, CONFIG = "checkpoints", "config.toml"
VERSIONS = ("fcbench", "torch", "transformers", "peft", "datasets")
# What may differ between a run and the one that it resumes.
FREE = ("out", "save_every", "keep_checkpoints", "patience", "max_steps")
log = logging.getLogger("fcbench")


class Trained(msgspec.Struct, frozen=True):
    """What a training run left: a folder with the adapter or model, and what is in its card."""

    folder: Path
    facts: dict[str, Any]
    curves: Curves | None = None


class _Job(NamedTuple):
    """What a training run works with."""

    config: Config
    loaded: Loaded
    model: Any
    examples: Sequence[Example]
    calls: CallsCallback | None


def fine_tune(config: Config, *, resume: bool = False, progress: bool = False) -> Trained:
    """Train as a configuration says, and return what it left in its folder.

    With `resume` an earlier run of the same configuration goes on from its last checkpoint, or
    begins if there is none. UsageError for targets that the strict grammar refuses, see
    `allow_invalid_targets`, and for what cannot be; SuiteError, ModelError, MissingExtra and
    RunError as elsewhere.
    """
    from fcbench.train._model import check_method, load_base, prepare, trained_tokens

    check_config(config)
    check_method(config)
    cases = _cases(config)
    if config.format != "auto":
        # Without the model, so that what is wrong with the data is said at once.
        _targets(config, cases, Style(config.format))
    out = Path(config.out)
    checkpoint = _open(config, out, resume=resume)
    loaded = load_base(config)
    style = Style(_format(config, loaded), loaded.template, loaded.bos)
    targets = _targets(config, cases, style)
    stop_ids = {*loaded.eos_ids, *loaded.ids_of(style.wire.STOP_TOKENS)}
    examples = encode(targets, config.format_style, style, loaded.tokenizer, stop_ids)
    examples = _short_enough(config, loaded, examples)
    token_ids = trained_tokens(config, loaded, style.wire.WIRE)
    model = prepare(config, loaded, token_ids)
    calls = _calls_callback(config, style)
    leaks = [] if calls is None else _leaks(cases, calls.cases)
    if leaks:
        log.warning(
            "%d of the measured cases ask, word for word, what a training case asks: %s",
            len(leaks),
            ", ".join(leaks[:5]),
        )
    started = time.perf_counter()
    job = _Job(config, loaded, model, examples, calls)
    trainer = _trainer(job, progress=progress)
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.perf_counter() - started
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    facts = {
        "n_examples": len(examples),
        "n_steps": trainer.state.global_step,
        "n_trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "trained_tokens": loaded.tokenizer.convert_ids_to_tokens(token_ids),
        "dtype": str(loaded.manifest["dtype"]),
        "mean_tokens": sum(len(e.input_ids) for e in examples) / len(examples),
        "mean_labels": sum(_n_learned(e) for e in examples) / len(examples),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "seconds": round(seconds, 1),
        "is_resumed": checkpoint is not None,
        "best_step": None if calls is None else _best_step(out),
        "data_sha256": data_sha256(config),
        "faults": fault_counts(targets),
        "n_leaks": len(leaks),
        "versions": _versions(),
    }
    trained = Trained(out, facts, None if calls is None else Curves(out))
    _write(job, trained)
    return trained


def _cases(config: Config) -> list[Case]:
    cases = [case for name in config.data for case in load_training(name)]
    if config.n_cases is None or config.n_cases >= len(cases):
        return cases
    return random.Random(config.seed).sample(cases, config.n_cases)  # noqa: S311  repeatable


def _targets(config: Config, cases: Sequence[Case], style: Style) -> list[Target]:
    return valid_targets(
        cases, config.format_style, style, allow_invalid=config.allow_invalid_targets
    )


def _format(config: Config, loaded: Loaded) -> str:
    if config.format != "auto":
        return config.format
    found = None if loaded.template is None else detect_format(loaded.template.source)
    if found is None:
        raise UsageError(
            f"{config.model}: its chat template writes no known format", hint="--format NAME"
        )
    return found


def _open(config: Config, out: Path, *, resume: bool) -> str | None:
    """Make the folder; return the checkpoint to go on from. RunError for another run's folder."""
    from transformers.trainer_utils import get_last_checkpoint

    kept = out / CONFIG
    if kept.is_file():
        if not resume:
            raise RunError(
                f"{out}: holds a training run already",
                hint="--resume goes on with it; another --out begins a new one",
            )
        earlier = read_config(kept, {})
        for name in config.__struct_fields__:
            if name not in FREE and getattr(earlier, name) != getattr(config, name):
                raise RunError(
                    f"{out}: its {name} was {getattr(earlier, name)!r}, not "
                    f"{getattr(config, name)!r}: cannot resume it",
                    hint="another --out begins a new run",
                )
    elif out.is_dir() and any(out.iterdir()):
        raise RunError(f"{out}: is not empty, and holds no training run", hint="another --out")
    out.mkdir(parents=True, exist_ok=True)
    kept.write_text(as_toml(config), encoding="utf-8")
    checkpoints = out / CHECKPOINTS
    if not checkpoints.is_dir():
        return None
    found: str | None = get_last_checkpoint(str(checkpoints))  # type: ignore[no-untyped-call]
    return found


def _short_enough(config: Config, loaded: Loaded, examples: list[Example]) -> list[Example]:
    """Return the examples that fit. UsageError for one beyond the context, if none may be left."""
    most = config.max_length or loaded.context_length
    kept = [example for example in examples if len(example.input_ids) <= most]
    if len(kept) < len(examples) and config.max_length is None:
        longest = max(examples, key=lambda example: len(example.input_ids))
        raise UsageError(
            f"{longest.case_id}: {len(longest.input_ids)} tokens exceed the model's context of "
            f"{most}",
            hint="--max-length N leaves such examples out",
        )
    if not kept:
        raise UsageError(f"every example has more than {most} tokens")
    if len(kept) < len(examples):
        log.warning("%d examples of more than %d tokens left out", len(examples) - len(kept), most)
    return kept


def _calls_callback(config: Config, style: Style) -> CallsCallback | None:
    if config.eval_suite is None:
        return None
    from fcbench.train._callback import CallsCallback

    return CallsCallback(
        config.eval_suite,
        every=config.eval_every,
        n_cases=config.eval_cases,
        prompt=config.eval_prompt or config.format_style,
        format=style.format,
        seed=config.seed,
        patience=config.patience,
        out=config.out,
    )


def _leaks(training: Sequence[Case], measured: Sequence[Case]) -> list[str]:
    """Return the ids of measured cases whose conversation a training case has, word for word."""
    seen = {repr([m.get("content") for m in case.messages]) for case in training}
    return [c.id for c in measured if repr([m.get("content") for m in c.messages]) in seen]


def _trainer(job: _Job, *, progress: bool) -> Any:
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback, TrainingArguments

    from fcbench.train._trainer import CallTrainer, Collator, Progress

    config = job.config
    names = ("input_ids", "labels")
    data = Dataset.from_dict(
        {name: [getattr(example, name) for example in job.examples] for name in names}
        | {"length": [len(example.input_ids) for example in job.examples]}
    )
    arguments = TrainingArguments(
        output_dir=str(Path(config.out) / CHECKPOINTS),
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulate,
        learning_rate=config.rate,
        lr_scheduler_type="constant_with_warmup"
        if config.schedule == "constant"
        else config.schedule,
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.clip_norm,
        seed=config.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=config.save_every,
        save_total_limit=config.keep_checkpoints,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=True,
        report_to="none",
    )
    trainer = CallTrainer(
        model=job.model,
        args=arguments,
        train_dataset=data,
        data_collator=Collator(job.loaded.pad_id),
        processing_class=job.loaded.tokenizer,
        callbacks=[Progress(shown=progress), *([] if job.calls is None else [job.calls])],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _n_learned(example: Example) -> int:
    from fcbench.train._examples import IGNORED

    return sum(label != IGNORED for label in example.labels)


def _best_step(out: Path) -> int | None:
    from fcbench.train._callback import BEST, BEST_FILE

    kept = out / BEST / BEST_FILE
    return json.loads(kept.read_text(encoding="utf-8"))["step"] if kept.is_file() else None


def _versions() -> dict[str, str]:
    from fcbench.runs import versions

    return versions(VERSIONS)


def _name_base(file: Path, name: str) -> None:
    """Let an adapter say its base's name, not the folder in which this machine found it."""
    said = json.loads(file.read_text(encoding="utf-8"))
    text = json.dumps({**said, "base_model_name_or_path": name}, indent=2, sort_keys=True)
    file.write_text(text + "\n", encoding="utf-8")


def _write(job: _Job, trained: Trained) -> None:
    """Put the best weights, or the last where none were measured, and the card into the folder."""
    from fcbench.train._callback import BEST, BEST_FILE, save

    config, out = job.config, trained.folder
    if (out / BEST).is_dir():
        for file in (out / BEST).iterdir():
            if file.name not in (BEST_FILE, "README.md"):
                shutil.copy2(file, out / file.name)
    else:
        save(job.model, out)
    if config.method == "full":
        job.loaded.tokenizer.save_pretrained(out)
    else:
        _name_base(out / "adapter_config.json", config.model)
    text = card(config, trained.facts, trained.curves)
    (out / "README.md").write_text(text, encoding="utf-8")
