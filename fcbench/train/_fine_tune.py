"""From a configuration to a trained model in a folder."""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.errors import RunError
from fcbench.runs import versions
from fcbench.train._card import card
from fcbench.train._config import as_toml, check_config, read_config
from fcbench.train._curves import Curves
from fcbench.train._examples import IGNORED
from fcbench.train._job import CHECKPOINTS, checked_cases, data_sha256, job_of, trainer_of

if TYPE_CHECKING:
    from fcbench.train._config import Config
    from fcbench.train._job import Job, Passes

CONFIG, CARD, DATA, PASSES = "config.toml", "README.md", "data.json", "passes.json"
VERSIONS = ("fcbench", "torch", "transformers", "peft", "datasets")
# What may differ between a run and the one that it resumes.
FREE = ("out", "save_every", "keep_checkpoints", "patience")
WHOLE = ("optimizer.pt", "scheduler.pt")
"""What a checkpoint holds beside weights and the state, which is written last."""


class Trained(msgspec.Struct, frozen=True):
    """What a training run left: a folder with the adapter or model, and what is in its card."""

    folder: Path
    facts: dict[str, Any]
    curves: Curves


def fine_tune(config: Config, *, resume: bool = False, progress: bool = False) -> Trained:
    """Train as a configuration says, and return what it left in its folder.

    With `resume` an earlier run of the same configuration goes on from its last checkpoint, or
    begins if there is none. UsageError for targets that the strict grammar refuses, see
    `allow_invalid_targets`, and for what cannot be; SuiteError, ModelError, MissingExtra and
    RunError as elsewhere.
    """
    from fcbench.train._model import check_method, refuse_several_processes

    check_config(config)
    check_method(config)
    refuse_several_processes()
    out = Path(config.out)
    _check_folder(config, out, resume=resume)
    job = job_of(config, checked_cases(config))
    _check_passes(job, out)
    trainer = trainer_of(job, progress=progress)
    checkpoint = _last_checkpoint(out / CHECKPOINTS)
    _begin(job, out)
    began = time.perf_counter()
    if checkpoint is None or not _is_done(job, checkpoint):
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    else:
        _finish(job, trainer, checkpoint)
    facts = {
        **_facts(job, trainer, out),
        "seconds": round(time.perf_counter() - began, 1),
        "is_resumed": checkpoint is not None,
    }
    trained = Trained(out, facts, Curves(out))
    _write(job, trained)
    return trained


def _check_folder(config: Config, out: Path, *, resume: bool) -> None:
    """Raise RunError unless the folder is new, or holds this very run and it is to go on."""
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: is a file", hint="--out names a new folder")
    if not (out / CONFIG).is_file():
        # What _begin writes before it is no run yet.
        begun = {DATA, f"{DATA}.partial", PASSES, f"{PASSES}.partial", f"{CONFIG}.partial"}
        if out.is_dir() and {path.name for path in out.iterdir()} - begun:
            raise RunError(f"{out}: is not empty, and holds no training run", hint="another --out")
        return
    if not resume:
        raise RunError(
            f"{out}: holds a training run already",
            hint="--resume goes on with it; another --out begins a new one",
        )
    earlier = read_config(out / CONFIG, {})
    # Where the rate falls with the steps that are left, it would have fallen otherwise.
    free = (*FREE, "max_steps") if config.schedule == "constant" else FREE
    for name in config.__struct_fields__:
        if name not in free and getattr(earlier, name) != getattr(config, name):
            raise RunError(
                f"{out}: its {name} was {getattr(earlier, name)!r}, not "
                f"{getattr(config, name)!r}: cannot resume it",
                hint="another --out begins a new run",
            )
    if json.loads((out / DATA).read_text(encoding="utf-8")) != data_sha256(config):
        raise RunError(
            f"{out}: was trained on other data under the same name: cannot resume it",
            hint="another --out begins a new run",
        )


def _check_passes(job: Job, out: Path) -> None:
    """Raise RunError where steps would be cut otherwise than those that were taken.

    How they are follows from the machine as well, and the order of the examples from that.
    """
    if not (out / CONFIG).is_file():
        return
    earlier, now = json.loads((out / PASSES).read_text(encoding="utf-8")), _said_of(job.passes)
    if earlier != now:
        raise RunError(
            f"{out}: its steps were cut as {earlier}, here as {now}: cannot resume it",
            hint="go on with it where it began, or another --out begins a new run",
        )


def _said_of(passes: Passes) -> dict[str, Any]:
    return {
        "batch_size": passes.batch_size,
        "accumulate": passes.accumulate,
        "is_shared": passes.families is not None,
    }


def _begin(job: Job, out: Path) -> None:
    """Say in the folder whose it is; config.toml last, which makes it a run's."""
    out.mkdir(parents=True, exist_ok=True)
    _replace(out / DATA, json.dumps(job.data_sha256, indent=2) + "\n")
    _replace(out / PASSES, json.dumps(_said_of(job.passes), indent=2) + "\n")
    _replace(out / CONFIG, as_toml(job.config))


def _replace(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    fresh = file.with_name(f"{file.name}.partial")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


def _last_checkpoint(folder: Path) -> Path | None:
    """Return the last checkpoint that is whole; one that a kill cut short is passed over."""
    steps = {path: path.name.rpartition("-")[2] for path in folder.glob("checkpoint-*")}
    # What else has such a name is somebody's own copy.
    found = {int(step): path for path, step in steps.items() if step.isdecimal()}
    for step in sorted(found, reverse=True):
        try:
            json.loads((found[step] / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if all((found[step] / name).is_file() for name in WHOLE):
            return found[step]
    return None


def _is_done(job: Job, checkpoint: Path) -> bool:
    """Whether there is nothing left to train: transformers would take one more step."""
    config = job.config
    step = json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))["global_step"]
    n_batches = math.ceil(len(job.examples) / job.passes.batch_size)
    n_planned = math.ceil(config.epochs * math.ceil(n_batches / job.passes.accumulate))
    if job.calls is not None:
        job.calls.on_train_begin(None, _At(step), None)
        if job.calls.is_tired:
            return True
    return bool(step >= (config.max_steps or n_planned))


class _At(msgspec.Struct):
    """The step that a callback is asked about."""

    global_step: int


def _finish(job: Job, trainer: Any, checkpoint: Path) -> None:
    """Take up a run that had only to be written: its weights and losses."""
    from transformers import TrainerState

    trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    trainer._load_from_checkpoint(str(checkpoint))  # noqa: SLF001  what train itself does
    if job.calls is not None:
        job.calls.on_train_end(
            trainer.args,
            trainer.state,
            trainer.control,
            model=job.model,
            processing_class=job.loaded.tokenizer,
        )


def _facts(job: Job, trainer: Any, out: Path) -> dict[str, Any]:
    examples, model = job.examples, job.model
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    n_learned = sum(label != IGNORED for example in examples for label in example.labels)
    return {
        "n_examples": len(examples),
        "n_steps": trainer.state.global_step,
        "n_trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "trained_tokens": job.loaded.tokenizer.convert_ids_to_tokens(job.token_ids),
        "dtype": str(job.loaded.manifest["dtype"]),
        "lengths": [len(example.input_ids) for example in examples],
        "mean_labels": n_learned / len(examples),
        "passes": _said_of(job.passes),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "best_step": _best_step(out),
        "data_sha256": job.data_sha256,
        "faults": job.faults,
        "n_left_out": job.n_left_out,
        "format": job.format,
        "model_type": str(job.loaded.model.config.model_type),
        "n_leaks": len(job.leaks),
        "n_mislabelled": len(job.mislabelled),
        "versions": versions(VERSIONS),
    }


def _best_step(out: Path) -> int | None:
    from fcbench.train._callback import BEST, BEST_FILE

    kept = out / BEST / BEST_FILE
    if not kept.is_file():
        return None
    return int(json.loads(kept.read_text(encoding="utf-8"))["step"])


def _write(job: Job, trained: Trained) -> None:
    """Put the best weights, or the last where none were measured, into the folder; the card last.

    A folder with a card is whole.
    """
    from fcbench.train._callback import BEST, BEST_FILE

    config, out = job.config, trained.folder
    source = out / BEST
    if trained.facts["best_step"] is None:
        source = out / CHECKPOINTS / "last"
        job.model.save_pretrained(source)
    for file in source.iterdir():
        if file.name not in (BEST_FILE, CARD):
            shutil.copy2(file, out / f"{file.name}.partial")
            (out / f"{file.name}.partial").replace(out / file.name)
    if config.method == "full":
        job.loaded.tokenizer.save_pretrained(out)
        _stop_at(out / "generation_config.json", job.stop_ids)
    else:
        _name_base(out / "adapter_config.json", config.model)
    _replace(out / CARD, card(config, trained.facts, trained.curves))


def _name_base(file: Path, name: str) -> None:
    """Let an adapter say its base's name, not the folder in which this machine found it."""
    said = json.loads(file.read_text(encoding="utf-8"))
    text = json.dumps({**said, "base_model_name_or_path": name}, indent=2, sort_keys=True)
    _replace(file, text + "\n")


def _stop_at(file: Path, stop_ids: list[int]) -> None:
    """Let others' engines stop where the format's turns end, too."""
    said = json.loads(file.read_text(encoding="utf-8"))
    _replace(file, json.dumps({**said, "eos_token_id": stop_ids}, indent=2) + "\n")
