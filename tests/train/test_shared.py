"""What examples share at their beginning is computed once, and nothing else changes."""

import random

import pytest
import torch

from fcbench.train import _attention
from fcbench.train._attention import PARTS
from fcbench.train._examples import IGNORED
from fcbench.train._sampler import BatchSampler
from fcbench.train._shared import SharedCollator, families, share_of_families
from fcbench.train._trainer import Collator, loss_of, only_before_labels
from tests.backends.architectures import build


def example(shared, own, n_answer, seed=0):
    """An example of shared + own ids, the last n_answer of which are learned."""
    draw = random.Random(seed)
    ids = [*shared, *(draw.randrange(3, 40) for _ in range(own))]
    return {"input_ids": ids, "labels": [IGNORED] * (len(ids) - n_answer) + ids[-n_answer:]}


SHARED = random.Random(9).choices(range(3, 40), k=33)


def loss_and_gradients(model, batch):
    model.zero_grad()
    given = {k: v for k, v in batch.items() if k != "labels"}
    with only_before_labels(model, batch["labels"]):
        outputs = model(**given, use_cache=False)
    loss = loss_of(outputs, batch["labels"], 7)
    loss.backward()
    return loss.item(), {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


@pytest.fixture(scope="module", params=["gemma3", "llama", "smollm"])
def model(request, tmp_path_factory):
    from transformers import AutoModelForCausalLM

    folder = build(request.param, tmp_path_factory.mktemp("model"))
    made = AutoModelForCausalLM.from_pretrained(folder).train()
    assert _attention.use_products(made)
    return made


@pytest.mark.parametrize(
    "lengths",
    [[(9, 4), (3, 2), (17, 8)], [(5, 3)], [(6, 5), (6, 5)]],
    ids=["several", "alone", "equal"],
)
@pytest.mark.parametrize("shared", [SHARED, [], SHARED[:1]], ids=["most", "nothing", "one token"])
def test_a_shared_beginning_changes_neither_loss_nor_gradients(model, lengths, shared):
    some = [example(shared, *length, seed=i) for i, length in enumerate(lengths)]
    batch = SharedCollator()(some)
    loss, wanted = loss_and_gradients(model, Collator(0)(some))
    found_loss, found = loss_and_gradients(model, batch)
    assert found_loss == pytest.approx(loss, rel=1e-5)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5)
    n_own = sum(len(one["input_ids"]) for one in some) - (len(some) - 1) * len(shared)
    assert batch["input_ids"].shape[1] == sum(batch[PARTS]) <= n_own


def test_the_place_before_a_label_is_never_shared():
    ids = list(range(10))
    some = [
        {"input_ids": [*ids, last], "labels": [IGNORED] * n + [*ids, last][n:]}
        for n, last in ((10, 20), (8, 30))
    ]
    batch = SharedCollator()(some)
    # The second example learns from place 7 on, which the first has as well and does not learn.
    assert batch[PARTS] == [7, 4, 4]
    assert batch["position_ids"].tolist() == [[*range(7), *range(7, 11), *range(7, 11)]]
    assert batch["labels"][0, 7:].tolist() == [*[IGNORED] * 3, 20, IGNORED, 8, 9, 30]


def test_models_that_do_not_hand_on_what_they_are_given_are_told(model, monkeypatch):
    assert _attention.sees_parts(model)
    seen = _attention._attend
    dropped = lambda *args, **options: seen(*args, **{**options, PARTS: None})  # noqa: E731
    monkeypatch.setitem(_attention.AttentionInterface._global_mapping, _attention.NAME, dropped)
    assert not _attention.sees_parts(model)
    model.set_attn_implementation("sdpa")
    assert not _attention.sees_parts(model)
    model.set_attn_implementation(_attention.NAME)


def test_families_are_the_rows_that_begin_alike_for_most_of_their_ids():
    a, b = SHARED, [*SHARED[:10], *SHARED[::-1]]
    rows = [[*a, 1, 2], [*b, 5], [*a, 7], [4, 4], [*b, 6, 6], [*a, *range(40)], [*a, 1]]
    found = families(rows)
    assert [found[0] == found[i] for i in range(7)] == [
        True,
        False,
        True,
        False,
        False,
        False,
        True,
    ]
    assert found[1] == found[4] != found[3]
    assert share_of_families(found, 2) == pytest.approx(4 / 7)
    assert share_of_families(found, 4) == 0
    assert families([]) == []
    assert families([[1, 2]]) == [0]


def test_batches_are_of_one_family_and_the_rest_of_about_one_length():
    members = [i % 5 for i in range(100)] + list(range(5, 45))
    lengths = [100 + i for i in range(140)]
    sampler = BatchSampler(lengths, 4, seed=3, families=members)
    order = list(sampler)
    assert sorted(order) == list(range(140))
    batches = [[members[i] for i in order[n : n + 4]] for n in range(0, 140, 4)]
    assert sum(len(set(batch)) == 1 for batch in batches) == 25
    # Neither family by family nor the same in the next epoch.
    assert len({batch[0] for batch in batches[:10]}) > 3
    sampler.set_epoch(1)
    assert list(sampler) != order


# In a training run


@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ({"batch_size": None, "accumulate": 4}, (4, 1, True)),
        ({"batch_size": 2, "accumulate": 3}, (2, 3, True)),
        ({"batch_size": 1, "accumulate": 4}, (1, 4, False)),
        ({"batch_size": None, "accumulate": 1}, (1, 1, False)),
        # What shares no beginning is one example a pass.
        ({"batch_size": None, "accumulate": 64}, (1, 64, False)),
    ],
)
def test_a_step_is_one_pass_where_its_examples_begin_alike(config, fields, passes):
    from fcbench.train._job import checked_cases, job_of

    made = config(**fields)
    job = job_of(made, checked_cases(made))
    found = job.passes
    assert (found.batch_size, found.accumulate, found.families is not None) == passes


def test_a_run_with_a_shared_beginning_is_the_run_without(config, tmp_path, monkeypatch):
    import json

    from fcbench.train import fine_tune

    def losses(name):
        made = config(out=str(tmp_path / name), max_steps=3, batch_size=4, accumulate=1)
        lines = (fine_tune(made).folder / "curves.jsonl").read_text().splitlines()
        return [line["loss"] for line in map(json.loads, lines) if "loss" in line]

    shared = losses("shared")
    batches = []

    def padded(self, examples):
        batches.append(len(examples))
        return Collator(0)(examples)

    monkeypatch.setattr(SharedCollator, "__call__", padded)
    assert losses("padded") == pytest.approx(shared, rel=1e-3)
    assert set(batches) == {4}
