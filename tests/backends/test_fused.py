"""Products laid out beforehand: the model's own numbers, and the model as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, Qwen2Config

from fcbench.backends.transformers import _fused
from fcbench.backends.transformers._fused import Fused

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": 0,
}
CONFIGS = {
    "gemma3": (Gemma3TextConfig, {"hidden_activation": "gelu_pytorch_tanh"}),
    "gelu": (LlamaConfig, {"hidden_act": "gelu", "tie_word_embeddings": True}),
    "llama": (LlamaConfig, {"mlp_bias": True, "attention_bias": True}),
    "qwen2": (Qwen2Config, {}),
}
CLOSE = {torch.float32: 1e-4, torch.bfloat16: 0.05}
IDS = torch.arange(1, 24)[None]


def model_of(name="llama", dtype=torch.float32, **fields):
    """Return a model of random weights, all of them, biases and norms too."""
    kind, own = CONFIGS[name]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(kind(**SIZES, **own, **fields), dtype=dtype).eval()
    for parameter in model.parameters():
        parameter.data.normal_(std=0.2)
    return model


@torch.inference_mode()
def logits_of(model, fused=None):
    if fused is None:
        return model(IDS).logits
    with fused.on():
        return model(IDS).logits


def named_while(fused, model):
    """Return what the output layer has of its own while the model answers."""
    with fused.on():
        return set(model.get_output_embeddings().__dict__)


def assert_close(found, expected):
    error = (found - expected).abs().max() / expected.abs().max()
    assert error <= CLOSE[expected.dtype]


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", CONFIGS)
def test_the_logits_are_the_models_own(name, dtype):
    model = model_of(name, dtype)
    own = logits_of(model)
    fused = Fused(model)
    fused.lay_out()
    assert len(fused._gated) == SIZES["num_hidden_layers"]
    assert len(fused._linears) == 7 * SIZES["num_hidden_layers"] + 1
    assert_close(logits_of(model, fused), own)
    head = model.get_output_embeddings()
    states = torch.randn(3, SIZES["hidden_size"], dtype=dtype)
    with torch.inference_mode():
        assert_close(fused.forward_of(head)(states), head(states))


def test_each_activation_is_told_from_the_others():
    found = {name: set(Fused(model_of(name))._gated.values()) for name in CONFIGS}
    assert found == {
        "gemma3": {("gelu", "tanh")},
        "gelu": {("gelu", "none")},
        "llama": {("swish", "")},
        "qwen2": {("swish", "")},
    }


def test_an_activation_that_is_none_of_ours_stays_the_models():
    model = model_of(hidden_act="relu")
    fused = Fused(model)
    fused.lay_out()
    assert not fused._gated
    assert_close(logits_of(model, fused), logits_of(model))


def test_a_gated_layer_that_does_more_stays_the_models():
    model = model_of()
    layer = model.model.layers[1].mlp
    kind = type(layer)
    layer.__class__ = type(
        "Doubled", (kind,), {"forward": lambda self, x: 2 * kind.forward(self, x)}
    )
    fused = Fused(model)
    fused.lay_out()
    assert layer not in fused._gated
    assert len(fused._gated) == 1
    assert_close(logits_of(model, fused), logits_of(model))


def test_a_gated_layer_that_cuts_off_large_numbers_stays_the_models():
    model = model_of()
    layer = model.model.layers[0].mlp

    def forward(self, x):
        return self.down_proj(self.act_fn(self.gate_proj(x)).clamp(max=40) * self.up_proj(x))

    layer.__class__ = type("Cut", (type(layer),), {"forward": forward})
    assert layer not in Fused(model)._gated


def test_what_cannot_be_laid_out_is_left_to_the_model_and_said(monkeypatch, caplog):
    model = model_of()
    fused = Fused(model)

    def fails(_weight):
        raise RuntimeError("can't allocate memory")

    monkeypatch.setattr(_fused, "_laid_out", fails)
    fused.lay_out()
    assert "not laid out for faster products: can't allocate memory" in caplog.text
    assert_close(logits_of(model, fused), logits_of(model))


def test_copies_are_let_go_of():
    model = model_of()
    fused = Fused(model)
    fused.lay_out()
    fused.let_go()
    assert fused.forward_of(model.lm_head) is model.lm_head


def test_a_layer_with_a_hook_keeps_it():
    model = model_of()
    seen = []
    model.model.layers[0].self_attn.q_proj.register_forward_hook(lambda *_: seen.append("product"))
    model.model.layers[0].mlp.register_forward_hook(lambda *_: seen.append("gated"))
    fused = Fused(model)
    fused.lay_out()
    logits_of(model, fused)
    assert seen == ["product", "gated"]


def test_an_adapter_counts():
    model = model_of()
    config = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    adapted = get_peft_model(model, config).eval()
    own = logits_of(model)
    fused = Fused(model)
    fused.lay_out()
    assert not fused._gated
    assert_close(logits_of(model, fused), own)
    with adapted.disable_adapter():
        assert (logits_of(model) - own).abs().max() > 0.01


def test_changed_weights_count_from_the_next_run_on():
    model = model_of()
    fused = Fused(model)
    fused.lay_out()
    for parameter in model.parameters():
        parameter.data.mul_(1.3)  # as peft merges: PyTorch counts no change of this kind
    fused.lay_out()
    assert_close(logits_of(model, fused), logits_of(model))


def test_nothing_stays_in_the_model_also_after_an_error():
    model = model_of()
    before = {name: set(module.__dict__) for name, module in model.named_modules()}
    fused = Fused(model)
    fused.lay_out()
    assert "forward" in named_while(fused, model)
    with pytest.raises(RuntimeError, match="fails"), fused.on():
        raise RuntimeError("it fails")
    assert {name: set(module.__dict__) for name, module in model.named_modules()} == before
    own = copy.deepcopy(model)
    own.get_output_embeddings().weight.data.zero_()
    assert not logits_of(own).any()


def test_copies_take_no_more_than_their_share_of_memory(monkeypatch):
    model = model_of()
    fused = Fused(model)
    monkeypatch.setattr(_fused, "free_bytes", lambda _: 100_000)
    fused.lay_out()
    assert fused.forward_of(model.lm_head) is model.lm_head
    assert_close(logits_of(model, fused), logits_of(model))
    monkeypatch.setattr(_fused, "free_bytes", lambda _: 10_000_000)
    fused.lay_out()
    assert fused.forward_of(model.lm_head) is not model.lm_head


def test_weights_in_float16_are_left_to_pytorch():
    assert not Fused(model_of(dtype=torch.float16))._linears
