"""AdamW for weights in bfloat16 that keeps them in float32 as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_MASTERS = "masters"


class MasterAdamW(torch.optim.AdamW):
    """AdamW whose steps are added to float32 copies, which the model's weights are rounded from.

    bfloat16 has 8 bits: a weight of 0.02 does not change by a step below 0.00004, and late in a
    schedule all of them are. Computing stays in the model's dtype.
    """

    def __init__(self, groups: Iterable[Mapping[str, Any]], **options: Any) -> None:
        copied = [dict(group) for group in groups]
        self._pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
        for group in copied:
            masters = [p.detach().float().clone() for p in group["params"]]
            self._pairs += zip(group["params"], masters, strict=True)
            group["params"] = masters
        super().__init__(copied, **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; the gradients are those of the model's own weights."""
        loss = None if closure is None else closure()
        for weight, master in self._pairs:
            master.grad = None if weight.grad is None else weight.grad.float()
        super().step()
        for weight, master in self._pairs:
            weight.copy_(master)
            master.grad = None
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:  # noqa: FBT001, FBT002  torch's own
        """Forget the gradients of the model's weights."""
        for weight, _ in self._pairs:
            if set_to_none:
                weight.grad = None
            elif weight.grad is not None:
                weight.grad.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Return the state, the float32 weights with it."""
        return {**super().state_dict(), _MASTERS: [master for _, master in self._pairs]}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a state, the float32 weights with it."""
        state = dict(state_dict)
        for (_, master), kept in zip(self._pairs, state.pop(_MASTERS), strict=True):
            master.copy_(kept)
        super().load_state_dict(state)
