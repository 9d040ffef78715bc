"""The fast way to train gives the losses and gradients of the plain one."""

import copy
import random

import pytest
import torch
from transformers import AutoModelForCausalLM

from fcbench.train import _attention
from fcbench.train._examples import IGNORED
from fcbench.train._model import _rows_of
from fcbench.train._optimiser import MasterAdamW
from fcbench.train._rows import compute_rows_apart
from fcbench.train._sampler import FamilySampler
from fcbench.train._tokens import new_tokens
from fcbench.train._trainer import Collator, loss_of, only_before_labels, places
from tests.backends.architectures import ARCHITECTURES, build

ROWS = [7, 8, 9]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return a function that gives a tiny model of an architecture, in training."""
    built = {}

    def model(name):
        if name not in built:
            folder = tmp_path_factory.mktemp("model")
            built[name] = AutoModelForCausalLM.from_pretrained(build(name, folder))
        return copy.deepcopy(built[name]).train()

    return model


def examples():
    """Two examples of different lengths, the second longer than any window."""
    rng = torch.Generator().manual_seed(1)
    found = []
    for n_prompt, n_answer in ((9, 4), (31, 7)):
        ids = torch.randint(3, 40, (n_prompt + n_answer,), generator=rng).tolist()
        found.append({"input_ids": ids, "labels": [IGNORED] * n_prompt + ids[n_prompt:]})
    return found


def plain_loss(model, example):
    """The mean cross entropy of an example's labels, all logits computed."""
    ids, labels = (torch.tensor([example[name]]) for name in ("input_ids", "labels"))
    logits = model(input_ids=ids, use_cache=False).logits.float()
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED
    )


def fast_loss(model, batch, n=None):
    with only_before_labels(model, batch["labels"]):
        outputs = model(input_ids=batch["input_ids"], use_cache=False)
    return loss_of(outputs, batch["labels"], n)


def gradients(model):
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_padded_batch_has_the_loss_and_gradients_of_its_examples(models, name):
    model = models(name)
    for parameter in model.modules():  # dropout would make each pass another
        if isinstance(parameter, torch.nn.Dropout):
            parameter.p = 0.0
    losses = [plain_loss(model, example) for example in examples()]
    n_labels = [4, 7]
    expected = sum(loss * n for loss, n in zip(losses, n_labels, strict=True)) / sum(n_labels)
    expected.backward()
    wanted = gradients(model)
    model.zero_grad()
    _attention.use_products(model)
    loss = fast_loss(model, Collator(0)(examples()))
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    found = gradients(model)
    assert set(found) == set(wanted)
    for key, gradient in wanted.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "is_used"),
    [("gemma3", True), ("llama", True), ("gemma2", False), ("gpt2", False)],
)
def test_attention_by_products_is_used_where_it_is_the_same_and_nowhere_else(models, name, is_used):
    model = models(name)  # Gemma 2 bends its scores, GPT-2 drops weights out
    before = model.config._attn_implementation
    assert _attention.use_products(model) == is_used
    after = model.config._attn_implementation
    assert after == (_attention.NAME if is_used else before)
    assert model.training


def test_attention_in_bfloat16_is_as_near_to_float32_as_pytorchs_own(models):
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, n, 40, 16) for n in (4, 2, 2))
    mask = _attention._mask(40, 40, 16, query.device)

    def run(attend, dtype):
        states = [s.detach().to(dtype).requires_grad_() for s in (query, key, value)]
        attend(*states).float().square().sum().backward()
        return [s.grad.float() for s in states]

    def products(q, k, v):
        return _attention._Attention.apply(q, k, v, mask, 0.25)

    def own(q, k, v):
        k, v = (s.repeat_interleave(2, 1) for s in (k, v))
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask.to(q.dtype), scale=0.25
        )

    exact = run(own, torch.float32)
    for found, wanted in zip(run(products, torch.float32), exact, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    for found, others, wanted in zip(
        run(products, torch.bfloat16), run(own, torch.bfloat16), exact, strict=True
    ):
        assert (found - wanted).norm() < 1.5 * (others - wanted).norm()


def test_the_output_layer_is_computed_before_labels_alone(models):
    model, seen = models("llama"), []
    model.get_output_embeddings().register_forward_hook(lambda m, a, out: seen.append(out.shape))
    batch = Collator(0)(examples())
    fast_loss(model, batch)
    assert places(batch["labels"]).sum() == 11
    assert seen == [(11, model.config.vocab_size)]


def test_a_model_without_an_output_layer_of_its_own_gives_the_same_loss(models):
    model, batch = models("llama"), Collator(0)(examples())
    expected = fast_loss(model, batch)
    outputs = model(input_ids=batch["input_ids"])
    assert loss_of(outputs, batch["labels"]).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("name", ["gemma3", "smollm", "llama"])
def test_trained_rows_beside_the_others_are_what_peft_computes(models, name):
    from peft import LoraConfig, get_peft_model

    model = models(name)
    lora = LoraConfig(
        r=2,
        target_modules=["q_proj"],
        trainable_token_indices=_rows_of(model, ROWS),
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, lora)
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_B" in key or "trainable_tokens" in key:
                parameter.normal_(std=0.2)
    ids = torch.tensor([[3, 7, 8, 30, 7, 9, 12]])
    results = []
    for apart in (False, True):
        if apart:
            # Both uses of tied rows, and the rows of both layers where they are not.
            assert compute_rows_apart(adapted) == 2
        adapted.zero_grad()
        logits = adapted(input_ids=ids, use_cache=False).logits
        logits.square().sum().backward()
        results.append((logits.detach(), gradients(adapted)))
    (logits, wanted), (found_logits, found) = results
    torch.testing.assert_close(found_logits, logits, rtol=1e-4, atol=1e-4)
    for key in found:
        torch.testing.assert_close(found[key], wanted[key], rtol=1e-3, atol=1e-3)
    assert any("trainable_tokens" in key for key in found)
    with adapted.disable_adapter():
        plain = adapted(input_ids=ids, use_cache=False).logits
    assert not torch.equal(plain, found_logits)
    twin = copy.deepcopy(adapted)
    for key, parameter in twin.named_parameters():
        if "trainable_tokens" in key:
            torch.nn.init.zeros_(parameter)
    assert not torch.equal(twin(input_ids=ids, use_cache=False).logits, found_logits)
    assert torch.equal(adapted(input_ids=ids, use_cache=False).logits, found_logits)
    # The frozen embedding, of which peft computes a whole gradient, needs none.
    assert not any("base_layer" in key for key in found)


def test_new_tokens_are_those_whose_rows_are_alike(tiny_folder):
    from fcbench.backends import ModelOptions
    from fcbench.backends.transformers import load
    from fcbench.formats.functiongemma import CONTROL_TOKEN_IDS, ESCAPE, START_CALL

    loaded = load(str(tiny_folder), ModelOptions(dtype="float32"))
    rows = loaded.model.get_input_embeddings().weight
    assert new_tokens(loaded.model, loaded.tokenizer, list(CONTROL_TOKEN_IDS)) == []
    ids = loaded.tokenizer.convert_tokens_to_ids([START_CALL, ESCAPE])
    with torch.no_grad():
        rows[ids[1]] = 2 * rows[ids[0]] + 0.01 * torch.randn_like(rows[0])
    # A token that is several ids has no row of its own.
    controls = [*CONTROL_TOKEN_IDS, "<tool_call>"]
    assert new_tokens(loaded.model, loaded.tokenizer, controls) == sorted(ids)


# The optimiser


def steps(optimiser, weights, n, size):
    for _ in range(n):
        for weight in weights:
            weight.grad = torch.full_like(weight, size)
        optimiser.step()
        optimiser.zero_grad()


def test_steps_too_small_for_bfloat16_add_up():
    def run(make):
        weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
        steps(make([{"params": [weight]}], lr=1e-3, weight_decay=0.0), [weight], 100, 1.0)
        return weight[0].item()

    assert run(torch.optim.AdamW) == 1.0  # each step is rounded away
    assert run(MasterAdamW) == pytest.approx(0.9, abs=0.005)


def test_in_float32_it_is_adamw():
    results = []
    for make in (torch.optim.AdamW, MasterAdamW):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(5))
        steps(make([{"params": [weight]}], lr=1e-2, weight_decay=0.1), [weight], 7, 0.3)
        results.append(weight.detach().clone())
    assert torch.equal(*results)


def test_the_float32_weights_survive_a_checkpoint():
    def fresh():
        weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
        return weight, MasterAdamW([{"params": [weight]}], lr=1e-4, weight_decay=0.0)

    whole_weight, whole = fresh()
    steps(whole, [whole_weight], 20, 1.0)
    first_weight, first = fresh()
    steps(first, [first_weight], 10, 1.0)
    second_weight, second = fresh()
    with torch.no_grad():
        second_weight.copy_(first_weight)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    steps(second, [second_weight], 10, 1.0)
    (_, kept), (_, expected) = second._pairs[0], whole._pairs[0]
    assert torch.equal(kept, expected)
    assert not torch.equal(kept, kept.bfloat16().float())


# The order of examples


@pytest.mark.parametrize(("n", "batch_size"), [(1, 1), (7, 3), (40, 4), (1001, 8)])
def test_each_example_comes_once_in_batches_of_about_one_length(n, batch_size):
    lengths = [100 + (i * 37) % 400 for i in range(n)]
    sampler = FamilySampler(lengths, batch_size, seed=1)
    order = list(sampler)
    assert sorted(order) == list(range(n))
    assert len(sampler) == n
    batches = [order[i : i + batch_size] for i in range(0, n, batch_size)]
    widths = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches]
    shuffled = random.Random(0).sample(range(n), n)
    others = [shuffled[i : i + batch_size] for i in range(0, n, batch_size)]
    other_widths = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in others]
    assert n < 40 or sum(widths) < 0.35 * sum(other_widths)


def test_an_epochs_order_depends_on_nothing_but_seed_and_epoch():
    def order(seed, epoch):
        sampler = FamilySampler([5] * 30, 3, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1, 2)}) == 6
