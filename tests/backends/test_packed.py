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
    SCORES,
    attention,
    hidden,
    plain_attention,
    wide_attention,
)
from fcbench.backends.transformers._kept import Held, Pool, Work
from fcbench.backends.transformers._packed import BLOCK, NARROW, Step

pytestmark = pytest.mark.usefixtures("one_thread")

# The kernel that says its sums, and the products that take its place on other devices.
WAYS = [attention, plain_attention]

SCALE = 0.4

# One call of it

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
SHAPES = [(1, 1), (1, 70), (5, 9), (33, 33), (300, 300)]


def reference(query, key, value, mask):
    """Return attention and its log-sum-exps, in float64 by torch's own functions."""
    query, key, value, mask = (x.double() for x in (query, key, value, mask))
    seen = scaled_dot_product_attention(query, key, value, mask, scale=SCALE)
    products = query @ key.transpose(-1, -2) * SCALE + mask
    return seen, products.logsumexp(-1)


def mask_of(*shape, dtype=torch.float32):
    """Return a mask that hides some keys, never the first."""
    is_hidden = torch.rand(shape) < 0.4
    is_hidden[..., 0] = False
    return torch.zeros(shape, dtype=dtype).masked_fill(is_hidden, hidden(dtype))


def assert_right(found, expected, dtype):
    (seen, sums), (expected_seen, expected_sums) = found, expected
    assert (seen.dtype, sums.dtype) == (dtype, torch.float32)
    close = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    torch.testing.assert_close(seen.double(), expected_seen, **close)
    torch.testing.assert_close(sums.double(), expected_sums, **close)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("n_new", "n_keys"), SHAPES)
@pytest.mark.parametrize("n_masks", [1, 3])
@pytest.mark.parametrize("way", WAYS)
def test_attention_and_its_sums_are_those_of_float64(way, n_masks, n_new, n_keys, dtype):
    torch.manual_seed(0)
    query = torch.randn(2, 3, n_new, 16).to(dtype)
    key, value = (torch.randn(2, 3, n_keys, 16).to(dtype) for _ in range(2))
    mask = mask_of(2, n_masks, n_new, n_keys, dtype=dtype)
    expected = reference(query, key, value, mask)
    assert_right(way(query, key, value, mask, SCALE), expected, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_may_see_nothing_spoils_no_other_and_counts_for_nothing(way, dtype):
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, n, 16).to(dtype) for n in (3, 20, 20))
    mask = torch.zeros(1, 1, 3, 20, dtype=dtype)
    mask[:, :, 1] = hidden(dtype)
    seen, total = way(query, key, value, mask, SCALE)
    assert seen.isfinite().all()
    assert (total[:, :, 1] < hidden(dtype) / 2).all()
    expected, sums = way(query[:, :, ::2], key, value, mask[:, :, ::2], SCALE)
    torch.testing.assert_close(seen[:, :, ::2], expected)
    torch.testing.assert_close(total[:, :, ::2], sums)


def test_the_width_of_values_may_be_another_than_that_of_keys():
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, *shape) for shape in ((3, 16), (9, 16), (9, 8)))
    mask = mask_of(1, 1, 3, 9)
    expected = reference(query, key, value, mask)
    assert_right(attention(query, key, value, mask, SCALE), expected, torch.float32)


@pytest.mark.parametrize("n_at_a_time", [1, 100, 1 << 18])
@pytest.mark.parametrize("n_masked", [0, 7, 20])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_wide_attention_is_that_of_float64_a_part_at_a_time_too(dtype, n_masked, n_at_a_time):
    torch.manual_seed(0)
    query = torch.randn(2, 31, 3, 16).to(dtype)
    key, value = torch.randn(2, 20, 16).to(dtype), torch.randn(2, 20, 8).to(dtype)
    mask = mask_of(31, n_masked) if n_masked else None
    whole = torch.zeros(31, 20)
    if mask is not None:
        whole[:, 20 - n_masked :] = mask
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCORES, "cpu", n_at_a_time)
        found = wide_attention(query, key, value, mask, SCALE)
    seen, sums = reference(
        query.transpose(1, 2),
        key[:, None].expand(-1, 3, -1, -1),
        value[:, None].expand(-1, 3, -1, -1),
        whole,
    )
    assert_right(found, (seen.transpose(1, 2), sums.transpose(1, 2)), dtype)


def test_scores_of_bfloat16_are_not_rounded_and_pytorchs_setting_stays():
    torch.manual_seed(0)
    query, key = (torch.randn(1, 64, 256).bfloat16() for _ in range(2))
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    _, sums = wide_attention(query[:, :, None], key, key, None, SCALE)
    _, exact = reference(query, key, key, torch.zeros(64, 64))
    # Rounded to bfloat16, scores of 30 are off by up to 0.06.
    torch.testing.assert_close(sums[..., 0].double(), exact, atol=1e-3, rtol=0)
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

    def __init__(self, texts, dtype=torch.float32) -> None:
        self.texts, self._dtype = texts, dtype
        self._pool = Pool(len(texts), max(text.n for text in texts))

    def step(self, asked):
        """Read the next chunk of some texts, prefixes before what follows them."""
        work = [self._next(text) for text in asked]
        step = Step(work, self._pool, torch.device("cpu"), self._dtype)
        rows = [(self.texts[token // 1000], token % 1000) for token in step.tokens]
        assert sorted(step.tokens) == sorted(token for w in work for token in w.tokens)
        assert step.positions == [text.start + at for text, at in rows]
        wanted = [token for w in work for token in w.tokens[len(w.tokens) - w.n_out :]]
        assert [step.tokens[i] for i in step.outputs] == wanted
        query, key, value = (
            torch.stack([getattr(text, name)[at] for text, at in rows], 1)[None].to(self._dtype)
            for name in ("query", "key", "value")
        )
        for layer, window in enumerate([*WINDOWS, 5]):  # equal layers have one mask
            seen = step.attend(layer, (query, key, value), SCALE, window)
            expected = torch.stack([text.expected[window][at] for text, at in rows])[None]
            close = TOLERANCE[self._dtype]
            torch.testing.assert_close(seen.double(), expected, atol=close, rtol=close)
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


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("way", WAYS)
def test_texts_of_many_blocks_are_read_as_short_ones_are(way, dtype, monkeypatch):
    monkeypatch.setattr(_packed, "attention", way)
    torch.manual_seed(0)
    prefix = Text((), [BLOCK + 90, 5], 2, 2, is_prefix=True)
    after = [Text(above, [2 * BLOCK + 1, 1, 9], 2, 2, is_prefix=False) for above in ((), (prefix,))]
    reading = Reading([prefix, *after], dtype)
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


def test_what_is_not_finite_leaves_nothing_behind_in_its_slot():
    torch.manual_seed(0)
    broken, long, short = (
        Text((), chunks, 1, 1, is_prefix=False) for chunks in ([9], [12, 1], [3, 1])
    )
    broken.key[5:] = torch.nan
    broken.expected = {
        window: torch.full_like(broken.expected[None], torch.nan) for window in WINDOWS
    }
    reading = Reading([broken, long, short])
    work = [reading._next(broken)]
    reading.texts = [broken, long, short]
    step = Step(work, reading._pool, torch.device("cpu"), torch.float32)
    tensors = (x.transpose(0, 1)[None] for x in (broken.query, broken.key, broken.value))
    step.attend(0, tuple(tensors), SCALE, None)
    reading.leave(broken)
    reading.step([short, long])  # the former has the slot now, and is the shorter one
    reading.step([short, long])


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
