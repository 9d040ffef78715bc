"""Sampling: the right frequencies, freely and under a constraint, and the same draws every time."""

import math
from collections import Counter

import msgspec
import pytest
import torch

import fcbench
from fcbench import parse
from fcbench.backends import ModelOptions, check_model, open_model
from fcbench.backends.transformers import stop_ids
from fcbench.backends.transformers._choose import Constrained, Free, Likeliest, Sampled, View
from fcbench.backends.transformers._decode import Job
from fcbench.backends.transformers._read import reader_for
from fcbench.errors import ModelError, UsageError
from fcbench.formats.functiongemma import STOP_TOKENS
from tests.backends.decoding import written
from tests.backends.test_transformers import damaged

pytestmark = pytest.mark.usefixtures("one_thread")

SUITE = "original_experiment"
PROMPT = "<bos>Show me Oslo on the map."


@pytest.fixture(scope="module")
def loaded(tiny_model):
    return open_model(str(tiny_model), ModelOptions(dtype="float32"))._loaded


@pytest.fixture(scope="module")
def logits(loaded):
    ids = loaded.tokenizer.encode(PROMPT, add_special_tokens=False)
    with torch.inference_mode():
        return loaded.model(torch.tensor([ids])).logits[0, -1]


def run(model, suite=SUITE, **options):
    options = {"dtype": "float32", "prompt": "bare", "max_new_tokens": 12, **options}
    return fcbench.run(str(model), suite, **options)


def texts(made):
    assert all(sample.error is None for sample in made.samples)
    return {(s.case_id, s.repeat): s.text for s in made.samples}


def surprise(counts, probabilities):
    """Return how many standard deviations chi-square lies above its mean.

    Tokens that are expected less than five times are counted as one.
    """
    n, cells, rare = sum(counts.values()), [], [0, 0.0]
    for token, p in enumerate(probabilities.double().tolist()):
        if n * p < 5:
            rare = [rare[0] + counts[token], rare[1] + n * p]
        else:
            cells.append((counts[token], n * p))
    cells.append(tuple(rare))
    chi_square = sum((seen - expected) ** 2 / max(expected, 1e-9) for seen, expected in cells)
    freedom = len(cells) - 1
    return (chi_square - freedom) / math.sqrt(2 * freedom)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_first_token_is_as_frequent_as_the_softmax_says(loaded, logits, temperature):
    prompt = loaded.tokenizer.encode(PROMPT, add_special_tokens=False)
    stops = stop_ids(loaded, STOP_TOKENS)
    choosers = [Free(stops, Sampled(temperature, 0, "a", repeat)) for repeat in range(6000)]
    jobs = [Job(prompt, choose, 1) for choose in choosers]
    counts = Counter(a.tokens[0] for a in written(reader_for(loaded.model), jobs, 500))
    # The model's own configuration asks for temperature 2 and the 50 likeliest.
    assert len(counts) > 50 or temperature < 2
    found = surprise(counts, torch.softmax(logits / temperature, -1))
    assert found < 4, found
    for other in (temperature * 2 / 3, temperature * 3 / 2):  # which would be seen
        found = surprise(counts, torch.softmax(logits / other, -1))
        assert found > 6, found


class Refusing:
    """A session whose mask allows some tokens, of which take refuses some."""

    may_end = must_end = False

    def __init__(self, allowed, refused, n):
        self._allowed, self._refused, self._n = allowed, refused, n

    def mask(self):
        bits = [i in self._allowed for i in range(-(-self._n // 8) * 8)]
        return bytes(
            sum(bit << k for k, bit in enumerate(bits[i : i + 8])) for i in range(0, len(bits), 8)
        )

    def take(self, token, remaining):
        return token in self._allowed - self._refused

    def forced(self, limit):
        return []

    def is_urgent(self, remaining):
        return False


def test_refused_tokens_leave_the_others_as_frequent_as_before(logits):
    likeliest = logits.argsort(descending=True)[:24].tolist()
    allowed, refused = set(likeliest[::2]), set(likeliest[:8:4])
    assert likeliest[0] in refused
    session = Refusing(allowed, refused, len(logits))
    pick = Sampled(1.5, 0, "a", 0)
    chooser = Constrained(session, likeliest[1:2], pick)  # it may not stop yet
    view = View(logits, likeliest[0])
    counts = Counter(chooser.next(view, 9).tokens[0] for _ in range(6000))
    assert set(counts) == allowed - refused
    probabilities = torch.zeros(len(logits))
    for token in allowed - refused:
        probabilities[token] = torch.exp(logits[token] / 1.5)
    found = surprise(counts, probabilities / probabilities.sum())
    assert found < 4, found


def test_constrained_samples_are_all_valid_and_each_alternative_is_drawn(
    tiny_model, write_lines, case_row
):
    values = ["Oslo", "Bergen", "Tromsø"]
    parameters = {
        "type": "object",
        "properties": {"query": {"type": "string", "enum": values}},
        "required": ["query"],
    }
    tools = [{"name": n, "description": "", "parameters": parameters} for n in ("near", "far")]
    path = write_lines(case_row(tools=tools, expected=[[{"name": "near", "arguments": {}}]]))
    options = {"decode": "constrained-schema", "max_new_tokens": 60, "suite": path}
    made = run(tiny_model, **options, temperature=8.0, repeats=60)
    parsed = [parse(sample.text, stop=sample.stop) for sample in made.samples]
    assert {p.outcome for p in parsed} == {"calls"}
    calls = {(call.name, call.arguments["query"]) for p in parsed for call in p.calls}
    assert calls == {(name, value) for name in ("near", "far") for value in values}
    assert len(set(texts(made).values())) > 6
    for mode in ("constrained", "constrained-or-text", "constrained-or-text-schema"):
        made = run(tiny_model, path, decode=mode, temperature=2.0, repeats=20, max_new_tokens=60)
        outcomes = {parse(s.text, stop=s.stop).outcome for s in made.samples}
        assert outcomes <= ({"calls", "abstained"} if "text" in mode else {"calls"})


def test_temperature_approaches_greedy_and_never_overflows(tiny_model, logits):
    greedy = texts(run(tiny_model))
    for temperature in (1e-6, 1e-300):
        assert texts(run(tiny_model, temperature=temperature)) == greedy
    assert texts(run(tiny_model, temperature=1.0)) != greedy
    for temperature in (1e-300, 1e300):
        assert Sampled(temperature, 0, "a", 0).scores(logits).isfinite().all()
    assert texts(run(tiny_model, temperature=0)) == greedy
    assert torch.equal(Likeliest().scores(logits), logits)


def test_the_same_seed_draws_the_same_and_another_seed_does_not(tiny_model):
    first, again, other = (run(tiny_model, temperature=1.0, seed=seed) for seed in (0, 0, 1))
    assert texts(first) == texts(again)
    assert all(texts(other)[key] != text for key, text in texts(first).items())


def test_neither_batch_size_nor_the_order_of_cases_changes_a_sample_in_float32(tiny_model):
    suite = fcbench.load_suite(SUITE)
    reversed_suite = msgspec.structs.replace(suite, cases=suite.cases[::-1])
    for mode in ("sample", "constrained-or-text"):
        options = {"decode": mode, "temperature": 1.0, "repeats": 3, "max_new_tokens": 40}
        expected = texts(run(tiny_model, **options))
        assert len(expected) == 15
        for batch_size in (1, 4):
            assert texts(run(tiny_model, **options, batch_size=batch_size)) == expected
        assert texts(run(tiny_model, reversed_suite, **options)) == expected


def test_repeats_differ_and_do_not_depend_on_how_many_there_are(tiny_model):
    few, many = (texts(run(tiny_model, temperature=1.0, repeats=n)) for n in (1, 6))
    assert len(set(many.values())) == len(many) == 30
    assert few.items() <= many.items()


def test_seed_case_and_repeat_each_have_draws_of_their_own(logits):
    keys = [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1), (0, "a0", 0), (2**32, "a", 0)]
    drawn = [Sampled(1.0, *key).scores(logits) for key in keys]
    assert len({tuple(scores[:9].tolist()) for scores in drawn}) == len(keys)
    assert torch.equal(Sampled(1.0, *keys[0]).scores(logits), drawn[0])


def test_noise_is_fine_enough_for_the_rarest_token_of_a_large_vocabulary():
    # Uniform numbers of 24 bits would give the highest thousand of a million a few thousand steps.
    noise = Sampled(1.0, 0, "a", 0).scores(torch.zeros(1 << 20))
    highest = noise.topk(1000).values
    assert len(highest.unique()) > 990
    assert highest[0] - highest[-1] > 5
    assert noise.double().mean().item() == pytest.approx(0.5772, abs=0.01)


def test_a_rare_tail_of_a_large_vocabulary_keeps_its_share():
    # 262,143 tokens of 3.8e-8 each hold a hundredth of the whole.
    n = 1 << 18
    logits = torch.full((n,), math.log(0.01 / (n - 1)))
    logits[7] = math.log(0.99)
    pick = Sampled(1.0, 0, "a", 0)
    n_rare = sum(int(pick.scores(logits).argmax()) != 7 for _ in range(2000))
    assert 8 <= n_rare <= 32  # 20 are expected; of 24 bits there were twice as many


def test_logits_that_are_not_finite_are_no_sample(tiny_model, tmp_path):
    folder = damaged(tiny_model, tmp_path / "nan", None)
    with pytest.raises(ModelError, match="new token 1 are not finite in float32"):
        run(folder, temperature=1.0)


@pytest.mark.parametrize("decode", ["greedy", "constrained"])
def test_repeats_that_would_all_be_the_same_are_refused_before_the_model_loads(
    tiny_model, decode, monkeypatch
):
    monkeypatch.setattr("fcbench.backends.transformers._load.locate", None)
    with pytest.raises(UsageError, match="3 repeats at temperature 0 are one answer"):
        run(tiny_model, decode=decode, repeats=3)


def test_a_function_has_no_temperature_and_may_be_asked_again():
    with pytest.raises(UsageError, match="no --temperature here"):
        check_model("python:json:dumps", ModelOptions(decode="sample", temperature=1.0))
    check_model("python:json:dumps", ModelOptions(repeats=3))


def test_sampling_needs_no_llguidance(tiny_model, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_model(str(tiny_model), ModelOptions(decode="sample", temperature=1.0))
