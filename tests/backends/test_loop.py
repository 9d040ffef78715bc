"""The decoding loop: every job answered once and as if it were alone, whatever happens on the way.

On a stand-in for the model but where a model's own code fails.
"""

from __future__ import annotations

import random
import time

import pytest

pytest.importorskip("transformers")

import torch
from hypothesis import given
from hypothesis import strategies as st

from fcbench.backends import ModelOptions, open_model
from fcbench.backends.transformers import _decode
from fcbench.backends.transformers._choose import Chosen, Free, Likeliest
from fcbench.backends.transformers._decode import (
    DRAFTING,
    LEAST_STEP_TOKENS,
    STEP_TOKENS,
    Job,
    Loop,
)
from fcbench.backends.transformers._prefixes import LEAST
from fcbench.backends.transformers._read import AloneReader
from fcbench.errors import ModelError
from fcbench.types import Decoding
from tests.backends.decoding import (
    N_TOKENS,
    STOP,
    Forcing,
    StandIn,
    Unaware,
    alone,
    written,
    written_by,
)
from tests.backends.generated import as_requests

SYSTEM = [5 + i % 30 for i in range(2 * LEAST)]
TOOLS = [[7 + i] * LEAST for i in range(3)]


@st.composite
def jobs(draw: st.DrawFn) -> list[Job]:
    """Jobs whose prompts share beginnings of more than one length, with choosers of every kind."""
    made = []
    for _ in range(draw(st.integers(0, 12))):
        beginning = draw(st.sampled_from([[], SYSTEM, *(SYSTEM + tools for tools in TOOLS)]))
        own = draw(st.lists(st.integers(2, N_TOKENS - 1), min_size=1, max_size=90))
        forced = st.lists(st.integers(2, N_TOKENS - 1), max_size=12)
        choose = Forcing(draw(forced), draw(forced), ends_first=draw(st.integers(0, 9)) == 0)
        made.append(Job(beginning + own, choose, draw(st.integers(1, 20))))
    return made


def outcome(answers):
    assert [a.error for a in answers if a.error is not None] == []
    return [(a.tokens, a.stop) for a in answers]


N_SLOTS = st.integers(1, 6)
PREFIX_BYTES = st.sampled_from([0, LEAST - 1, 2 * LEAST, 100, 10_000])


@given(jobs(), N_SLOTS, PREFIX_BYTES)
def test_each_job_is_answered_as_if_it_were_alone(jobs, n_slots, prefix_bytes):
    reader = StandIn()
    loop = Loop(reader, jobs, n_slots, prefix_bytes)
    assert outcome(written_by(loop, len(jobs))) == [alone(job) for job in jobs]
    assert loop.n_read == reader.n_read
    assert loop.n_slots == max(1, min(n_slots, len(jobs)))
    assert loop.n_read <= loop.n_given


@given(jobs(), N_SLOTS, PREFIX_BYTES)
def test_prefixes_never_hold_more_than_their_bound(jobs, n_slots, prefix_bytes):
    reader = StandIn()
    loop = Loop(reader, jobs, n_slots, prefix_bytes)
    written_by(loop, len(jobs))
    assert reader.peak_prefix_bytes <= loop.peak_prefix_bytes <= prefix_bytes


@given(jobs(), N_SLOTS, PREFIX_BYTES, st.sets(st.integers(1, 60), max_size=9))
def test_no_job_is_lost_or_changed_when_memory_runs_out_at_any_step(
    jobs, n_slots, prefix_bytes, failing
):
    # With one sequence at a time a failure is the sequence's own: it ends there.
    reader = StandIn(lambda n, work: n in failing and reader.reserved[-1] > 1)
    loop = Loop(reader, jobs, n_slots, prefix_bytes)
    assert outcome(written_by(loop, len(jobs))) == [alone(job) for job in jobs]


def test_a_failing_step_is_tried_again_with_half_the_sequences_and_half_the_tokens(monkeypatch):
    tried = []
    reader = StandIn(lambda n, work: tried.append(sum(len(w.tokens) for w in work)) or True)
    made = [Job([3] * 2000, Forcing(), 2) for _ in range(20)]
    loop = Loop(reader, made, 16, 0)
    first = next(loop.run())[1]
    assert first.error == "RuntimeError: can't allocate memory"
    # Tokens have a least number too, which is less than the halves of the slots take them to.
    assert reader.reserved[:5] == [16, 8, 4, 2, 1]
    assert tried[:5] == [STEP_TOKENS >> i for i in range(5)]
    assert tried[4] == LEAST_STEP_TOKENS
    assert (len(tried), loop.n_slots) == (5, 1)


@pytest.mark.parametrize("error", [RuntimeError("x"), IndexError("x"), MemoryError("x")])
def test_what_a_models_code_raises_is_an_error_of_the_sample(error):
    def fails(_n, _work):
        raise error

    (answer,) = written(StandIn(fails), [Job([3, 4], Forcing(), 2)])
    assert (answer.tokens, answer.stop) == ([], None)
    assert answer.error == f"{type(error).__name__}: x"


def test_any_other_exception_is_a_fault_of_ours_and_ends_the_run():
    def fails(_n, _work):
        raise TypeError

    with pytest.raises(TypeError):
        written(StandIn(fails), [Job([3, 4], Forcing(), 2)])


@given(jobs(), N_SLOTS, PREFIX_BYTES, st.integers(0, 5))
def test_a_token_that_breaks_the_model_is_an_error_of_its_sequence_alone(
    jobs, n_slots, prefix_bytes, place
):
    broken = 0  # no prompt has it, no chooser forces it
    jobs.insert(min(place, len(jobs)), Job([9, 8, broken, 4], Forcing(), 5))
    jobs.insert(0, Job([*SYSTEM, *TOOLS[0], broken], Forcing(), 5))

    def fails(_n, work):
        return any(broken in w.tokens for w in work)

    for job, answer in zip(jobs, written(StandIn(fails), jobs, n_slots, prefix_bytes), strict=True):
        tokens, stop = alone(job)
        if broken in [*job.prompt, *tokens[:-1]]:
            assert answer.error is not None
            assert answer.stop is None
            assert answer.tokens == tokens[: len(answer.tokens)]
        else:
            assert (answer.tokens, answer.stop, answer.error) == (tokens, stop, None)


# How much is read, and when


class Saying(Unaware):
    """Chooses the tokens that it is told to, one after another."""

    def __init__(self, *tokens: int) -> None:
        self._tokens = list(tokens)

    def first(self, limit: int) -> Chosen:
        del limit
        return Chosen([])

    def next(self, view: object, remaining: int) -> Chosen:
        del view, remaining
        token = self._tokens.pop(0)
        return Chosen([token], token == STOP)


def test_the_tokens_that_are_read_are_those_counted_by_hand():
    reader = StandIn()
    made = [
        Job([*SYSTEM, 5], Saying(6, 7, STOP), 9),  # own 1, then 6 and 7
        Job([*SYSTEM, 6, 7, 8], Saying(STOP), 9),  # own 3
        Job([9, 9, 9, 9], Saying(2, 2), 2),  # 4, then 2: the last token is never read
    ]
    loop = Loop(reader, made, 3, 10_000)
    assert [a.stop for a in written_by(loop, 3)] == ["token", "token", "limit"]
    assert [sorted(step) for step in reader.steps] == [[1, 3, 4, 2 * LEAST], [1, 1], [1]]
    assert loop.n_read == 2 * LEAST + 1 + 2 + 3 + 4 + 1
    assert loop.n_given == (2 * LEAST + 3) + (2 * LEAST + 3) + 5
    assert loop.peak_prefix_bytes == reader.peak_prefix_bytes == 2 * LEAST


def test_a_prefix_that_does_not_fit_is_read_with_each_prompt():
    for prefix_bytes in (0, LEAST - 1):
        reader = StandIn()
        made = [Job([*SYSTEM, i], Saying(STOP), 9) for i in (5, 6, 7)]
        loop = Loop(reader, made, 3, prefix_bytes)
        written_by(loop, 3)
        assert (loop.n_read, loop.peak_prefix_bytes) == (3 * (2 * LEAST + 1), 0)


def test_a_sequence_that_ends_makes_room_for_the_next_in_the_very_next_step():
    reader = StandIn()
    written(reader, [Job([i + 2], Saying(*[2] * i, STOP), 9) for i in (3, 1, 0, 2)], 2)
    # In the order of their prompts, of 1, 2, 3 and 4 passes: two at work as long as there are two.
    assert [len(step) for step in reader.steps] == [2, 2, 2, 2, 1, 1]


def test_a_long_prompt_is_read_in_pieces_while_others_go_on():
    reader = StandIn()
    long = [3] * (2 * STEP_TOKENS + 100)
    made = [Job([2], Saying(*[2] * 5, STOP), 9), Job(long, Saying(STOP), 9)]
    written(reader, made, 2)
    assert reader.steps[0] == [1, STEP_TOKENS - 1]
    assert reader.steps[1] == [1, STEP_TOKENS - 1]
    assert reader.steps[2] == [1, 102]
    assert len(reader.steps) == 6


@given(jobs(), N_SLOTS, PREFIX_BYTES)
def test_a_step_reads_hardly_more_than_it_may(jobs, n_slots, prefix_bytes):
    reader = StandIn()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_decode, "STEP_TOKENS", 40)
        answers = written(reader, jobs, n_slots, prefix_bytes)
    assert outcome(answers) == [alone(job) for job in jobs]
    assert all(sum(step) <= 40 + n_slots for step in reader.steps)


def test_each_job_has_a_limit_of_its_own():
    made = [Job([3], Saying(*[2] * 20), limit) for limit in (1, 7, 3, 20)]
    answers = written(StandIn(), made, 2)
    assert [len(a.tokens) for a in answers] == [1, 7, 3, 20]
    assert {a.stop for a in answers} == {"limit"}


@pytest.mark.parametrize(
    ("choose", "limit", "tokens", "stop"),
    [
        (Forcing(range(2, 9)), 4, [2, 3, 4, 5], "limit"),
        (Forcing([2, 3], ends_first=True), 4, [2, 3], "token"),
        (Forcing([2, 3], ends_first=True), 2, [2, 3], "token"),
        (Forcing(), 0, [], "limit"),
    ],
)
def test_a_job_that_ends_before_the_model_is_asked_is_answered_and_not_read(
    choose, limit, tokens, stop
):
    reader = StandIn()
    other = Job([5, 6], Saying(7, STOP), 9)
    answers = written(reader, [Job([5, 6], choose, limit), other], 1)
    assert (answers[0].tokens, answers[0].stop, answers[0].error) == (tokens, stop, None)
    assert (answers[1].tokens, answers[1].stop) == ([7, STOP], "token")
    assert reader.n_read == 3
    assert [a.stop for a in written(StandIn(), [Job([5, 6], choose, limit)], 1)] == [stop]


def test_no_jobs_are_no_answers():
    reader = StandIn()
    assert written(reader, []) == []
    assert reader.steps == []


def test_the_seconds_of_all_samples_are_the_time_that_passed():
    def slow(_n, _work):
        time.sleep(0.002)
        return False

    rng = random.Random(0)
    made = [
        Job([*SYSTEM, *TOOLS[i % 3], rng.randrange(N_TOKENS)], Forcing(), rng.randrange(1, 12))
        for i in range(30)
    ]
    for prefix_bytes in (0, 10_000):
        started = time.perf_counter()
        answers = written(StandIn(slow), made, 4, prefix_bytes)
        passed = time.perf_counter() - started
        assert 0.8 * passed < sum(a.seconds for a in answers) <= passed
        assert all(a.seconds > 0 for a in answers)


def test_a_sequence_that_is_given_more_tokens_is_charged_more_of_a_step():
    reader = StandIn(lambda n, work: time.sleep(0.02))
    short, long = written(reader, [Job([5], Saying(STOP), 1), Job([6] * 99, Saying(STOP), 1)], 2)
    assert long.seconds == pytest.approx(99 * short.seconds)


# The backend on it


@pytest.fixture(scope="module")
def model(tiny_model):
    return str(tiny_model)


class Breaking:
    """A backend's own reader, that fails at given steps."""

    def __init__(self, reader, fails) -> None:
        self._reader, self._fails, self.n_tried = reader, fails, 0

    def read(self, work):
        self.n_tried += 1
        if self._fails(self.n_tried, work):
            raise torch.OutOfMemoryError("out of memory")
        return self._reader.read(work)

    def __getattr__(self, name):
        return getattr(self._reader, name)


def samples_of(backend, prompts, max_new_tokens=12):
    found = list(backend.answer(as_requests(prompts), Decoding(max_new_tokens=max_new_tokens)))
    keyed = {int(sample.case_id): sample for sample in found}
    assert len(keyed) == len(found) == len(prompts)
    return [keyed[i] for i in range(len(prompts))]


PROMPTS = [
    f"<bos>{'turn on the flashlight, please ' * 9 * (i % 3)}{'and show Oslo ' * i}."
    for i in range(9)
]


@pytest.mark.usefixtures("one_thread")
def test_answers_of_a_model_are_the_same_when_memory_runs_out_on_the_way(model):
    def texts(samples):
        return [(s.text, s.output_tokens, s.stop, s.error) for s in samples]

    options = ModelOptions(dtype="float32", batch_size=4)
    whole = texts(samples_of(open_model(model, options), PROMPTS))
    assert all(error is None for *_, error in whole)
    for seed in range(6):
        rng = random.Random(seed)
        # Two failures leave one sequence at a time, a third would be a sequence's own.
        failing = set(rng.sample(range(1, 14), 2))
        backend = open_model(model, options)
        backend._reader = Breaking(backend._reader, lambda n, _, failing=failing: n in failing)
        assert texts(samples_of(backend, PROMPTS)) == whole
        assert backend._reader.n_tried > max(failing)


@pytest.mark.usefixtures("one_thread")
def test_a_prompt_of_more_tokens_than_a_step_is_read_right_also_alone(model, monkeypatch):
    backend = open_model(model, ModelOptions(dtype="float32"))
    ids = [backend._loaded.tokenizer.encode(p, add_special_tokens=False) for p in PROMPTS]
    made = [Job(each, Free(backend._loaded.eos_ids, Likeliest()), 6) for each in ids]
    expected = outcome(written(backend._reader, made))
    monkeypatch.setattr(_decode, "STEP_TOKENS", 5)
    assert max(map(len, ids)) > 5
    assert outcome(written(AloneReader(backend._loaded.model), made, 1)) == expected


def test_a_token_beyond_the_embedding_is_an_error_of_its_sequence_alone(model):
    backend = open_model(model, ModelOptions(dtype="float32", batch_size=4))
    whole = samples_of(backend, PROMPTS)
    n_rows = backend._loaded.model.get_input_embeddings().num_embeddings
    ids = [backend._loaded.tokenizer.encode(p, add_special_tokens=False) for p in PROMPTS]
    ids[4] = [*ids[4], n_rows + 5, 3]
    stops = Decoding().stops
    made = [Job(each, Free([*stops, *backend._loaded.eos_ids], Likeliest()), 12) for each in ids]
    answers = written(backend._reader, made, 4, 10**9)
    assert [i for i, a in enumerate(answers) if a.error] == [4]
    assert answers[4].error.startswith("IndexError")
    for i, (answer, sample) in enumerate(zip(answers, whole, strict=True)):
        if i != 4:
            assert backend._text(answer.tokens, Decoding()) == sample.text


@pytest.mark.usefixtures("one_thread")
def test_when_all_of_the_first_answers_fail_it_is_the_model(model):
    options = ModelOptions(dtype="float32", batch_size=2)
    backend = open_model(model, options)
    backend._reader = Breaking(backend._reader, lambda *_: True)
    with pytest.raises(ModelError, match="the whole first batch failed: OutOfMemoryError") as info:
        samples_of(backend, PROMPTS)
    assert "a smaller model" in info.value.hint
    backend.has_answered = True  # as in a run that goes on: then they are errors
    samples = samples_of(backend, PROMPTS)
    assert {s.error for s in samples} == {"OutOfMemoryError: out of memory"}
    assert {s.text for s in samples} == {""}


@pytest.mark.usefixtures("one_thread")
def test_a_first_answer_that_fails_is_an_error_once_another_does_not(model):
    backend = open_model(model, ModelOptions(dtype="float32", batch_size=2))
    first = [True]

    def fails(_n, work):
        # The first sequence in the loop's order, and with it every step of more than one.
        n_failing = 4 if first[0] else 0
        first[0] = backend._reader.n_tried < 5
        return n_failing

    backend._reader = Breaking(backend._reader, fails)
    samples = samples_of(backend, PROMPTS)
    assert sum(s.error is not None for s in samples) == 1


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("batch_size", "n_slots"), [(3, 3), (None, 7)])
def test_without_a_batch_size_memory_says_how_many_are_answered_together(
    model, monkeypatch, batch_size, n_slots
):
    made = []

    class Kept(Loop):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments)
            made.append((self.n_slots, self._prefix_bytes))

    monkeypatch.setattr("fcbench.backends.transformers.Loop", Kept)
    backend = open_model(model, ModelOptions(dtype="float32", batch_size=batch_size))
    longest = max(len(backend._loaded.tokenizer.encode(p)) for p in PROMPTS) + 11
    each = longest * backend._reader.bytes_per_token
    # 3 layers of one head of 16 keys and 16 values in float32.
    assert backend._reader.bytes_per_token == 3 * 2 * 16 * 4
    monkeypatch.setattr("fcbench.backends.transformers.free_bytes", lambda device: 15 * each)
    samples_of(backend, PROMPTS)
    assert made == [(n_slots, 15 * each // 4)]


# Drafts


class Counting:
    """A reader that counts its passes."""

    def __init__(self, reader) -> None:
        self._reader = reader
        self.n_passes = 0

    def read(self, work):
        self.n_passes += 1
        return self._reader.read(work)

    def __getattr__(self, name):
        return getattr(self._reader, name)


class Repeating(StandIn):
    """Finds likeliest what stood four tokens before, but for every seventh token."""

    @staticmethod
    def next_token(text):
        return 4 + text[-4] % 30 if len(text) % 7 else 2 + len(text) % 31


@given(
    st.lists(
        st.lists(st.integers(2, N_TOKENS - 1), min_size=4, max_size=30), min_size=1, max_size=4
    ),
    st.integers(4, 20),
)
def test_a_draft_is_read_whole_or_not_at_all_where_a_step_has_little_room(prompts, step_tokens):
    jobs = [Job(prompt, Free([STOP], Likeliest()), 20) for prompt in prompts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_decode, "STEP_TOKENS", step_tokens)
        drafted = Repeating()
        found = outcome(written(drafted, jobs))
        patch.setattr(_decode, "DRAFTING", 0)
        assert found == outcome(written(Repeating(), jobs))


def test_a_run_that_is_left_half_way_lets_go_of_all():
    reader = StandIn()
    answers = Loop(reader, [Job([3, 4], Forcing(), 2), Job([5, 6], Forcing(), 9)], 1, 0).run()
    next(answers)
    assert reader.n_stopped == 0
    answers.close()
    assert reader.n_stopped == 1


@pytest.mark.parametrize("temperature", [0.0, 0.2])
def test_drafts_change_no_answer_and_save_passes(tiny_model, monkeypatch, temperature):
    decoding = Decoding(max_new_tokens=60, temperature=temperature)
    requests = as_requests(["<bos>Hi", "<bos>Show me a place on the map, please."])
    answers, passes = [], []
    for drafting in (0, DRAFTING):
        monkeypatch.setattr("fcbench.backends.transformers._decode.DRAFTING", drafting)
        backend = open_model(str(tiny_model), ModelOptions(dtype="float32"))
        backend._reader = Counting(backend._reader)
        samples = sorted(backend.answer(requests, decoding), key=lambda s: s.case_id)
        answers.append([(s.text, s.output_tokens, s.stop, s.error) for s in samples])
        passes.append(backend._reader.n_passes)
    assert answers[0] == answers[1]
    assert passes[1] < passes[0]
