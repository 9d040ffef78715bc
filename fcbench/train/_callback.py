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
"""Written last: a folder that has it is whole."""
NAME = "the model in training"
log = logging.getLogger("fcbench")


class LossCallback(TrainerCallback):
    """Keeps the losses, in curves.jsonl and curves.svg of a folder."""

    def __init__(self, out: str | Path | None = None) -> None:
        self._out = None if out is None else Path(out)
        self._curves: Curves | None = None

    @property
    def curves(self) -> Curves:
        """The losses and measurements so far; there are none before training begins."""
        if self._curves is None:
            raise ModelError("nothing is measured before training begins")
        return self._curves

    @property
    def folder(self) -> Path:
        """Where they are kept."""
        return self.curves.folder

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up the curves of the steps before, if training goes on from a checkpoint."""
        del control
        folder = self._out or Path(args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self._curves = Curves(folder, up_to=state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        """Keep a step's loss."""
        del args, control
        if logs and "loss" in logs:
            self.curves.add_loss(
                state.global_step, state.epoch, logs["loss"], logs.get("learning_rate")
            )

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Draw them."""
        del args, state, control, given
        self.curves.draw()


class CallsCallback(LossCallback):
    """Measures calls every so many steps, keeps the best weights, and may stop the training.

        from fcbench.train import CallsCallback
        trainer.add_callback(CallsCallback("mobile_actions", every=50))

    It writes curves.jsonl (losses too) and curves.svg into `out`, by default the Trainer's output
    folder, and the weights with the best argument_exact_match into its folder `best`: of equals
    those with the better name_match, then syntax_validity, then the later ones; never those of a
    measurement in which the machinery failed. After `patience` measurements in a row without a
    better argument_exact_match it stops the training. Values also stand in the Trainer's
    log_history, as eval_argument_exact_match and so on. The Trainer needs the tokenizer as its
    processing_class.

    `n_cases` are drawn from the suite with `seed`; all of them where it has no more. `format` is
    the wire format, "auto" for what the chat template writes.
    """

    def __init__(  # noqa: PLR0913  what a measurement depends on
        self,
        suite: str | Path | Suite,
        *,
        every: int = 50,
        n_cases: int = 40,
        prompt: str = "chat",
        format: str = "auto",
        seed: int = 0,
        patience: int | None = None,
        out: str | Path | None = None,
    ) -> None:
        super().__init__(out)
        self._suite = suite if isinstance(suite, Suite) else load_suite(suite)
        self.cases = drawn_cases(self._suite.cases, n_cases, seed)
        self._every, self._patience = every, patience
        self._prompt, self._format = prompt, format

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up the curves of the steps before, if training goes on from a checkpoint."""
        super().on_train_begin(args, state, control)
        recover(self.folder / BEST)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measure when it is time."""
        del args
        if state.global_step % self._every == 0:
            self._measure(state, control, **given)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measure what was not measured yet, and draw."""
        if self.curves.last_measured != state.global_step:
            self._measure(state, control, **given)
        super().on_train_end(args, state, control)

    def _measure(
        self, state: Any, control: Any, model: Any, processing_class: Any = None, **_: Any
    ) -> None:
        if processing_class is None:
            raise ModelError(
                "CallsCallback needs the tokenizer",
                hint="Trainer(…, processing_class=tokenizer)",
            )
        best = max(map(_key, self.curves.measured), default=())
        line = self.curves.add_calls(
            state.global_step, state.epoch, self.measure(model, processing_class)
        )
        values = {f"eval_{name}": cell["value"] for name, cell in line["calls"].items()}
        state.log_history.append({"step": state.global_step, "epoch": state.epoch, **values})
        log.info("step %d: %s", state.global_step, self.curves.sentence(line))
        key = _key(line)
        if key and key >= best:
            keep(model, processing_class, self.folder / BEST, state.global_step)
        if self.is_tired:
            log.info("no better argument_exact_match in %d measurements: enough", self._patience)
            control.should_training_stop = True

    @property
    def is_tired(self) -> bool:
        """Whether `patience` measurements in a row were no better than the best before them."""
        exact = [key[0] if key else -1.0 for key in map(_key, self.curves.measured)]
        return (
            self._patience is not None
            and bool(exact)
            and len(exact) - 1 - exact.index(max(exact)) >= self._patience
        )

    def measure(self, model: Any, tokenizer: Any) -> Scores:
        """Return the scores of a model as it is now."""
        todo = plan(NAME, self._suite, self._prompt, None, None, None, format=self._format)
        todo = msgspec.structs.replace(todo, cases=self.cases)
        with answering(model):
            loaded = wrap(model, tokenizer, {"name": NAME})
            return score(execute(todo, TransformersBackend(loaded, ModelOptions())))


def keep(model: Any, tokenizer: Any, folder: Path, step: int) -> None:
    """Write the weights as the best so far; a kill leaves the earlier ones or these."""
    fresh, old = folder.with_suffix(".partial"), folder.with_suffix(".old")
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    model.save_pretrained(fresh)
    if not hasattr(model, "peft_config"):
        tokenizer.save_pretrained(fresh)
    (fresh / BEST_FILE).write_text(json.dumps({"step": step}) + "\n", "utf-8")
    if folder.is_dir():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> None:
    """Put whole weights back in their place where a kill came between the two renames of keep."""
    for left in (folder.with_suffix(".partial"), folder.with_suffix(".old")):
        if (left / BEST_FILE).is_file() and not folder.is_dir():
            left.rename(folder)


def drawn_cases(cases: list[Case], n_cases: int, seed: int) -> list[Case]:
    """Return n of the cases, drawn with a seed, in their own order; all if there are no more."""
    if len(cases) <= n_cases:
        return list(cases)
    draw = random.Random(seed)  # noqa: S311  a draw to repeat, not a secret
    chosen = set(draw.sample(range(len(cases)), n_cases))
    return [case for i, case in enumerate(cases) if i in chosen]


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
    """Return what measurements are ordered by, better ones higher; () for one with errors."""
    if line["n_errors"]:
        return ()
    values = (line["calls"][name]["value"] for name in reversed(HEADLINE))
    return tuple(-1.0 if value is None else value for value in values)
