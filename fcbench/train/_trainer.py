"""transformers' Trainer with logits only where a label stands."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm
from transformers import Trainer, TrainerCallback

from fcbench.errors import ModelError
from fcbench.train._attention import NAME, PARTS
from fcbench.train._entropy import cross_entropy
from fcbench.train._examples import IGNORED
from fcbench.train._optimiser import MasterAdamW
from fcbench.train._sampler import FamilySampler

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class CallTrainer(Trainer):
    """Learns the labelled tokens, each counting the same within a step.

    The output layer, which is more than half of a pass where the vocabulary is large, is computed
    for the places before a label alone.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(compute_loss_func=loss_of, **options)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **options: Any) -> Any:
        """Return the loss of one pass over `inputs`, see loss_of."""
        inputs = {**inputs, "use_cache": False}
        inner: Any = self.model
        if PARTS in inputs and inner.config._attn_implementation != NAME:  # noqa: SLF001
            raise ModelError(
                "the model's attention was changed: examples in one row would see each other"
            )
        with only_before_labels(self.model, inputs["labels"]):
            return super().compute_loss(model, inputs, *args, **options)

    def _get_train_sampler(self, train_dataset: Any = None) -> FamilySampler:
        data: Any = self.train_dataset if train_dataset is None else train_dataset
        families = list(data["family"]) if "family" in data.column_names else None
        batch_size = self.args.per_device_train_batch_size
        return FamilySampler(list(data["length"]), batch_size, self.args.seed, families)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return AdamW, with float32 copies of weights that are not in float32."""
        if self.optimizer is None:
            trained_model: Any = self.model if model is None else model
            trained = [p for p in trained_model.parameters() if p.requires_grad]
            options: dict[str, Any] = {
                "lr": self.args.learning_rate,
                "betas": (self.args.adam_beta1, self.args.adam_beta2),
                "eps": self.args.adam_epsilon,
            }
            # Decay is for matrices: a norm's scale has no reason to be near 0.
            groups = [
                {
                    "params": [p for p in trained if p.dim() > 1],
                    "weight_decay": self.args.weight_decay,
                },
                {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
            ]
            groups = [group for group in groups if group["params"]]
            is_wide = all(p.dtype == torch.float32 for p in trained)
            make = torch.optim.AdamW if is_wide else MasterAdamW
            self.optimizer = make(groups, **options)
        return self.optimizer


def loss_of(
    outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Return the cross entropy of the labels (B, T), over all labels of the step.

    `outputs.logits` are (N, V) for the N places before a label, or (B, T, V) from a model whose
    output layer is not a module of its own.
    """
    at = places(labels)
    wanted = labels[:, 1:][at[:, :-1]]
    logits = outputs.logits if outputs.logits.dim() == 2 else outputs.logits[at]  # noqa: PLR2004
    total = cross_entropy(logits, wanted)
    return total / (len(wanted) if num_items_in_batch is None else num_items_in_batch)


def places(labels: torch.Tensor) -> torch.Tensor:
    """Return where (B, T) the next token is learned."""
    at = torch.zeros_like(labels, dtype=torch.bool)
    at[:, :-1] = labels[:, 1:] != IGNORED
    return at


@contextmanager
def only_before_labels(model: Any, labels: torch.Tensor) -> Iterator[None]:
    """Hand the output layer the states before labels alone, (N, H), so that logits are (N, V)."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = inner.get_output_embeddings()
    if head is None:
        yield
        return
    at = places(labels)
    hook = head.register_forward_pre_hook(lambda _, args: (args[0][at], *args[1:]))
    try:
        yield
    finally:
        hook.remove()


class Collator:
    """Pads examples on the right, where causal attention never sees it: no mask is needed."""

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return input_ids and labels, (B, T) each, of the longest example's length."""
        longest = max(len(example["input_ids"]) for example in examples)
        rows = {"input_ids": self._pad_id, "labels": IGNORED}
        return {
            name: torch.tensor(
                [[*e[name], *[padding] * (longest - len(e[name]))] for e in examples]
            )
            for name, padding in rows.items()
        }


class Progress(TrainerCallback):
    """A bar on stderr with the last loss; raises ModelError when a loss is not finite."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        del args, control
        self._bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc="training",
            unit="step",
            disable=not self._shown,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        del args, control
        self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        del args, control
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not abs(loss) < float("inf"):
            raise ModelError(
                f"step {state.global_step}: the loss is {loss}",
                hint="a lower --learning-rate, or --dtype float32",
            )
        self._bar.set_postfix_str(f"loss {loss:.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        del args, state, control
        self._bar.close()
