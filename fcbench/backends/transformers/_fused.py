"""A model's products computed faster on the CPU while it only answers.

Weights are laid out once a run as oneDNN wants them, where PyTorch does it in every product: for a
few tokens that takes longer than the product. In a gated layer the activation and the product of
the two branches belong to the products before. What comes out is the layer's own, up to rounding.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import Linear, Module, Parameter

from fcbench.backends.transformers._memory import free_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Forward = Callable[[torch.Tensor], torch.Tensor]
    Part = tuple[torch.Tensor, torch.Tensor | None]  # a weight laid out, and the bias

log = logging.getLogger("fcbench")

MEMORY_SHARE = 8
"""Of the free memory, copies of weights take at most one part in so many."""
GATED = {"gate_proj", "up_proj", "down_proj", "act_fn"}
"""What transformers calls the parts of down(act(gate(x)) * up(x))."""
ACTIVATIONS: dict[tuple[str, str], Forward] = {
    ("gelu", "tanh"): partial(torch.nn.functional.gelu, approximate="tanh"),
    ("gelu", "none"): torch.nn.functional.gelu,
    ("swish", ""): torch.nn.functional.silu,
}
"""What oneDNN calls an activation, and its variant."""
SAME = 1e-5
"""How far apart two ways to compute one activation may be in float32."""
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05}
"""How far a gated layer may be from its own numbers, as a share of the largest of a row."""
SIZES = (1.0, 30.0, 1000.0)
"""How large the numbers are that a gated layer is tried on: some models' cut large ones off."""


class Fused:
    """The layers of a model that are computed otherwise, see above; none where it is not on a CPU.

    Which they are is found out once, when the model has been loaded whole. Nothing of it is changed
    but in `on`: whoever trains, merges or copies it finds it as it was.
    """

    def __init__(self, model: Module) -> None:
        """Find the layers, and try each gated one."""
        is_on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
        modules = list(model.modules()) if is_on_cpu else []
        self._linears: list[Any] = [module for module in modules if _can_be_laid_out(module)]
        known = set(self._linears)
        self._gated: dict[Any, tuple[str, str]] = {}
        for module in modules:
            if _is_gated(module) and known.issuperset(_parts(module)):
                activation = _activation(module)
                if activation is not None:
                    self._gated[module] = activation
        self._forwards: dict[Module, Forward] = {}

    def lay_out(self) -> None:
        """Take the weights as they are now, unless copies of them would take too much memory."""
        self.let_go()
        # A weight that two layers share is laid out once.
        weights = {id(linear.weight): linear.weight for linear in self._linears}
        n_bytes = sum(weight.numel() * weight.element_size() for weight in weights.values())
        if n_bytes > free_bytes(torch.device("cpu")) // MEMORY_SHARE:
            return
        try:
            laid = {name: _laid_out(weight) for name, weight in weights.items()}
        except RuntimeError as error:  # less memory than there seemed to be, for one
            log.warning("weights are not laid out for faster products: %s", error)
            return
        part = {linear: (laid[id(linear.weight)], linear.bias) for linear in self._linears}
        for linear in self._linears:
            self._forwards[linear] = partial(_product, part[linear])
        for module, activation in self._gated.items():
            parts = [part[linear] for linear in _parts(module)]
            self._forwards[module] = partial(_gate, parts, activation)

    def let_go(self) -> None:
        """Free the copies: each layer is computed as the model does it."""
        self._forwards.clear()

    def forward_of(self, module: Module) -> Forward:
        """Return how a layer is computed now."""
        return self._forwards.get(module, module)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Let the model's layers be computed so. They have no gradients then."""
        for module, forward in self._forwards.items():
            module.__dict__["forward"] = forward
        try:
            yield
        finally:
            for module in self._forwards:
                del module.__dict__["forward"]


def does_no_more(module: Module) -> bool:
    """Return whether calling a module is calling its class's forward, and nothing else."""
    hooks = (module._forward_hooks, module._forward_pre_hooks)  # noqa: SLF001
    return not any(hooks) and "forward" not in module.__dict__


def _can_be_laid_out(module: Module) -> bool:
    # Layers that do more are classes of their own, as an adapter's are, or have weights that are.
    if type(module) is not Linear or type(module.weight) is not Parameter:
        return False
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    dtype = module.weight.dtype
    is_known = dtype == torch.float32 or (
        dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001
    )
    return is_known and does_no_more(module)


def _is_gated(module: Module) -> bool:
    return {name for name, _ in module.named_children()} == GATED and does_no_more(module)


def _parts(module: Any) -> list[Any]:
    return [module.gate_proj, module.up_proj, module.down_proj]


@torch.no_grad()
def _activation(module: Any) -> tuple[str, str] | None:
    """Return what a gated layer's activation is; None if it is none of ours, or the layer other."""
    points = torch.linspace(-8, 8, 1001)
    expected = module.act_fn(points)
    same = [
        name
        for name, known in ACTIVATIONS.items()
        if (known(points) - expected).abs().max() <= SAME
    ]
    if not same:
        return None
    weight = module.gate_proj.weight
    if {linear.weight.dtype for linear in _parts(module)} != {weight.dtype}:
        return None
    rows = torch.randn(len(SIZES), weight.shape[1], generator=torch.Generator().manual_seed(0))
    x = (rows * torch.tensor(SIZES)[:, None]).to(weight.dtype)
    parts = [(_laid_out(linear.weight), linear.bias) for linear in _parts(module)]
    found, own = _gate(parts, same[0], x).float(), module(x).float()
    errors = (found - own).abs().amax(-1) / own.abs().amax(-1)
    # Not a number where all is 0 or too large: then nothing is known of it.
    return same[0] if bool((errors <= TOLERANCE[weight.dtype]).all()) else None


# What PyTorch's compiler makes of such layers, and has no public name for


def _laid_out(weight: torch.Tensor) -> torch.Tensor:
    laid: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach())  # noqa: SLF001
    return laid


def _product(part: Part, x: torch.Tensor) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, *part, "none", [], "")  # noqa: SLF001
    return product


def _gate(parts: list[Part], activation: tuple[str, str], x: torch.Tensor) -> torch.Tensor:
    """Return down(activation(gate(x)) * up(x))."""
    product: Any = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
    gate, up, down = parts
    name, variant = activation
    gated = product(x, *gate, name, [], variant)
    return _product(down, product.binary(x, gated, *up, "mul"))
