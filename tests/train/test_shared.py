"""What examples share at their beginning is computed once, and nothing else changes."""

import copy
import random
from itertools import pairwise

import pytest
import torch

from fcbench.backends.transformers import depends_on_length
from fcbench.train import _attention
from fcbench.train._attention import PARTS
from fcbench.train._examples import IGNORED
from fcbench.train._sampler import FamilySampler
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
    monkeypatch.undo()
    other = copy.deepcopy(model)
    other.set_attn_implementation("sdpa")
    assert not _attention.sees_parts(other)


def test_rotary_embeddings_that_depend_on_the_length_of_the_row_are_told(tmp_path):
    from transformers import AutoModelForCausalLM

    made = AutoModelForCausalLM.from_pretrained(build("llama, two sets of positions", tmp_path))
    made.set_attn_implementation(_attention.NAME)
    assert depends_on_length(made.config)
    assert not _attention.sees_parts(made)


def test_a_window_that_no_layer_has_does_not_keep_products_away(model, tmp_path):
    from transformers import AutoModelForCausalLM

    folder = build("gemma3", tmp_path)
    for kinds, is_used in ((["full_attention"] * 2, True), (["chunked_attention"] * 2, False)):
        made = AutoModelForCausalLM.from_pretrained(folder)
        made.config.layer_types = kinds
        for module in made.modules():
            if hasattr(module, "sliding_window"):
                module.sliding_window = None
        assert _attention._tells_windows(made) == is_used


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
    lengths = [100 + (i * 37) % 200 for i in range(140)]
    sampler = FamilySampler(lengths, 4, seed=3, families=members)
    order = list(sampler)
    assert sorted(order) == list(range(140))
    batches = [order[n : n + 4] for n in range(0, 140, 4)]
    of_one = [b for b in batches if len({members[i] for i in b}) == 1]
    assert len(of_one) == 25
    rest = [[lengths[i] for i in b] for b in batches if b not in of_one]
    assert max(max(some) - min(some) for some in rest) < 60
    turns = [members[b[0]] for b in of_one]
    assert sum(a != b for a, b in pairwise(turns)) > 10  # 4 family by family
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
        # 16 cases: the largest part of a step that they fill.
        ({"batch_size": None, "accumulate": 64}, (16, 4, True)),
    ],
)
def test_a_step_is_one_pass_where_its_examples_begin_alike(config, fields, passes):
    from fcbench.train._job import checked_cases, job_of

    made = config(**fields)
    job = job_of(made, checked_cases(made))
    found = job.passes
    assert (found.batch_size, found.accumulate, found.families is not None) == passes


def test_examples_are_read_one_by_one_where_little_is_shared_or_a_pass_is_large(
    config, monkeypatch
):
    from fcbench.train import _job, _shared

    made = config(batch_size=None, accumulate=4)
    cases = _job.checked_cases(made)
    longest = max(len(example.input_ids) for example in _job.job_of(made, cases).examples)
    monkeypatch.setattr(_job, "PASS_TOKENS", 2 * longest)
    assert _job.job_of(made, cases).passes[:2] == (2, 2)
    monkeypatch.setattr(_job, "PASS_TOKENS", longest)
    assert _job.job_of(made, cases).passes == (1, 4, None)
    monkeypatch.undo()
    monkeypatch.setattr(_shared, "ALIKE", 1.0)
    assert _job.job_of(made, cases).passes == (1, 4, None)


def test_a_run_is_not_resumed_with_steps_cut_otherwise(config, monkeypatch):
    from fcbench.errors import RunError
    from fcbench.train import fine_tune

    made = config(batch_size=None, accumulate=4, max_steps=2, save_every=1)
    (card := fine_tune(made).folder / "README.md").unlink()
    monkeypatch.setattr(_attention, "sees_parts", lambda _: False)
    with pytest.raises(RunError, match=r"'batch_size': 4.*'batch_size': 1"):
        fine_tune(made, resume=True)
    monkeypatch.undo()
    fine_tune(made, resume=True)
    assert "4, in passes of 4, what they share at their beginning computed once" in card.read_text()


def test_a_whole_run_ends_where_its_last_step_was(config):
    from fcbench.train import fine_tune

    made = config(batch_size=None, accumulate=5, max_steps=None, epochs=2, save_every=1)
    first = fine_tune(made)
    assert first.facts["n_steps"] == 8  # 16 cases by 5, twice
    (first.folder / "README.md").unlink()
    again = fine_tune(made, resume=True)
    assert again.facts["n_steps"] == 8
    assert again.facts["last_loss"] == first.facts["last_loss"]


def test_rows_of_several_examples_are_refused_by_another_attention(config):
    from fcbench.errors import ModelError
    from fcbench.train._job import checked_cases, job_of, trainer_of

    made = config(batch_size=4)
    job = job_of(made, checked_cases(made))
    job.model.set_attn_implementation("sdpa")
    with pytest.raises(ModelError, match="would see each other"):
        trainer_of(job, progress=False).train()


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
