"""The least time that a set of prompts can take: its matrix products at the machine's own rate.

Counted are only the products that no implementation gets around: every linear layer of the
decoder once for each token that must be read (a beginning that prompts share is read once, and
each written token but the last), the output layer once for each token that is written, and
attention between each token read and those that its layer lets it see. Nothing else is counted:
no norms, no softmax, no tokenizer.

There are two prices. `floor` takes them all at the rate of large square products, which is the
most that the machine can do. `as shaped` takes each at the rate measured for the shapes that it
really has: the output layer on 32 rows mostly waits for its weights to come from memory.
"""

from __future__ import annotations

import itertools
import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.benchmarks.generation.prompts import common

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SQUARE = 4096
READING_ROWS, WRITING_ROWS = 512, 32
REPEATS = 5


class Shapes(NamedTuple):
    """The products of a model: (outputs, inputs) of each linear layer, and its attention.

    `windows` holds, for each layer, how many tokens it sees at most, or None for all before.
    """

    decoder: list[tuple[int, int]]
    output: tuple[int, int]
    heads: int
    head_size: int
    windows: list[int | None]


class Work(NamedTuple):
    """What must be computed for a set of prompts, in tokens and in floating-point operations."""

    read: int
    reread: int
    written: int
    decoder_flops: int
    output_flops: int
    attention_flops: int

    @property
    def flops(self) -> int:
        return self.decoder_flops + self.output_flops + self.attention_flops


def shapes_of(folder: str) -> Shapes:
    """Return the products of a model folder, read from its modules without its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    output = model.get_output_embeddings()
    decoder = [
        (module.out_features, module.in_features)
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module is not output
    ]
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    return Shapes(
        decoder,
        (output.out_features, output.in_features),
        config.num_attention_heads,
        config.head_dim,
        [config.sliding_window if kind == "sliding_attention" else None for kind in kinds],
    )


def work(shapes: Shapes, prompts: Sequence[Sequence[int]], written: Sequence[int]) -> Work:
    """Return what must be computed to write so many tokens after each prompt."""
    longest = max(len(p) + n for p, n in zip(prompts, written, strict=True))
    seen = list(itertools.accumulate((_seen(shapes, at) for at in range(longest)), initial=0))
    n_read, n_seen, before = 0, 0, ()
    for prompt, n_new in sorted(zip(map(tuple, prompts), written, strict=True)):
        known = common(before, prompt)
        before = prompt
        n_read += len(prompt) - known
        n_seen += seen[len(prompt) + n_new - 1] - seen[known]
    # What ends a turn is written and not read again.
    n_reread = sum(n - 1 for n in written)
    per_token = 2 * sum(outputs * inputs for outputs, inputs in shapes.decoder)
    per_row = 2 * shapes.output[0] * shapes.output[1]
    return Work(
        n_read,
        n_reread,
        sum(written),
        per_token * (n_read + n_reread),
        per_row * sum(written),
        # Once for the queries by the keys and once for the weights by the values.
        4 * shapes.heads * shapes.head_size * n_seen,
    )


def _seen(shapes: Shapes, at: int) -> int:
    """Return how many tokens the token at a position sees, itself included, over all layers."""
    return sum(at + 1 if window is None else min(at + 1, window) for window in shapes.windows)


# What the machine does in a second


def rates(shapes: Shapes, dtype: str) -> dict[str, float]:
    """Return the rate of large products in flop/s, and the seconds of a model's own products.

    The least of some repeats, after one that does not count: a floor is what nothing disturbs.
    """
    import torch

    kind = getattr(torch, dtype)
    square = torch.randn(SQUARE, SQUARE, dtype=kind)
    weights = [torch.randn(shape, dtype=kind) for shape in shapes.decoder]
    output = torch.randn(shapes.output, dtype=kind)

    def decoder(rows: int) -> Callable[[], None]:
        inputs = {size: torch.randn(rows, size, dtype=kind) for _, size in shapes.decoder}

        def through() -> None:
            # All layers in turn, as in a model: one alone would stay in the processor's cache.
            for weight in weights:
                torch.nn.functional.linear(inputs[weight.shape[1]], weight)

        return through

    last = torch.randn(WRITING_ROWS, shapes.output[1], dtype=kind)
    with torch.inference_mode():
        return {
            "large_flops_per_second": 2 * SQUARE**3 / _least(lambda: square @ square),
            "reading_seconds": _least(decoder(READING_ROWS)),
            "writing_seconds": _least(decoder(WRITING_ROWS)),
            "output_seconds": _least(lambda: torch.nn.functional.linear(last, output)),
        }


def _least(compute: Callable[[], Any]) -> float:
    compute()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        compute()
        times.append(time.perf_counter() - started)
    return min(times)


def merged(measured: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the best of several measurements of the rates, and how far they lie apart."""
    large = [each["large_flops_per_second"] for each in measured]
    best = {key: min(each[key] for each in measured) for key in measured[0]}
    spread = (max(large) - min(large)) / statistics.median(large)
    return best | {"large_flops_per_second": max(large), "spread": spread}


def seconds(done: Work, rate: dict[str, float]) -> dict[str, float]:
    """Return the two prices of the work, in seconds."""
    large = rate["large_flops_per_second"]
    shaped = (
        done.read / READING_ROWS * rate["reading_seconds"]
        + done.reread / WRITING_ROWS * rate["writing_seconds"]
        + done.written / WRITING_ROWS * rate["output_seconds"]
        + done.attention_flops / large
    )
    return {"floor": done.flops / large, "as_shaped": shaped}
