"""Merging an adapter: the folder written is the model that was trained, or there is no folder."""

import json
import shutil

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from fcbench.backends import ModelOptions
from fcbench.backends.transformers import load
from fcbench.cli import main
from fcbench.errors import ModelError, UsageError
from fcbench.suite import load_suite
from fcbench.train import merge as module
from fcbench.train._merge_probe import difference, logits_of, make_probes
from fcbench.train.merge import merge
from tests.backends.architectures import build, build_adapter

# Those that differ in what an adapter holds: token rows (tied and untied), DoRA, biases, a whole
# output layer, transposed weights.
NAMES = ("gemma3", "llama", "smollm", "qwen2", "qwen3", "gpt2")
ROWS = [7, 8, 9, 10, 11, 12]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a function that gives the base and the adapter of an architecture, made once."""
    folder = tmp_path_factory.mktemp("architectures")

    def make(name):
        base, adapter = folder / name, folder / f"{name}-adapter"
        if not base.exists():
            build(name, base)
            build_adapter(name, base, adapter)
        return str(base), str(adapter)

    return make


def logits(model, text="abcdefghijk()*+,"):
    ids = torch.tensor([model.tokenizer.encode(text, add_special_tokens=False)])
    with torch.inference_mode():
        return model.model(ids).logits[0].float()


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_computes_what_base_and_adapter_compute(name, made, tmp_path):
    base, adapter = made(name)
    report = merge(base, adapter, str(tmp_path / "merged"), suite="original_experiment")
    assert report.stored.largest <= 1e-4 * report.stored.largest_logit
    assert report.stored.same_choices
    assert report.stored.n_positions > 50
    trained = load(base, ModelOptions(adapter=adapter, dtype="float32"))
    merged = load(str(tmp_path / "merged"), ModelOptions(dtype="float32"))
    assert torch.allclose(logits(trained), logits(merged), atol=1e-4, rtol=1e-4)
    untrained = load(base, ModelOptions(dtype="float32"))
    assert not torch.allclose(logits(untrained), logits(merged), atol=0.1)


def test_embedding_and_tied_output_layer_both_hold_the_trained_rows(made, tmp_path):
    base, adapter = made("smollm")
    merge(base, adapter, str(tmp_path / "merged"), suite="original_experiment")
    rows = next(
        tensor
        for name, tensor in load_file(f"{adapter}/adapter_model.safetensors").items()
        if "trainable_tokens_delta" in name
    )
    before = AutoModelForCausalLM.from_pretrained(base).get_input_embeddings().weight[ROWS]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        assert torch.equal(layer.weight[ROWS], rows)
        assert not torch.equal(layer.weight[ROWS], before)


def test_an_untied_output_layer_keeps_its_rows(made, tmp_path):
    base, adapter = made("gemma3")
    merge(base, adapter, str(tmp_path / "merged"), suite="original_experiment")
    before = AutoModelForCausalLM.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert torch.equal(model.lm_head.weight, before.lm_head.weight)
    assert not torch.equal(model.model.embed_tokens.weight, before.model.embed_tokens.weight)


def test_the_folder_says_what_it_was_made_of_and_where_a_turn_ends(made, tmp_path):
    base, adapter = made("gemma3")
    report = merge(base, adapter, str(tmp_path / "merged"), suite="original_experiment")
    written = json.loads((tmp_path / "merged" / "merge.json").read_text("utf-8"))
    trained = load(base, ModelOptions(adapter=adapter, dtype="float32"))
    assert written["base_sha256"] == trained.manifest["weights_sha256"]
    assert written["adapter_sha256"] == trained.manifest["adapter"]["sha256"]
    assert written["stored"]["n_same_choice"] == report.stored.n_same_choice
    config = json.loads((tmp_path / "merged" / "generation_config.json").read_text("utf-8"))
    assert config["eos_token_id"] == report.stop_ids == trained.eos_ids
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]


def test_bfloat16_is_stored_and_both_of_its_differences_are_reported(made, tmp_path):
    base, adapter = made("llama")
    out = tmp_path / "merged"
    report = merge(base, adapter, str(out), dtype="bfloat16", suite="original_experiment")
    assert {t.dtype for t in load_file(out / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((out / "config.json").read_text("utf-8"))["dtype"] == "bfloat16"
    assert 0 < report.merged.largest < report.stored.largest
    assert report.computed is not None
    assert report.computed.largest > 0


def spoil(adapter, folder, *, value, part):
    """Copy an adapter with one number of its first tensor whose name holds `part` replaced."""
    folder.mkdir()
    tensors = load_file(f"{adapter}/adapter_model.safetensors")
    name = next(name for name in tensors if part in name)
    tensors[name].view(-1)[0] = value
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    shutil.copy(f"{adapter}/adapter_config.json", folder)
    return name


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_of_the_adapter_that_is_not_finite_is_named(value, made, tmp_path):
    base, adapter = made("qwen2")
    name = spoil(adapter, tmp_path / "bad", value=value, part="lora_B")
    with pytest.raises(ModelError, match=rf"1 of \d+ weights of {name} are NaN or infinite"):
        merge(base, str(tmp_path / "bad"), str(tmp_path / "merged"))
    assert not (tmp_path / "merged").exists()


def test_a_model_that_overflows_is_refused_and_nothing_is_written(made, tmp_path):
    base, adapter = made("qwen2")
    spoil(adapter, tmp_path / "bad", value=3e38, part="lora_B")
    with pytest.raises(ModelError, match="compute logits that are not finite"):
        merge(base, str(tmp_path / "bad"), str(tmp_path / "merged"), suite="original_experiment")
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


@pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings=True.:UserWarning")
@pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer tied:UserWarning")
def test_an_output_layer_trained_apart_from_the_embedding_is_stored_apart(made, tmp_path):
    from peft import LoraConfig, get_peft_model

    base, _ = made("smollm")
    config = LoraConfig(
        r=2, target_modules=["q_proj"], modules_to_save=["lm_head"], task_type="CAUSAL_LM"
    )
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lm_head.modules_to_save" in name:
                parameter.add_(torch.randn_like(parameter))
    adapted.save_pretrained(tmp_path / "adapter")
    report = merge(
        base, str(tmp_path / "adapter"), str(tmp_path / "merged"), suite="original_experiment"
    )
    assert report.stored.same_choices
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert not torch.equal(model.lm_head.weight, model.get_input_embeddings().weight)


@pytest.mark.parametrize("value", [0.0, float("nan")])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_folder_that_reads_back_as_another_model_does_not_appear(
    dtype, value, made, tmp_path, monkeypatch
):
    def write_wrongly(model, loaded, folder, dtype):
        with torch.no_grad():
            model.model.layers[0].mlp.down_proj.weight.fill_(value)
        return write(model, loaded, folder, dtype)

    write = module._write
    monkeypatch.setattr(module, "_write", write_wrongly)
    base, adapter = made("llama")
    with pytest.raises(ModelError, match="what was written is not what was merged"):
        merge(base, adapter, str(tmp_path / "merged"), dtype, suite="original_experiment")
    assert list(tmp_path.iterdir()) == []


def copy_of(base, folder, change):
    """Copy a model with its tensors changed by a function; returns its name."""
    shutil.copytree(base, folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return str(folder)


def test_a_weight_that_bfloat16_makes_infinite_is_named_though_no_logit_shows_it(made, tmp_path):
    def enlarge(tensors):
        # Of a token that no text of the suite has; bfloat16 ends at 3.3895e38.
        tensors["model.embed_tokens.weight"][0, 0] = 3.4e38

    base, adapter = made("llama")
    large = copy_of(base, tmp_path / "large", enlarge)
    out = str(tmp_path / "merged")
    with pytest.raises(ModelError, match=r"rounded to bfloat16: 1 of .*embed_tokens.*infinite"):
        merge(large, adapter, out, "bfloat16", suite="original_experiment")
    assert not (tmp_path / "merged").exists()
    assert merge(large, adapter, out, suite="original_experiment").stored.same_choices


def test_a_model_that_only_computes_in_float32_is_refused_in_bfloat16(made, tmp_path, monkeypatch):
    def overflow_in_bfloat16(model, probes):
        found = logits_of(model, probes)
        dtype = next(model.parameters()).dtype
        return found if dtype == torch.float32 else [values * float("inf") for values in found]

    logits_of = module.logits_of
    monkeypatch.setattr(module, "logits_of", overflow_in_bfloat16)
    base, adapter = made("llama")
    with pytest.raises(ModelError, match="not finite in bfloat16"):
        merge(base, adapter, str(tmp_path / "merged"), "bfloat16", suite="original_experiment")
    assert list(tmp_path.iterdir()) == []


def test_what_bfloat16_stores_computes_what_the_rounded_model_does(made, tmp_path):
    """The angles of positions stay in float32, as where the folder is loaded in bfloat16."""
    base, adapter = made("gemma3")
    out = tmp_path / "merged"
    report = merge(base, adapter, str(out), "bfloat16", suite="original_experiment")
    reloaded = load(str(out), ModelOptions(dtype="bfloat16"))
    trained = load(base, ModelOptions(adapter=adapter, dtype="float32"))
    probes = make_probes(trained, load_suite("original_experiment").cases[:8])
    found = difference(logits_of(trained.model, probes), logits_of(reloaded.model, probes))
    assert found == report.computed


def test_a_template_that_refuses_developer_turns_is_no_hindrance(made, tmp_path):
    base, adapter = made("llama")
    shutil.copytree(base, tmp_path / "strict")
    template = "{{ raise_exception('no developer here') }}<tool_call>"
    (tmp_path / "strict" / "chat_template.jinja").write_text(template, encoding="utf-8")
    out = tmp_path / "merged"
    report = merge(str(tmp_path / "strict"), adapter, str(out), suite="original_experiment")
    assert report.stored.n_positions > 50
    assert (out / "chat_template.jinja").read_text("utf-8") == template


def test_an_unknown_suite_is_said_before_the_model_is_loaded(made, tmp_path, monkeypatch):
    from fcbench.backends import transformers

    monkeypatch.setattr(transformers, "load", None)
    with pytest.raises(UsageError, match="no such suite"):
        merge(*made("llama"), str(tmp_path / "merged"), suite="nowhere")


def test_of_a_model_with_an_adapter_no_other_logits_are_held(made):
    base, adapter = made("gemma3")
    loaded = load(base, ModelOptions(adapter=adapter, dtype="float32"))
    probes = make_probes(loaded, load_suite("original_experiment").cases[:8])
    for probe, values in zip(probes, logits_of(loaded.model, probes), strict=True):
        assert len(values) == probe.n_positions
        assert values.untyped_storage().nbytes() == values.numel() * 4
        ids = torch.tensor([probe.ids])
        with torch.inference_mode():
            every = loaded.model(ids).logits[0]
        assert torch.allclose(values, every[-probe.n_positions :], atol=1e-4)


def test_an_adapter_that_changes_nothing_warns(made, tmp_path):
    from peft import LoraConfig, get_peft_model

    base, _ = made("llama")
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(
        tmp_path / "adapter"
    )
    with pytest.warns(UserWarning, match="changes no logit"):
        report = merge(
            base,
            str(tmp_path / "adapter"),
            str(tmp_path / "merged"),
            suite="original_experiment",
        )
    assert report.adapter_changes == 0


def test_a_folder_that_holds_something_is_left_alone(made, tmp_path):
    base, adapter = made("llama")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        merge(base, adapter, str(tmp_path / "taken"))
    assert (tmp_path / "taken" / "mine").read_text() == "precious"


def test_an_empty_folder_is_filled(made, tmp_path):
    base, adapter = made("llama")
    (tmp_path / "empty").mkdir()
    merge(base, adapter, str(tmp_path / "empty"), suite="original_experiment")
    assert (tmp_path / "empty" / "model.safetensors").is_file()


def test_a_quantised_base_is_refused_with_a_way_out(made, tmp_path):
    _, adapter = made("llama")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(
        json.dumps({"model_type": "llama", "quantization_config": {"quant_method": "bitsandbytes"}})
    )
    with pytest.raises(ModelError, match="are quantised") as raised:
        merge(str(tmp_path / "base"), adapter, str(tmp_path / "merged"))
    assert "merge into the model that was quantised" in raised.value.hint


def test_an_unknown_dtype_is_a_usage_error(made, tmp_path):
    base, adapter = made("llama")
    with pytest.raises(UsageError, match="no such dtype: float16"):
        merge(base, adapter, str(tmp_path / "merged"), dtype="float16")


def test_the_command_prints_the_differences(made, tmp_path, capsys):
    base, adapter = made("llama")
    command = ["merge", base, "--adapter", adapter, "--suite", "original_experiment"]
    assert main([*command, "--out", str(tmp_path / "merged"), "--dtype", "bfloat16"]) == 0
    out = capsys.readouterr().out
    assert "merged, in memory" in out
    assert "as stored, in bfloat16" in out
    assert main([*command, "--out", str(tmp_path / "again"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stored"]["n_positions"] > 50
    assert main([*command, "--out", str(tmp_path / "merged")]) == 2
