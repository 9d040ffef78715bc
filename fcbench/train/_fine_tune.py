"""From a configuration to a trained model in a folder."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.errors import RunError
from fcbench.runs import versions
from fcbench.train._card import card, data_sha256
from fcbench.train._config import as_toml, check_config, read_config
from fcbench.train._curves import Curves
from fcbench.train._examples import IGNORED
from fcbench.train._job import CHECKPOINTS, check_data, job_of, trainer_of

if TYPE_CHECKING:
    from fcbench.train._config import Config
    from fcbench.train._job import Job

CONFIG = "config.toml"
VERSIONS = ("fcbench", "torch", "transformers", "peft", "datasets")
# What may differ between a run and the one that it resumes.
FREE = ("out", "save_every", "keep_checkpoints", "patience", "max_steps")


class Trained(msgspec.Struct, frozen=True):
    """What a training run left: a folder with the adapter or model, and what is in its card."""

    folder: Path
    facts: dict[str, Any]
    curves: Curves | None = None


def fine_tune(config: Config, *, resume: bool = False, progress: bool = False) -> Trained:
    """Train as a configuration says, and return what it left in its folder.

    With `resume` an earlier run of the same configuration goes on from its last checkpoint, or
    begins if there is none. UsageError for targets that the strict grammar refuses, see
    `allow_invalid_targets`, and for what cannot be; SuiteError, ModelError, MissingExtra and
    RunError as elsewhere.
    """
    from fcbench.train._model import check_method

    check_config(config)
    check_method(config)
    check_data(config)
    out = Path(config.out)
    checkpoint = _open(config, out, resume=resume)
    job = job_of(config)
    began = time.perf_counter()
    trainer = trainer_of(job, progress=progress)
    trainer.train(resume_from_checkpoint=checkpoint)
    facts = {
        **_facts(job, trainer, out),
        "seconds": round(time.perf_counter() - began, 1),
        "is_resumed": checkpoint is not None,
    }
    trained = Trained(out, facts, None if job.calls is None else Curves(out))
    _write(job, trained)
    return trained


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
        "mean_tokens": sum(len(e.input_ids) for e in examples) / len(examples),
        "mean_labels": n_learned / len(examples),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "best_step": None if job.calls is None else _best_step(out),
        "data_sha256": data_sha256(job.config),
        "faults": job.faults,
        "n_leaks": len(job.leaks),
        "versions": versions(VERSIONS),
    }


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


def _best_step(out: Path) -> int | None:
    from fcbench.train._callback import BEST, BEST_FILE

    kept = out / BEST / BEST_FILE
    return json.loads(kept.read_text(encoding="utf-8"))["step"] if kept.is_file() else None


def _name_base(file: Path, name: str) -> None:
    """Let an adapter say its base's name, not the folder in which this machine found it."""
    said = json.loads(file.read_text(encoding="utf-8"))
    text = json.dumps({**said, "base_model_name_or_path": name}, indent=2, sort_keys=True)
    file.write_text(text + "\n", encoding="utf-8")


def _write(job: Job, trained: Trained) -> None:
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
