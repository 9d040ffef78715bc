"""From a configuration to what a training run works with: examples, model, trainer."""

from __future__ import annotations

import hashlib
import logging
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench.errors import ModelError, UsageError
from fcbench.formats import detect_format
from fcbench.paths import ADAPTER_WEIGHTS
from fcbench.prompts import Style
from fcbench.suite import load_suite, load_training, training_file
from fcbench.train._examples import encode, fault_counts, valid_targets
from fcbench.train._labels import refused_by_tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.backends.transformers import Loaded
    from fcbench.train._callback import CallsCallback
    from fcbench.train._config import Config
    from fcbench.train._examples import Example
    from fcbench.types import Case

CHECKPOINTS = "checkpoints"
MOST = 0.5
"""Examples are read together by default where more than this share of them begin alike."""
PASS_TOKENS = 8192
"""What a pass of several examples has at most by default, and so how much memory it takes."""
log = logging.getLogger("fcbench")


class Passes(NamedTuple):
    """How a step is cut: `batch_size` examples in each of `accumulate` passes.

    `families` (N) says which examples share a beginning that a pass computes once; None where the
    model cannot, or each pass is one example.
    """

    batch_size: int
    accumulate: int
    families: list[int] | None = None


class Job(NamedTuple):
    """What a training run works with.

    `faults` counts the targets that the strict grammar refuses, by kind; `token_ids` are the rows
    that are trained; `n_left_out` the cases without a target or of too many tokens; `leaks` the
    measured cases that a training case asks word for word; `data_sha256` the hash of each file;
    `stop_ids` what ends a turn; `mislabelled` the cases whose calls their own tools refuse.
    """

    config: Config
    loaded: Loaded
    model: Any
    examples: list[Example]
    passes: Passes
    faults: dict[str, int]
    token_ids: list[int]
    calls: CallsCallback | None
    leaks: list[str]
    n_left_out: int
    format: str
    data_sha256: dict[str, str]
    stop_ids: list[int]
    mislabelled: list[str]


def checked_cases(config: Config) -> list[Case]:
    """Return the cases to train on; raises what is known to be wrong without the model."""
    if config.eval_suite is not None:
        load_suite(config.eval_suite)
    cases = _cases(config)
    if config.format != "auto":
        valid_targets(config, cases, Style(config.format))
    return cases


def job_of(config: Config, cases: list[Case]) -> Job:
    """Return the loaded model and the checked examples; see fine_tune for what is raised."""
    from transformers import set_seed

    from fcbench.backends.transformers import stop_ids
    from fcbench.train._model import load_base, prepare, trained_tokens

    sha256 = data_sha256(config)
    loaded = load_base(config)
    style = Style(_format(config, loaded), loaded.template, loaded.bos)
    targets = valid_targets(config, cases, style)
    stops = stop_ids(loaded, style.wire.STOP_TOKENS)
    examples = encode(targets, config.format_style, style, loaded.tokenizer, set(stops))
    fitting = _short_enough(config, loaded, examples)
    _check_rows(loaded, fitting)
    token_ids = trained_tokens(config, loaded, style.wire.WIRE)
    calls = _calls_callback(config, style)
    leaks = [] if calls is None else _leaks(cases, calls.cases)
    if leaks:
        log.warning(
            "%d of the measured cases ask, word for word, what a training case asks: %s",
            len(leaks),
            ", ".join(leaks[:5]),
        )
    mislabelled = refused_by_tools(cases)
    set_seed(config.seed)  # LoRA's matrices are drawn
    model = prepare(config, loaded, token_ids)
    return Job(
        config=config,
        loaded=loaded,
        model=model,
        examples=fitting,
        passes=_passes(config, model, fitting),
        faults=fault_counts(targets),
        token_ids=token_ids,
        calls=calls,
        leaks=leaks,
        n_left_out=len(cases) - len(fitting),
        format=style.format,
        data_sha256=sha256,
        stop_ids=stops,
        mislabelled=mislabelled,
    )


def data_sha256(config: Config) -> dict[str, str]:
    """Return the SHA-256 of each file of training data, by the name that the config gives it.

    The weights that training goes on from are such a file too.
    """
    files = {name: training_file(name) for name in config.data}
    if config.adapter is not None:
        files[config.adapter] = Path(config.adapter).expanduser() / ADAPTER_WEIGHTS
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def _cases(config: Config) -> list[Case]:
    cases = load_training(*config.data)
    if config.n_cases is None or config.n_cases >= len(cases):
        return cases
    return random.Random(config.seed).sample(cases, config.n_cases)  # noqa: S311  repeatable


def _format(config: Config, loaded: Loaded) -> str:
    if config.format != "auto":
        return config.format
    found = None if loaded.template is None else detect_format(loaded.template.source)
    if found is None:
        raise UsageError(
            f"{config.model}: its chat template writes no known format", hint="--format NAME"
        )
    return found


def _short_enough(config: Config, loaded: Loaded, examples: list[Example]) -> list[Example]:
    """Return the examples that fit. UsageError for one beyond the context, if none may be left."""
    most = min(config.max_length or loaded.context_length, loaded.context_length)
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


def _check_rows(loaded: Loaded, examples: Sequence[Example]) -> None:
    for example in examples:
        unknown = loaded.without_row(example.input_ids)
        if unknown is not None:
            raise ModelError(
                f"{example.case_id} holds {unknown}, for which the model has no row",
                hint="model.resize_token_embeddings(len(tokenizer)), save it, and train that",
            )


def _passes(config: Config, model: Any, examples: Sequence[Example]) -> Passes:
    """Return the largest passes of a step whose examples mostly begin alike, else one by one."""
    from fcbench.train._attention import sees_parts
    from fcbench.train._shared import families, share_of_families

    step, size = config.accumulate, config.batch_size
    alone = Passes(size or 1, step)
    if (size or step) == 1 or not sees_parts(model):
        return alone
    found = families([example.input_ids for example in examples])
    if size is not None:
        return Passes(size, step, found)
    longest = max(len(example.input_ids) for example in examples)
    for n in range(step, 1, -1):
        is_small = n * longest <= PASS_TOKENS  # as if nothing was shared
        if step % n == 0 and is_small and share_of_families(found, n) > MOST:
            log.info("passes of %d examples: what they share at their beginning is read once", n)
            return Passes(n, step // n, found)
    return alone


def _calls_callback(config: Config, style: Style) -> CallsCallback | None:
    """Return what measures calls, or None where no suite is named."""
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
    seen = {_words(case) for case in training}
    return [case.id for case in measured if _words(case) in seen]


def _words(case: Case) -> tuple[str, ...]:
    return tuple(str(message.get("content")) for message in case.messages)


def trainer_of(job: Job, *, progress: bool) -> Any:
    """Return the Trainer of a job."""
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback, TrainingArguments

    from fcbench.train._callback import LossCallback
    from fcbench.train._shared import SharedCollator
    from fcbench.train._trainer import CallTrainer, Collator, Progress

    config, passes = job.config, job.passes
    columns = {
        "input_ids": [example.input_ids for example in job.examples],
        "labels": [example.labels for example in job.examples],
        "length": [len(example.input_ids) for example in job.examples],
    }
    collator: Any = Collator(job.loaded.pad_id)
    if passes.families is not None:
        columns["family"], collator = passes.families, SharedCollator()
    schedule = "constant_with_warmup" if config.schedule == "constant" else config.schedule
    arguments = TrainingArguments(
        output_dir=str(Path(config.out) / CHECKPOINTS),
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        per_device_train_batch_size=passes.batch_size,
        gradient_accumulation_steps=passes.accumulate,
        learning_rate=config.rate,
        lr_scheduler_type=schedule,
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
    # Several devices would take a part of each batch in one process, without its labels' places.
    arguments._n_gpu = min(1, torch.cuda.device_count())  # noqa: SLF001  there is no other way
    trainer = CallTrainer(
        model=job.model,
        args=arguments,
        train_dataset=Dataset.from_dict(columns),
        data_collator=collator,
        processing_class=job.loaded.tokenizer,
        callbacks=[Progress(shown=progress), job.calls or LossCallback(config.out)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
