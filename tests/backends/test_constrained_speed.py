"""What makes constrained decoding cheap changes nothing that it writes."""

import random

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

import fcbench
from fcbench.backends.transformers import _choose, _decode
from fcbench.backends.transformers._choose import Constrained, Few, Likeliest, Sampled, View
from fcbench.backends.transformers._draft import Lookup
from fcbench.backends.transformers._prefixes import n_alike
from fcbench.backends.transformers._read import Outlook
from fcbench.errors import ModelError
from fcbench.formats.constraint import Constraint

pytestmark = pytest.mark.usefixtures("one_thread")

TOOLS = [
    fcbench.Tool("turn_on_flashlight"),
    fcbench.Tool(
        "show_map",
        "",
        {
            "properties": {
                "query": {"type": "string"},
                "zoom": {"type": "integer"},
                "kind": {"enum": ["road", "roads", "satellite"]},
            },
            "required": ["query"],
        },
    ),
]
PICKS = {"likeliest": Likeliest, "drawn": lambda: Sampled(2.0, 0, "a", 0)}


@pytest.fixture(scope="module", params=[False, True], ids=["calls", "or-text"])
def constraint(tiny_model, request):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    stops = tokenizer.convert_tokens_to_ids(["<eos>", "<end_of_turn>", "<start_function_response>"])
    return Constraint("functiongemma", tokenizer, stops, or_text=request.param)


N_LOGITS = 400  # more than the tokenizer has tokens


def bits_of(session):
    bits = np.unpackbits(np.frombuffer(session.mask(), np.uint8), bitorder="little")
    return np.pad(bits, (0, N_LOGITS - len(bits)))


class Masked:
    """Chooses by the mask alone, as the likeliest of all that it allows and take accepts."""

    def __init__(self, session, stops, pick):
        self._session, self._stops, self._pick = session, stops, pick
        self.few = self.ahead = lambda: None

    def first(self, limit):
        return _choose.Chosen(self._session.forced(limit))

    def next(self, view, remaining):
        session = self._session
        if session.is_urgent(remaining):
            return _choose.Chosen(session.ending() or [])
        allowed = self._pick.scores(view.logits).clone()
        bits = bits_of(session)
        bits[self._stops] = session.may_end
        allowed[bits == 0] = -torch.inf
        likeliest = allowed.argsort(descending=True)[: _choose.REFUSALS]
        for token in [*likeliest.tolist(), *(session.ending() or [])]:
            if token in self._stops:
                return _choose.Chosen([token], ends_turn=True)
            if session.take(token, remaining):
                tokens = [token, *session.forced(remaining - 1)]
                return _choose.Chosen(tokens, ends_turn=session.must_end)
        raise AssertionError("nothing may come")


def written(chooser, limit, seed, *, shows_few):
    """Return what a chooser writes by logits of a seed, and how often it was shown a few."""
    rng = torch.Generator().manual_seed(seed)
    chosen, tokens, n_few = chooser.first(limit), [], 0
    while True:
        tokens += chosen.tokens
        if chosen.ends_turn or len(tokens) >= limit:
            return tokens, n_few
        if look := chooser.ahead():
            look()
        logits = torch.randn(N_LOGITS, generator=rng) * 3
        ids = chooser.few() if shows_few else None
        view = View(logits, int(logits.argmax()))
        if ids is not None:
            n_few += 1
            some = logits[ids]
            view = View(some, int(some.argmax()), Few(ids, len(logits)))
        chosen = chooser.next(view, limit - len(tokens))


@pytest.mark.parametrize("pick", PICKS.values(), ids=PICKS)
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["any", "tools"])
def test_the_token_is_the_best_that_the_mask_allows_however_it_is_found(
    constraint, tools, pick, monkeypatch
):
    n_few = 0
    for seed in range(12):
        limit = 40 + 7 * seed
        made = []
        for kind in (Masked, Constrained):
            chooser = kind(constraint.session(tools), constraint.stop_ids, pick())
            made.append(written(chooser, limit, seed, shows_few=False)[0])
        for few in (16, 512):
            monkeypatch.setattr(_choose, "FEW", few)
            chooser = Constrained(constraint.session(tools), constraint.stop_ids, pick())
            tokens, n = written(chooser, limit, seed, shows_few=True)
            made.append(tokens)
            n_few += n
        assert made[0] == made[1] == made[2] == made[3]
    assert n_few > 50


@pytest.mark.parametrize("tools", [None, TOOLS], ids=["any", "tools"])
def test_what_take_accepts_is_in_the_mask(constraint, tools):
    # So what is wanted most and accepted needs no mask.
    rng = random.Random(0)
    n_refused = 0
    for _ in range(6):
        tokens = []
        session = constraint.session(tools)
        tokens += session.forced(60)
        while len(tokens) < 50 and not session.must_end and not session.is_urgent(60 - len(tokens)):
            bits = bits_of(session)
            for token in set(np.flatnonzero(bits == 0).tolist()) - set(constraint.stop_ids):
                assert not session.take(token, 60 - len(tokens))
                n_refused += 1
            allowed = np.flatnonzero(bits).tolist()
            rng.shuffle(allowed)
            token = next((t for t in allowed if session.take(t, 60 - len(tokens))), None)
            if token is None:
                break
            tokens += [token, *session.forced(59 - len(tokens))]
    assert n_refused > 500


def test_a_token_beyond_the_tokenizers_last_is_refused_in_silence(constraint, capfd):
    session = constraint.session()
    assert not session.take(100_000, 60)
    assert capfd.readouterr() == ("", "")


class Counting:
    """A session that counts its masks."""

    def __init__(self, session):
        self._session, self.n_masks = session, 0

    def mask(self):
        self.n_masks += 1
        return self._session.mask()

    def __getattr__(self, name):
        return getattr(self._session, name)


def test_a_model_that_wants_what_may_come_costs_no_mask_where_much_may(constraint):
    session = Counting(constraint.session(TOOLS))
    tokenizer = constraint._tokens
    text = "<start_function_call>call:show_map{query:<escape>"
    assert all(session.take(t, 200) for t in tokenizer.tokenize_str(text, parse_special=True))
    chooser = Constrained(session, constraint.stop_ids, Likeliest())
    letters = tokenizer.tokenize_str("abc")
    for token in letters:
        assert chooser.ahead() is None
        assert chooser.few() is None
        logits = torch.nn.functional.one_hot(torch.tensor(token), N_LOGITS).float()
        assert chooser.next(View(logits, token), 100).tokens == [token]
    assert session.n_masks == 0
    refused = torch.nn.functional.one_hot(torch.tensor(constraint.stop_ids[0]), N_LOGITS).float()
    chooser.next(View(refused, constraint.stop_ids[0]), 90)
    assert session.n_masks == 1
    # It is likely to want such a one again.
    assert chooser.ahead() is not None


def test_tools_in_another_order_are_not_compiled_again(constraint):
    constraint.session(TOOLS)
    n_compiled = len(constraint._compiled)
    constraint.session(TOOLS[::-1])
    assert len(constraint._compiled) == n_compiled
    constraint.session(TOOLS[:1])
    assert len(constraint._compiled) == n_compiled + 1


# The output layer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_a_few_logits_are_those_among_all(dtype, bias):
    torch.manual_seed(0)
    head = torch.nn.Linear(64, 400, bias=bias, dtype=dtype)
    states = torch.randn(3, 64, dtype=dtype)
    outlook = Outlook(states, head)
    with torch.inference_mode():
        few = outlook.few(torch.tensor([0, 7, 399]))
        found = torch.stack([outlook.logits_of(i, few) for i in range(3)])
        expected = outlook.logits(range(3))[:, few.ids]
    assert found.dtype == dtype
    assert few.n_all == 400
    tolerance = 1e-6 if dtype is torch.float32 else 2**-7
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


def test_a_layer_that_does_more_than_a_product_is_computed_whole():
    class Adapted(torch.nn.Linear):
        pass

    ids = torch.tensor([1, 2])
    states = torch.zeros(1, 8)
    hooked = torch.nn.Linear(8, 20)
    hooked.register_forward_hook(lambda module, args, output: output * 2)
    for head in (Adapted(8, 20), torch.nn.Sequential(torch.nn.Linear(8, 20)), hooked, None):
        assert Outlook(states, head).few(ids) is None
    # And so are logits of tokens that the layer has no rows for.
    assert Outlook(states, torch.nn.Linear(8, 2)).few(ids) is None


def run(model, **options):
    options = {"dtype": "float32", "prompt": "bare", "max_new_tokens": 80, **options}
    made = fcbench.run(str(model), "original_experiment", **options)
    return {(sample.case_id, sample.repeat): sample.text for sample in made.samples}


@pytest.mark.parametrize("mode", ["constrained", "constrained-schema", "constrained-or-text"])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_leaving_rows_of_the_output_layer_out_changes_no_answer(
    tiny_model, monkeypatch, mode, temperature
):
    options = {"decode": mode, "temperature": temperature, "repeats": 2 if temperature else 1}
    calls = []
    logits_of = Outlook.logits_of
    with monkeypatch.context() as patched:
        patched.setattr(Outlook, "logits_of", lambda *args: calls.append(1) or logits_of(*args))
        found = run(tiny_model, **options)
    assert calls
    monkeypatch.setattr(Outlook, "few", lambda self, ids: None)
    assert run(tiny_model, **options) == found


@pytest.mark.parametrize("mode", ["constrained", "constrained-schema", "constrained-or-text"])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_drafts_under_a_constraint_change_no_answer(tiny_model, monkeypatch, mode, temperature):
    options = {"decode": mode, "temperature": temperature, "repeats": 2 if temperature else 1}
    options |= {"prompt": "chat", "batch_size": 2}
    right = []
    with monkeypatch.context() as patched:
        patched.setattr(_decode, "n_alike", lambda *args: right.append(n_alike(*args)) or right[-1])
        found = run(tiny_model, **options)
    assert sum(right) > 0 or mode == "constrained-schema"  # which leaves little to guess
    monkeypatch.setattr(Lookup, "draft", lambda self, most: [])
    assert run(tiny_model, **options) == found


def test_what_is_not_finite_is_an_error_where_few_tokens_may_come(tiny_model, monkeypatch):
    logits_of = Outlook.logits_of
    monkeypatch.setattr(
        Outlook, "logits_of", lambda self, row, few: logits_of(self, row, few) * float("nan")
    )
    with pytest.raises(ModelError, match="new token 2 are not finite in float32"):
        run(tiny_model, decode="constrained-or-text")
