"""How a model reads new tokens of many sequences: all in one row, or one sequence after another."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

import torch

from fcbench.backends.transformers._choose import Few
from fcbench.backends.transformers._fused import Fused, does_no_more
from fcbench.backends.transformers._kept import Held, Pool, Work, after
from fcbench.backends.transformers._packed import NAME, Step, stepping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger("fcbench")

# How far the logits of the same tokens may be apart in two ways of computing them, as a share of
# their length. In bfloat16 a right reading of SmolLM2 135M is 0.07 to 0.121 off, by the processor,
# a scale wrong by a fifth 0.16; attention to the wrong tokens is 0.3 off and more.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.14, torch.float16: 0.03}
# Rotary embeddings that depend on how long the whole text is, which a row of many is not.
LENGTH_DEPENDENT = ("dynamic", "longrope")
# Layers whose attention says by itself what it sees. Others say it in a mask, which is not read
# here, and only in texts that are longer than those which are tried.
LAYERS = {"full_attention", "sliding_attention"}


class Outlook:
    """What a model says comes next, at R places: their hidden states (R, H), or logits (R, V).

    `head` is the output layer that takes hidden states, `project` a faster way to compute it.
    """

    def __init__(
        self,
        states: torch.Tensor,
        head: torch.nn.Module | None = None,
        project: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self._states = states
        self._head = head
        self._project = project or head

    @property
    def dtype(self) -> torch.dtype:
        """Return that of the logits."""
        return self._states.dtype

    def logits(self, rows: Sequence[int]) -> torch.Tensor:
        """Return the logits (n, V) of some places."""
        states = self._states
        if len(rows) != len(states) or list(rows) != list(range(len(states))):
            states = states[list(rows)]
        return states if self._project is None else self._project(states)

    def few(self, ids: torch.Tensor) -> Few | None:
        """Return tokens (n,) ascending as ones that logits_of takes; None if they need all."""
        # Layers that do more are classes of their own, as an adapter's are.
        if type(self._head) is not torch.nn.Linear or not does_no_more(self._head):
            return None
        n_all = self._head.out_features
        return Few(ids, n_all) if ids[-1] < n_all else None

    def logits_of(self, row: int, few: Few) -> torch.Tensor:
        """Return the logits (n,) of a few tokens at one place."""
        head: Any = self._head
        ids = few.ids.to(head.weight.device)
        bias = None if head.bias is None else head.bias[ids].float()
        # Products in bfloat16 are summed in float32 too, but set up anew for each number of rows.
        state, weight = self._states[row].float(), head.weight[ids].float()
        return torch.nn.functional.linear(state, weight, bias).to(self.dtype)


class Reader(Protocol):
    """A model that keeps what it has read of each sequence.

    `can_share` is whether prefixes can be read once for many sequences and read tokens be
    forgotten again; `bytes_per_token` is what it keeps of one token.
    """

    can_share: bool
    bytes_per_token: int

    def start(self) -> None:
        """Take the model's weights as they are now: a run begins."""

    def stop(self) -> None:
        """Let go of all that is kept."""

    def reserve(self, n_slots: int, capacity: int) -> None:
        """Forget everything, and make room for n sequences of so many tokens of their own."""

    def open(self, above: tuple[Held, ...]) -> Held:
        """Return a new sequence after the prefixes `above`, outermost first."""

    def share(self, above: tuple[Held, ...], n_tokens: int) -> Held:
        """Return a new prefix of n tokens, none of them read yet."""

    def close(self, held: Held) -> None:
        """Free a sequence."""

    def forget(self, held: Held, n_tokens: int) -> None:
        """Forget the last tokens of a sequence."""

    def read(self, work: Sequence[Work]) -> Outlook:
        """Read new tokens; return what is next after the last `n_out` of each, in order.

        A prefix whose last tokens are among them may stand above sequences in the same work.
        """


class PackedReader:
    """Reads all new tokens in one row, see _packed.

    `head` is the output layer, which then takes hidden states apart from the decoder; None where
    the model does more to its logits than that.
    """

    can_share = True

    def __init__(self, model: Any, head: torch.nn.Module | None) -> None:
        self._model = model
        self._head = head
        self._any_mask = torch.empty(1, 1, 1, 1, device=model.device)
        self._fused = Fused(model)
        self._pool = Pool(1, 1)
        self.bytes_per_token = 0

    def start(self) -> None:
        """Take the model's weights as they are now: a run begins."""
        self._fused.lay_out()

    def stop(self) -> None:
        """Let go of all that is kept."""
        self._fused.let_go()
        self._pool = Pool(1, 1)

    def reserve(self, n_slots: int, capacity: int) -> None:
        """Forget everything, and make room for n sequences of so many tokens of their own."""
        self._pool = Pool(n_slots, capacity)

    def open(self, above: tuple[Held, ...]) -> Held:
        """Return a new sequence after the prefixes `above`, outermost first."""
        held = Held(after(above), above)
        self._pool.take(held)
        return held

    def share(self, above: tuple[Held, ...], n_tokens: int) -> Held:
        """Return a new prefix of n tokens, none of them read yet."""
        return Held(after(above), above, capacity=n_tokens)

    def close(self, held: Held) -> None:
        """Free a sequence."""
        self._pool.release(held)

    def forget(self, held: Held, n_tokens: int) -> None:
        """Forget the last tokens of a sequence."""
        held.length -= n_tokens

    def read(self, work: Sequence[Work]) -> Outlook:
        """Read new tokens; return what is next after the last `n_out` of each, in order."""
        device = self._model.device
        step = Step(work, self._pool, device, self._model.dtype)
        inputs = {
            "input_ids": torch.tensor([step.tokens], device=device),
            "position_ids": torch.tensor([step.positions], device=device),
            # Any mask of four dimensions keeps transformers from making one.
            "attention_mask": self._any_mask,
            "use_cache": False,
        }
        outputs = torch.tensor(step.outputs, dtype=torch.long, device=device)
        with stepping(step), self._fused.on():
            if self._head is None:
                states = self._model(**inputs, logits_to_keep=outputs).logits[0]
            else:
                states = self._model.base_model(**inputs).last_hidden_state[0, outputs]
        for held, tokens, _ in work:
            held.length += len(tokens)
        if self._head is None:
            return Outlook(states)
        return Outlook(states, self._head, self._fused.forward_of(self._head))


class AloneReader:
    """Reads one sequence after another, as transformers would: slow, and right for any model."""

    can_share = False
    bytes_per_token = 0

    def __init__(self, model: Any) -> None:
        self._model = model
        self._caches: dict[Held, dict[str, Any]] = {}

    def start(self) -> None:
        """Do nothing: the model itself is asked."""

    def stop(self) -> None:
        """Let go of all that is kept."""
        self._caches.clear()

    def reserve(self, n_slots: int, capacity: int) -> None:
        """Forget everything."""
        del n_slots, capacity
        self._caches.clear()

    def open(self, above: tuple[Held, ...]) -> Held:
        """Return a new sequence."""
        del above
        held = Held(0)
        self._caches[held] = {}
        return held

    def share(self, above: tuple[Held, ...], n_tokens: int) -> Held:
        """Raise: nothing is shared here."""
        raise NotImplementedError

    def close(self, held: Held) -> None:
        """Free a sequence."""
        del self._caches[held]

    def forget(self, held: Held, n_tokens: int) -> None:
        """Raise: a recurrent state has no way back."""
        raise NotImplementedError

    def read(self, work: Sequence[Work]) -> Outlook:
        """Read new tokens; return what is next after the last of each that asks for it."""
        states = [self._read_one(held, tokens) for held, tokens, _ in work]
        asked = [state for state, w in zip(states, work, strict=True) if w.n_out]
        # A step may hold nothing but pieces of long prompts, after which nobody asks.
        return Outlook(torch.stack(asked) if asked else states[0][:0])

    def _read_one(self, held: Held, tokens: Sequence[int]) -> torch.Tensor:
        """Return the logits (V,) after the last of the tokens."""
        # A first pass may take many; later ones one each, as recurrent layers want it.
        for some in [tokens] if held.length == 0 else [[token] for token in tokens]:
            ids = torch.tensor([list(some)], device=self._model.device)
            out = self._model(ids, use_cache=True, logits_to_keep=1, **self._caches[held])
            self._caches[held] = {
                name: out[name] for name in ("past_key_values", "cache_params") if name in out
            }
            held.length += len(some)
        logits: torch.Tensor = out.logits[0, -1]
        return logits


@torch.inference_mode()
def reader_for(model: Any) -> Reader:
    """Return the fastest reader that reads as the model itself does, tried on two short texts."""
    # The model inside peft's wrapper, whose layers hold the adapter.
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    texts = [[5, 3, 8, 2, 7, 1, 9, 4, 6, 3, 5], [5, 3, 8, 2, 1, 1, 6]]
    n_rows = inner.config.get_text_config().vocab_size
    texts = [[token % n_rows for token in text] for text in texts]
    expected = torch.stack(
        [inner(torch.tensor([t], device=inner.device)).logits[0, -1] for t in texts]
    )
    config = inner.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or LAYERS)
    if not depends_on_length(config) and kinds <= LAYERS:
        for head in (inner.get_output_embeddings(), None):
            packed = _tried(inner, head, texts, expected)
            if packed is not None:
                return packed
    log.warning("this model is read one sequence at a time, which is slow")
    return AloneReader(inner)


def depends_on_length(config: Any) -> bool:
    """Whether a token's rotary embedding depends on how long its whole text is."""
    rope = getattr(config, "rope_parameters", None) or {}
    return rope.get("rope_type") in LENGTH_DEPENDENT


def _tried(
    model: Any, head: Any, texts: Sequence[Sequence[int]], expected: torch.Tensor
) -> PackedReader | None:
    """Return a packed reader if its logits are those expected, (2, V)."""
    before = model.config._attn_implementation  # noqa: SLF001
    try:
        model.set_attn_implementation(NAME)
        reader = PackedReader(model, head)
        found = _logits_of(reader, texts)
    # The boundary to code of any model: what cannot take a row of tokens fails in its own way.
    except Exception as error:  # noqa: BLE001
        log.debug("a row of tokens is not for this model: %s: %s", type(error).__name__, error)
        found = None
    if found is not None and _is_close(found, expected):
        return reader
    model.set_attn_implementation(before)
    return None


def _logits_of(reader: PackedReader, texts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the logits (2, V) after two texts that begin alike, shared prefix and steps tried."""
    first, second = texts
    reader.start()
    reader.reserve(2, len(first))
    prefix = reader.share((), 3)
    a, b = reader.open((prefix,)), reader.open((prefix,))
    reader.read([Work(prefix, first[:3], 0), Work(a, first[3:5], 0), Work(b, second[3:-1], 0)])
    outlook = reader.read([Work(a, first[5:]), Work(b, second[-1:])])
    logits = outlook.logits([0, 1])
    kept = prefix.layers.values()
    reader.bytes_per_token = (
        sum((k.numel() + v.numel()) * k.element_size() for k, v in kept) // prefix.capacity
    )
    reader.stop()
    return logits


def _is_close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    if not torch.isfinite(expected).all():
        return True  # a broken model: its samples will say so
    # Lengths, not the largest of the differences: rounding may turn single logits about.
    difference = (found.float() - expected.float()).norm(dim=-1)
    return bool((difference <= TOLERANCE[expected.dtype] * expected.float().norm(dim=-1)).all())
