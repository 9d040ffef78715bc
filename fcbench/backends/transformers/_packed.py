"""The tokens of many sequences in one row: no padding, shared prefixes read and kept once.

A decoder's layers look at one token at a time but for attention, so the new tokens of all sequences
go through it as one row of N, each with its own position. Attention is done here, in a function
registered with transformers that every layer calls. What a token sees is its sequence's own tokens
and the shared prefixes above them; each is attended to apart, and the parts are joined by the
log-sums of their exponentials, as in Hydragen (Juravsky et al., 2024).
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from fcbench.backends.transformers._attention import attention, hidden, wide_attention

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.backends.transformers._kept import Held, Pool, Work

NAME = "fcbench_packed"
NARROW = 8
"""New tokens up to which a sequence's are attended to together with those of the others."""
BLOCK = 128
"""Tokens of one sequence that look at what is before them at a time: what is after it is hidden."""


class _Layer(NamedTuple):
    """What a layer gives to attention, and what its tokens have seen so far.

    `queries` are (N, Hq, D), `new` the keys and values (Hkv, N, D) of the new tokens, `kept` those
    of the pool. A token sees the last `window` positions, its own among them. `seen` is
    (N, Hq, D), `sums` (N, Hq) float32 are the log-sums of the exponentials behind it.
    """

    number: int
    queries: torch.Tensor
    new: tuple[torch.Tensor, torch.Tensor]
    kept: tuple[torch.Tensor, torch.Tensor]
    scale: float
    window: int | None
    seen: torch.Tensor
    sums: torch.Tensor


class _Wide(NamedTuple):
    """Many new tokens of one sequence or prefix, which stand at first to last in the row."""

    held: Held
    first: int
    last: int


class _View(NamedTuple):
    """What tokens see of a prefix: its keys from `low` on, as `mask` (n, T) has it.

    None for a mask is that all is seen.
    """

    low: int
    mask: torch.Tensor | None = None


class Step:
    """One pass over new tokens: where each stands in the row, and what it sees.

    `tokens` and `positions` are the row; `outputs` are the places in it, in the order of the work,
    after which the next token is asked for.
    """

    def __init__(
        self, work: Sequence[Work], pool: Pool, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Lay out the tokens; `dtype` is that of queries and keys."""
        self._pool, self._device, self._dtype = pool, device, dtype
        narrow = [w for w in work if w.held.slot is not None and len(w.tokens) <= NARROW]
        narrow.sort(key=lambda w: w.held.slot or 0)
        chosen = {id(w) for w in narrow}
        row = [*narrow, *(w for w in work if id(w) not in chosen)]
        first_of, n = {}, 0
        self._wide: list[_Wide] = []
        for w in row:
            first_of[id(w)] = n
            n += len(w.tokens)
            if id(w) not in chosen:
                self._wide.append(_Wide(w.held, first_of[id(w)], n))
        self.tokens = [token for w in row for token in w.tokens]
        self.positions = [w.held.end + j for w in row for j in range(len(w.tokens))]
        self.outputs = [
            first_of[id(w)] + len(w.tokens) - w.n_out + j for w in work for j in range(w.n_out)
        ]
        self._position_of = self._ints(self.positions)
        self._n_narrow = sum(len(w.tokens) for w in narrow)
        if narrow:
            self._lay_out_narrow(narrow)
        self._above = self._lay_out_above(row)
        self._masks: dict[Any, torch.Tensor] = {}
        self._views: dict[tuple[Held, int], _View] = {}

    def _ints(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)

    def _lay_out_narrow(self, narrow: Sequence[Work]) -> None:
        """Find each narrow token's place in the pool, and in a table of (slots, width)."""
        width = max(len(w.tokens) for w in narrow)
        self._width, self._n_slots = width, self._pool.n_held
        slots = [w.held.slot or 0 for w in narrow for _ in w.tokens]
        offsets = [w.held.length + j for w in narrow for j in range(len(w.tokens))]
        places = [(w.held.slot or 0) * width + j for w in narrow for j in range(len(w.tokens))]
        # A place without a token takes the first one's query; what comes of it is dropped.
        sources = [0] * (self._n_slots * width)
        for token, place in enumerate(places):
            sources[place] = token
        self._slots, self._offsets = self._ints(slots), self._ints(offsets)
        self._places, self._sources = self._ints(places), self._ints(sources)
        self._is_full = len(places) == len(sources)
        self._first_last, self._n_keys = min(offsets), max(offsets) + 1

    def _lay_out_above(self, row: Sequence[Work]) -> list[tuple[Held, torch.Tensor | None]]:
        """Return the prefixes, and the places in the row of the tokens after each: None for all."""
        places: dict[Held, list[int]] = {}
        n = 0
        for w in row:
            for prefix in w.held.above:
                places.setdefault(prefix, []).extend(range(n, n + len(w.tokens)))
            n += len(w.tokens)
        return [
            (prefix, None if len(after) == n else self._ints(after))
            for prefix, after in places.items()
        ]

    def attend(
        self,
        number: int,
        states: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        scale: float,
        window: int | None,
    ) -> torch.Tensor:
        """Return what each token sees in a layer, (1, N, Hq, D), and keep the new keys and values.

        `states` are the queries (1, Hq, N, D), the keys and the values (1, Hkv, N, D).
        """
        query, key, value = states
        queries = query[0].transpose(0, 1)
        shape = (*queries.shape[:2], value.shape[-1])
        layer = _Layer(
            number=number,
            queries=queries,
            new=(key[0], value[0]),
            kept=self._pool.layer(number, key, value),
            scale=scale,
            window=window,
            seen=queries.new_empty(shape),
            sums=queries.new_empty(shape[:2], dtype=torch.float32),
        )
        # All is kept before anything is seen: a prefix may be read together with what follows it.
        if self._n_narrow:
            self._keep_narrow(layer)
        for wide in self._wide:
            _keep_wide(layer, wide)
        if self._n_narrow:
            self._see_narrow(layer)
        for wide in self._wide:
            self._see_wide(layer, wide)
        for prefix, places in self._above:
            self._see_prefix(layer, prefix, places)
        return layer.seen[None]

    # Some new tokens of many sequences

    def _keep_narrow(self, layer: _Layer) -> None:
        for kept, new in zip(layer.kept, layer.new, strict=True):
            kept[self._slots, :, self._offsets] = new[:, : self._n_narrow].transpose(0, 1)

    def _see_narrow(self, layer: _Layer) -> None:
        n, slots, width = self._n_narrow, self._n_slots, self._width
        rows = layer.queries[:n] if self._is_full else layer.queries[self._sources]
        # Keys that are out of everybody's window are not looked at.
        low = 0 if layer.window is None else max(0, self._first_last - layer.window + 1)
        keys, values = (kept[:slots, :, low : self._n_keys] for kept in layer.kept)
        # Query heads that share keys stand below each other: (slots, Hkv, width * G, D).
        table = rows.reshape(slots, width, keys.shape[1], -1, rows.shape[-1]).transpose(1, 2)
        grouped = table.flatten(2, 3)
        mask = self._narrow_mask(low, layer.window, table.shape[3])
        seen, sums = attention(grouped, keys, values, mask, layer.scale)
        for all_of, found in ((layer.seen, seen), (layer.sums, sums)):
            back = (
                torch.unflatten(found, 2, (width, -1)).transpose(1, 2).flatten(2, 3).flatten(0, 1)
            )
            all_of[:n] = back if self._is_full else back[self._places]

    def _narrow_mask(self, low: int, window: int | None, n_grouped: int) -> torch.Tensor:
        """Return the mask (slots, 1, width * G, T) of narrow tokens on their own sequences."""
        name = ("narrow", window, n_grouped)
        if name not in self._masks:
            last = torch.zeros(self._n_slots * self._width, dtype=torch.long, device=self._device)
            last[self._places] = self._offsets
            mask = self._mask(last, low, self._n_keys, window, self._dtype).repeat_interleave(
                n_grouped, 0
            )
            mask = mask.view(self._n_slots, 1, -1, self._n_keys - low)
            self._masks[name] = mask
        return self._masks[name]

    # Many new tokens of one sequence

    def _see_wide(self, layer: _Layer, wide: _Wide) -> None:
        begun, n = wide.held.length, wide.last - wide.first
        if begun:
            keys, values = (kept[:, : begun + n] for kept in _kept_of(layer, wide.held))
        else:
            keys, values = (new[:, wide.first : wide.last] for new in layer.new)
        for first in range(0, n, BLOCK):
            last = min(n, first + BLOCK)
            low = 0 if layer.window is None else max(0, begun + first - layer.window + 1)
            here = slice(wide.first + first, wide.first + last)
            high = begun + last
            found = wide_attention(
                _by_key_head(layer.queries[here], len(keys)),
                keys[:, low:high],
                values[:, low:high],
                self._wide_mask(begun + first, high, low, layer.window),
                layer.scale,
            )
            layer.seen[here], layer.sums[here] = map(_by_token, found)

    def _wide_mask(self, first: int, last: int, low: int, window: int | None) -> torch.Tensor:
        """Return the mask of tokens first to last on the last keys of their sequence."""
        # Where no window ends, all that is before them is seen by all of them.
        if window is None or last <= window:
            first, last, low, window = 0, last - first, 0, None
        name = (first, last, low, window)
        if name not in self._masks:
            query = torch.arange(first, last, device=self._device)
            self._masks[name] = self._mask(query, low, last, window, torch.float32)
        return self._masks[name]

    # What is shared

    def _see_prefix(self, layer: _Layer, prefix: Held, places: torch.Tensor | None) -> None:
        """Join what tokens see of a prefix with what they have seen."""
        view = self._view(prefix, places, layer.window)
        if view.low >= prefix.capacity:
            return
        queries = layer.queries if places is None else layer.queries[places]
        keys, values = (kept[:, view.low :] for kept in prefix.layers[layer.number])
        table = _by_key_head(queries, len(keys))
        found = wide_attention(table, keys, values, view.mask, layer.scale)
        seen, sums = map(_by_token, found)
        here: Any = slice(None) if places is None else places
        before, sums_before = layer.seen[here], layer.sums[here]
        share = torch.sigmoid(sums - sums_before)[..., None]
        layer.seen[here] = torch.lerp(before.float(), seen.float(), share).to(before.dtype)
        layer.sums[here] = torch.logaddexp(sums_before, sums)

    def _view(self, prefix: Held, places: torch.Tensor | None, window: int | None) -> _View:
        if window is None:
            return _View(0)
        name = (prefix, window)
        if name not in self._views:
            positions = self._position_of if places is None else self._position_of[places]
            first_seen = positions - prefix.start - window + 1  # (n,) in the prefix
            low = max(0, int(first_seen.min()))
            mask = None
            if int(first_seen.max()) > 0 and low < prefix.capacity:
                last_seen = first_seen + window - 1
                mask = self._mask(last_seen, low, prefix.capacity, window, torch.float32)
            self._views[name] = _View(low, mask)
        return self._views[name]

    def _mask(
        self, queries: torch.Tensor, low: int, high: int, window: int | None, dtype: torch.dtype
    ) -> torch.Tensor:
        """Return the mask (n, high - low) of tokens at `queries` (n,) on keys low to high."""
        queries = queries[:, None]
        keys = torch.arange(low, high, device=self._device)
        is_hidden = keys > queries
        if window is not None:
            is_hidden |= keys <= queries - window
        return torch.zeros_like(is_hidden, dtype=dtype).masked_fill_(is_hidden, hidden(dtype))


def _by_key_head(queries: torch.Tensor, n_key_heads: int) -> torch.Tensor:
    """Return queries (n, Hq, D) as (Hkv, n, G, D): those that share keys beside each other."""
    return torch.unflatten(queries, 1, (n_key_heads, -1)).transpose(0, 1)


def _by_token(found: torch.Tensor) -> torch.Tensor:
    """Return what was found (Hkv, n, G, …) for each token's heads, (n, Hq, …)."""
    return found.transpose(0, 1).flatten(1, 2)


def _kept_of(layer: _Layer, held: Held) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where a layer's keys and values of a sequence or a prefix are kept, (Hkv, T, D)."""
    if held.slot is not None:
        return layer.kept[0][held.slot], layer.kept[1][held.slot]
    if layer.number not in held.layers:
        held.layers[layer.number] = tuple(  # type: ignore[assignment]  # of two
            new.new_empty(new.shape[0], held.capacity, new.shape[-1]) for new in layer.new
        )
    return held.layers[layer.number]


def _keep_wide(layer: _Layer, wide: _Wide) -> None:
    begin = wide.held.length
    for kept, new in zip(_kept_of(layer, wide.held), layer.new, strict=True):
        kept[:, begin : begin + wide.last - wide.first] = new[:, wide.first : wide.last]


# What transformers calls

_STEP: ContextVar[Step | None] = ContextVar("step", default=None)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    step = _STEP.get()
    if step is None:  # somebody else's call of the model, generate's for one
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    for name in ("softcap", "s_aux", "position_bias"):
        if options.get(name) is not None:
            raise NotImplementedError(f"attention with {name}")
    scale = options.get("scaling") or query.shape[-1] ** -0.5
    states = (query, key, value)
    return step.attend(module.layer_idx, states, scale, options.get("sliding_window")), None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def stepping(step: Step) -> Iterator[None]:
    """Let the attention of any model that is called here be that step's."""
    token = _STEP.set(step)
    try:
        yield
    finally:
        _STEP.reset(token)
