"""An adapter that does nothing, or belongs to another model, is named."""

import json
import shutil

import pytest

pytest.importorskip("peft")


def write_adapter(base, folder, *, trained=True, **fields):
    """Write a LoRA adapter for a model; its weights are random, or as they begin."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", **fields)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    if trained:
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.01)
    adapted.save_pretrained(folder)
    return str(folder)


def adapter(report):
    return {f.kind: f for f in report.findings if f.check == "adapter"}


def test_an_adapter_that_is_active_is_fine(folder, examined, tmp_path):
    path = write_adapter(folder, tmp_path / "lora")
    found = adapter(examined(str(folder), adapter=path))
    assert set(found) == {"fine"}
    assert "it trains q_proj, v_proj" in found["fine"].seen


def test_an_adapter_that_changes_nothing_is_the_first_cause(folder, examined, tmp_path):
    path = write_adapter(folder / "untrained", tmp_path / "lora", trained=False)
    report = examined(str(folder / "untrained"), adapter=path)
    assert [cause.kind for cause in report.causes] == ["adapter_inactive", "never_learned"]


def test_an_adapter_of_another_model_is_named_and_the_base_examined(folder, examined, tmp_path):
    from safetensors.torch import load_file, save_file

    path = write_adapter(folder, tmp_path / "lora")
    weights = load_file(f"{path}/adapter_model.safetensors")
    renamed = {k.replace("layers.1.", "layers.7."): v for k, v in weights.items()}
    save_file(renamed, f"{path}/adapter_model.safetensors")
    report = examined(str(folder), adapter=path)
    assert report.causes[0].kind == "adapter_misfit"
    assert "its layers are not the model's" in report.causes[0].evidence[0]
    (knowledge,) = [f for f in report.findings if f.check == "knowledge"]
    assert knowledge.severity == "fine"


def test_an_adapter_that_names_another_base_is_a_doubt(folder, examined, tmp_path):
    path = tmp_path / "lora"
    write_adapter(folder, path)
    config = json.loads((path / "adapter_config.json").read_text("utf-8"))
    config["base_model_name_or_path"] = "someone/another-model"
    (path / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    report = examined(str(folder), adapter=str(path))
    assert report.causes == []
    assert "someone/another-model" in adapter(report)["adapter_other_base"].seen


def test_an_adapter_that_leaves_untrained_rows_is_told_where_nothing_was_learned(
    folder, examined, tmp_path
):
    base = share_rows(folder / "untrained", tmp_path / "base")
    told = adapter(examined(str(base), adapter=write_adapter(base, tmp_path / "lora")))
    assert set(told) == {"adapter_leaves_rows"}
    rows = {"trainable_token_indices": list(range(3, 12))}
    trained = write_adapter(base, tmp_path / "rows", **rows)
    assert "and 9 rows" in adapter(examined(str(base), adapter=trained))["fine"].seen


def share_rows(source, folder):
    """Write a copy of a model whose control tokens have one row."""
    import torch
    from transformers import AutoModelForCausalLM

    shutil.copytree(source, folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.get_input_embeddings().weight[3:12] = model.get_input_embeddings().weight[3]
    model.save_pretrained(folder)
    return folder


def test_a_difference_that_is_no_number_is_not_called_zero(knowing, examined):
    from tests import tiny

    broken = tiny.changed(knowing)
    broken.manifest["adapter"] = {
        "name": "lora",
        "max_logit_difference": float("nan"),
        "active": False,
    }
    report = examined(broken)
    (found,) = [f for f in report.findings if f.check == "adapter"]
    assert (found.severity, found.kind) == ("not applicable", "not_applicable")
    assert "not finite, see numbers" in found.seen
    assert "adapter_inactive" not in {cause.kind for cause in report.causes}
