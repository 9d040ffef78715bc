"""Calls measured while a model is trained, in anybody's Trainer."""

from __future__ import annotations

import json
import logging
import random
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from transformers import TrainerCallback

from fcbench.backends import ModelOptions
from fcbench.backends.transformers import TransformersBackend, wrap
from fcbench.errors import ModelError
from fcbench.metrics import HEADLINE
from fcbench.runs import execute, plan, score
from fcbench.suite import Suite, load_suite
from fcbench.train._curves import Curves

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fcbench.runs import Scores
    from fcbench.types import Case

BEST = "best"
BEST_FILE = "best.json"
log = logging.getLogger("fcbench")


class CallsCallback(TrainerCallback):
    """Measures calls every so many steps, keeps the best weights, and may stop the training.

        from fcbench.train import CallsCallback
        trainer.add_callback(CallsCallback("mobile_actions", every=50))

    It writes curves.jsonl (losses too) and curves.svg into `out`, by default the Trainer's output
    folder, and the weights with the best argument_exact_match into its folder `best`: of equals
    those with the better name_match, then syntax_validity, then the later ones. After `patience`
    measurements in a row without a better argument_exact_match it stops the training. The Trainer
    needs the tokenizer as its processing_class.

    `cases` are drawn from the suite with `seed`; all of them where it has no more.
    """

    def __init__(  # noqa: PLR0913  what a measurement depends on
        self,
        suite: str | Path | Suite,
        *,
        every: int = 50,
        n_cases: int = 40,
        prompt: str = "chat",
        format: str = "functiongemma",
        seed: int = 0,
        patience: int | None = None,
        out: str | Path | None = None,
    ) -> None:
        self._suite = suite if isinstance(suite, Suite) else load_suite(suite)
        self.cases = drawn_cases(self._suite.cases, n_cases, seed)
        self._every, self._patience = every, patience
        self._prompt, self._format = prompt, format
        self._out = None if out is None else Path(out)
        self._curves: Curves | None = None
        self._best: tuple[float, ...] = ()
        self._n_stale = 0
        self.scores: Scores | None = None

    @property
    def curves(self) -> Curves:
        """The losses and measurements so far; there are none before training begins."""
        if self._curves is None:
            raise ModelError("nothing is measured before training begins")
        return self._curves

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up the curves of the steps before, if training goes on from a checkpoint."""
        del control
        self._out = self._out or Path(args.output_dir)
        self._out.mkdir(parents=True, exist_ok=True)
        self._curves = Curves(self._out, up_to=state.global_step)
        exact = [key[0] for key in map(_key, self._curves.measured)]
        self._n_stale = len(exact) - 1 - exact.index(max(exact)) if exact else 0
        kept = self._out / BEST / BEST_FILE
        if state.global_step and kept.is_file():
            self._best = tuple(json.loads(kept.read_text(encoding="utf-8"))["key"])

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        """Keep a step's loss."""
        del args, control
        if logs and "loss" in logs:
            self.curves.add_loss(
                state.global_step, state.epoch, logs["loss"], logs.get("learning_rate")
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measure when it is time."""
        del args
        if state.global_step % self._every == 0:
            self._measure(state, control, **given)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measure what was not measured yet."""
        del args
        if self.curves.last_measured != state.global_step:
            self._measure(state, control, **given)

    def _measure(
        self, state: Any, control: Any, model: Any, processing_class: Any = None, **_: Any
    ) -> None:
        if processing_class is None:
            raise ModelError(
                "CallsCallback needs the tokenizer",
                hint="Trainer(…, processing_class=tokenizer)",
            )
        self.scores = scores = self.measure(model, processing_class)
        line = self.curves.add_calls(state.global_step, state.epoch, scores)
        # Where the Trainer's other loggers find them.
        values = {f"eval_{name}": scores.metrics[name].value for name in HEADLINE}
        state.log_history.append({"step": state.global_step, "epoch": state.epoch, **values})
        log.info("step %d: %s", state.global_step, self.curves.sentence(line))
        key = _key(line)
        self._n_stale = 0 if not self._best or key[0] > self._best[0] else self._n_stale + 1
        if key >= self._best:
            self._best = key
            self._keep(model, state.global_step, key)
        if self._patience is not None and self._n_stale >= self._patience:
            log.info("no better argument_exact_match in %d measurements: enough", self._n_stale)
            control.should_training_stop = True

    def measure(self, model: Any, tokenizer: Any) -> Scores:
        """Return the scores of a model as it is now."""
        with answering(model):
            backend = TransformersBackend(
                wrap(model, tokenizer, {"name": "the model in training"}), ModelOptions()
            )
            todo = plan("the model in training", self._suite, self._prompt, None, None, None,
                        format=self._format)  # fmt: skip
            return score(execute(msgspec.structs.replace(todo, cases=self.cases), backend))

    def _keep(self, model: Any, step: int, key: tuple[float, ...]) -> None:
        """Write the weights as the best so far; a kill leaves the earlier ones or these."""
        folder = Path(self._out or "") / BEST
        fresh = folder.with_suffix(".partial")
        shutil.rmtree(fresh, ignore_errors=True)
        save(model, fresh)
        (fresh / BEST_FILE).write_text(json.dumps({"step": step, "key": key}) + "\n", "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


def drawn_cases(cases: list[Case], n_cases: int, seed: int) -> list[Case]:
    """Return n of the cases, drawn with a seed, in their own order; all if there are no more."""
    if len(cases) <= n_cases:
        return list(cases)
    draw = random.Random(seed)  # noqa: S311  a draw to repeat, not a secret
    chosen = set(draw.sample(range(len(cases)), n_cases))
    return [case for i, case in enumerate(cases) if i in chosen]


def save(model: Any, folder: Path) -> None:
    """Write a model, or its adapter alone where it has one."""
    # "auto" would ask a hub whether the base's vocabulary is another.
    options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
    model.save_pretrained(folder, **options)


@contextmanager
def answering(model: Any) -> Iterator[None]:
    """Let a model in training answer, and then be as it was."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    was_training, attention = model.training, inner.config._attn_implementation  # noqa: SLF001
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
        inner.set_attn_implementation(attention)


def _key(line: Mapping[str, Any]) -> tuple[float, ...]:
    """Return what measurements are ordered by, better ones higher."""
    values = (line["calls"][name]["value"] for name in reversed(HEADLINE))
    return tuple(-1.0 if value is None else value for value in values)
