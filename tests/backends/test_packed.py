"""Attention over a row of tokens of many sequences, against plain attention over each one's whole text."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("transformers")

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from fcbench.backends.transformers import _packed
from fcbench.backends.transformers._attention import (
    HIDDEN,
    SCORES,
    attention,
    wide_attention,
)
from fcbench.backends.transformers._kept import Held, Pool, Work
from fcbench.backends.transformers._packed import BLOCK, NARROW, Step

pytestmark = pytest.mark.usefixtures("one_thread")

# The kernel that says its sums, and the products for many queries and for other devices.
WAYS = [attention, wide_attention]

SCALE = 0.4

# One call of it

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def reference(query, key, value, mask):
    """Return attention and its log-sum-exps, in float64 by torch's own functions."""
    query, key, value = (x.double() for x in (query, key, value))
    mask = None if mask is None else mask.double()
    seen = scaled_dot_product_attention(query, key, value, mask, scale=SCALE)
    products = query @ key.transpose(-1, -2) * SCALE
    if mask is not None:
        products = products + mask
    return seen, products.logsumexp(-1)


SHAPES = [(1, 1), (1, 70), (5, 9), (33, 33), (300, 300)]
CASES = [
    (n_new, n_keys, masking)
    for n_new, n_keys in SHAPES
    for masking in ("none", "mask", "mask of all heads")
]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("n_new", "n_keys", "masking"), CASES)
@pytest.mark.parametrize("way", WAYS)
def test_attention_and_its_sums_are_those_of_float64(way, n_new, n_keys, masking, dtype):
    torch.manual_seed(0)
    query = torch.randn(2, 3, n_new, 16).to(dtype)
    key, value = (torch.randn(2, 3, n_keys, 16).to(dtype) for _ in range(2))
    mask = None
    if masking.startswith("mask"):
        hidden = torch.rand(2, 1 if "all" in masking else 3, n_new, n_keys) < 0.4
        hidden[..., 0] = False
        mask = torch.zeros_like(hidden, dtype=dtype).masked_fill(hidden, HIDDEN)
    seen, total = way(query, key, value, mask, SCALE)
    expected, sums = reference(query, key, value, mask)
    assert (seen.dtype, total.dtype) == (dtype, torch.float32)
    close = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    torch.testing.assert_close(seen.double(), expected, **close)
    torch.testing.assert_close(total.double(), sums, **close)


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_may_see_nothing_spoils_no_other_and_is_not_nan(way):
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, n, 16) for n in (3, 20, 20))
    mask = torch.zeros(1, 1, 3, 20)
    mask[:, :, 1] = HIDDEN
    seen, total = way(query, key, value, mask, SCALE)
    assert seen.isfinite().all()
    # So little that joined with anything else it counts for nothing.
    assert (total[:, :, 1] < HIDDEN / 2).all()
    expected, sums = way(query[:, :, ::2], key, value, None, SCALE)
    torch.testing.assert_close(seen[:, :, ::2], expected)
    torch.testing.assert_close(total[:, :, ::2], sums)


def test_the_width_of_values_may_be_another_than_that_of_keys():
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 2, 3, 16), torch.randn(1, 2, 9, 16), torch.randn(1, 2, 9, 8)
    seen, total = attention(query, key, value, None, SCALE)
    expected, sums = reference(query, key, value, None)
    torch.testing.assert_close(seen.double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(total.double(), sums, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("n_at_a_time", [1, 50, 400])
def test_many_queries_are_the_same_a_part_at_a_time(n_at_a_time):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, n, 16) for n in (31, 20, 20))
    mask = torch.where(torch.rand(31, 20) < 0.3, HIDDEN, 0.0)
    expected, sums = wide_attention(query, key, value, mask, SCALE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCORES, "cpu", n_at_a_time)
        seen, total = wide_attention(query, key, value, mask, SCALE)
    torch.testing.assert_close(seen, expected)
    torch.testing.assert_close(total, sums)


def test_scores_of_bfloat16_are_not_rounded_and_pytorchs_setting_stays():
    torch.manual_seed(0)
    query, key = (torch.randn(1, 64, 256).bfloat16() for _ in range(2))
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    _, sums = wide_attention(query, key, key, None, SCALE)
    _, exact = reference(query[None], key[None], key[None], None)
    # Rounded to bfloat16, scores of 30 are off by up to 0.06.
    torch.testing.assert_close(sums.double(), exact[0], atol=1e-3, rtol=0)
    assert setting.fp32_precision == before


# Whole steps

SIZE = 8
WINDOWS = (None, 1, 5, 20)


class Text:
    """A prefix or a sequence: queries (T, Hq, D), keys and values (T, Hkv, D) of all its tokens."""

    def __init__(self, above, chunks, n_kv, n_grouped, *, is_prefix) -> None:
        self.above, self.chunks, self.is_prefix = above, list(chunks), is_prefix
        self.n, self.n_read = sum(chunks), 0
        self.query = torch.randn(self.n, n_kv * n_grouped, SIZE)
        self.key, self.value = (torch.randn(self.n, n_kv, SIZE) for _ in range(2))
        self.start = above[-1].start + above[-1].n if above else 0
        self.held = None
        self.expected = {window: self._expected(window, n_grouped) for window in WINDOWS}

    def _expected(self, window, n_grouped):
        """Return what each token sees (T, Hq, D): plain attention over all that is before it."""
        key, value = (
            torch.cat([getattr(each, name) for each in (*self.above, self)])
            .transpose(0, 1)
            .repeat_interleave(n_grouped, 0)
            for name in ("key", "value")
        )
        query = torch.arange(self.start, self.start + self.n)[:, None]
        at = torch.arange(self.start + self.n)
        sees = at <= query
        if window is not None:
            sees &= at > query - window
        return scaled_dot_product_attention(
            self.query.transpose(0, 1).double(), key.double(), value.double(), sees, scale=SCALE
        ).transpose(0, 1)


class Reading:
    """Texts that are read in steps as a reader reads them; each step's attention must be right."""

    def __init__(self, texts) -> None:
        self.texts = texts
        self._pool = Pool(len(texts), max(text.n for text in texts))

    def step(self, asked):
        """Read the next chunk of some texts, prefixes before what follows them."""
        work = [self._next(text) for text in asked]
        step = Step(work, self._pool, torch.device("cpu"), torch.float32)
        rows = [(self.texts[token // 1000], token % 1000) for token in step.tokens]
        assert sorted(step.tokens) == sorted(token for w in work for token in w.tokens)
        assert step.positions == [text.start + at for text, at in rows]
        wanted = [token for w in work for token in w.tokens[len(w.tokens) - w.n_out :]]
        assert [step.tokens[i] for i in step.outputs] == wanted
        query, key, value = (
            torch.stack([getattr(text, name)[at] for text, at in rows], 1)[None]
            for name in ("query", "key", "value")
        )
        for layer, window in enumerate([*WINDOWS, 5]):  # equal layers have one mask
            seen = step.attend(layer, (query, key, value), SCALE, window)
            expected = torch.stack([text.expected[window][at] for text, at in rows])[None]
            torch.testing.assert_close(seen.double(), expected, atol=1e-5, rtol=1e-5)
        for text, w in zip(asked, work, strict=True):
            text.held.length += len(w.tokens)
            text.n_read += len(w.tokens)

    def _next(self, text):
        if text.held is None:
            above = tuple(each.held for each in text.above)
            text.held = Held(text.start, above, capacity=text.n if text.is_prefix else 0)
            if not text.is_prefix:
                self._pool.take(text.held)
        # A token's id says where it stands.
        first, n = 1000 * self.texts.index(text) + text.n_read, text.chunks.pop(0)
        return Work(text.held, range(first, first + n), min(n, self.texts.index(text) % 3))

    def leave(self, text):
        self._pool.release(text.held)


NARROW_CHUNKS = st.lists(st.integers(1, NARROW), max_size=5)
WIDE_CHUNKS = st.lists(st.integers(1, 3 * NARROW), max_size=3)
CHUNKS = st.tuples(WIDE_CHUNKS, NARROW_CHUNKS).map(lambda both: [*both[0], *both[1]] or [1])


@st.composite
def texts(draw: st.DrawFn) -> list[Text]:
    """A tree of prefixes, and sequences after any of them or none."""
    n_kv, n_grouped = draw(st.sampled_from([(1, 1), (1, 4), (2, 2), (3, 1)]))
    torch.manual_seed(draw(st.integers(0, 99)))
    made: list[Text] = []
    for is_prefix, most in ((True, 4), (False, 5)):
        prefixes = [text for text in made if text.is_prefix]
        for _ in range(draw(st.integers(0 if is_prefix else 1, most))):
            parent = draw(st.sampled_from([None, *prefixes]))
            above = () if parent is None else (*parent.above, parent)
            made.append(Text(above, draw(CHUNKS), n_kv, n_grouped, is_prefix=is_prefix))
            if is_prefix:
                prefixes.append(made[-1])
    return made


@pytest.mark.parametrize("way", WAYS)
@given(texts(), st.randoms(use_true_random=False))
def test_a_token_sees_its_own_text_and_nothing_else_however_it_is_read(way, texts, rng):
    reading = Reading(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_packed, "attention", way)
        patch.setattr(_packed, "BLOCK", 7)
        while left := [text for text in texts if text.chunks]:
            asked: list[Text] = []
            for text in left:  # prefixes are before what follows them
                last = {each for each in asked if len(each.chunks) == 1}
                is_ready = all(not each.chunks or each in last for each in text.above)
                if is_ready and (rng.random() < 0.7 or not asked):
                    asked.append(text)
            reading.step(asked)
            # Sequences come and go in any order, so that slots are moved and used again.
            for text in rng.sample(asked, len(asked)):
                if not text.chunks and not text.is_prefix:
                    reading.leave(text)


@pytest.mark.parametrize("way", WAYS)
def test_texts_of_many_blocks_are_read_as_short_ones_are(way, monkeypatch):
    monkeypatch.setattr(_packed, "attention", way)
    torch.manual_seed(0)
    prefix = Text((), [BLOCK + 90, 5], 2, 2, is_prefix=True)
    after = [Text(above, [2 * BLOCK + 1, 1, 9], 2, 2, is_prefix=False) for above in ((), (prefix,))]
    reading = Reading([prefix, *after])
    reading.step([prefix, after[0]])
    for _ in range(2):
        reading.step([text for text in reading.texts if text.chunks])
    reading.step([after[1]])


def test_sequences_leave_in_every_order_and_the_others_are_read_on():
    for order in itertools.permutations(range(4)):
        torch.manual_seed(0)
        prefix = Text((), [9], 1, 2, is_prefix=True)
        sequences = [
            Text((prefix,) if i % 2 else (), [1 + 3 * i, *[1] * 4], 1, 2, is_prefix=False)
            for i in range(4)
        ]
        reading = Reading([prefix, *sequences])
        reading.step(reading.texts)
        left = list(sequences)
        for i in order:
            reading.step(left)
            reading.leave(sequences[i])
            left.remove(sequences[i])
        assert not left


def test_forgotten_tokens_are_written_over():
    torch.manual_seed(0)
    text, other = (Text((), chunks, 1, 1, is_prefix=False) for chunks in ([12, 5, 5, 9], [3] * 4))
    reading = Reading([text, other])
    reading.step([text, other])
    reading.step([text, other])
    text.held.length -= 5
    text.n_read -= 5
    text.key[12:] = torch.randn(text.n - 12, 1, SIZE)
    text.expected = {window: text._expected(window, 1) for window in WINDOWS}
    reading.step([text, other])
    text.chunks[:] = [text.n - text.n_read]
    reading.step([text, other])


# A model


def test_what_no_layer_may_ask_for_is_said_and_not_ignored():
    text = Text((), [3], 1, 1, is_prefix=False)
    pool = Pool(1, 3)
    text.held = Held(0)
    pool.take(text.held)
    step = Step([Work(text.held, [1, 2, 3])], pool, torch.device("cpu"), torch.float32)
    tensors = (x.transpose(0, 1)[None] for x in (text.query, text.key, text.value))
    with (
        _packed.stepping(step),
        pytest.raises(NotImplementedError, match="attention with softcap"),
    ):
        _packed._attend(None, *tensors, None, softcap=2.0)
