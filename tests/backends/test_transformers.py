"""The transformers backend on tiny models of random weights."""

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

import fcbench
from fcbench.backends import ModelOptions, check_model, open_model
from fcbench.backends.transformers import _read, stop_ids
from fcbench.backends.transformers._packed import Step
from fcbench.backends.transformers._read import AloneReader, PackedReader, reader_for
from fcbench.errors import ModelError, UsageError
from fcbench.formats.functiongemma import STOP_TOKENS
from fcbench.types import Decoding
from tests.backends import real_models
from tests.backends.generated import as_requests
from tests.conftest import build_gemma, build_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")
FLOAT32 = ModelOptions(dtype="float32")
PROMPTS = [
    "<bos>Hi",
    "<bos>Show me a place on the map, please.",
    "<bos>" + "turn on the flashlight " * 9,
]


def save_adapter(model_folder: Path, folder: Path, *, trained: bool, **saving) -> Path:
    """Write a LoRA adapter for a model; an untrained one changes nothing."""
    torch.manual_seed(1)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=not trained)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(model_folder), config)
    model.save_pretrained(folder, **saving)
    return folder


def answers(backend, prompts, decoding):
    """Return the samples of prompts in their order."""
    samples = list(backend.answer(as_requests(prompts), decoding))
    return sorted(samples, key=lambda sample: int(sample.case_id))


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory) -> Path:
    return save_adapter(tiny_model, tmp_path_factory.mktemp("adapter"), trained=True)


@pytest.mark.parametrize("with_adapter", [False, True])
def test_greedy_equals_generate_one_at_a_time_in_float32(tiny_model, adapter, with_adapter):
    adapted = {"adapter": str(adapter) if with_adapter else None, "dtype": "float32"}
    loaded = open_model(str(tiny_model), ModelOptions(**adapted))._loaded
    decoding = Decoding(max_new_tokens=40, stops=STOP_TOKENS)
    prompts = [loaded.tokenizer.encode(p, add_special_tokens=False) for p in PROMPTS]
    assert max(map(len, prompts)) > 3 * loaded.model.config.sliding_window
    alone = []
    for ids in prompts:
        out = loaded.model.generate(
            torch.tensor([ids]),
            do_sample=False,
            max_new_tokens=40,
            eos_token_id=stop_ids(loaded, STOP_TOKENS),
            temperature=None,
            top_k=None,
        )
        alone.append(loaded.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=False))
    assert len(set(alone)) == 3
    for batch_size in (1, 2, 3):
        backend = open_model(str(tiny_model), ModelOptions(**adapted, batch_size=batch_size))
        assert [sample.text for sample in answers(backend, PROMPTS, decoding)] == alone


def test_a_run_with_a_real_tokenizer_records_what_it_loaded(tiny_model, adapter):
    made = fcbench.run(
        str(tiny_model),
        "original_experiment",
        adapter=str(adapter),
        dtype="float32",
        max_new_tokens=4,
    )
    model = made.manifest["model"]
    assert model["adapter"]["active"]
    assert model["adapter"]["max_logit_difference"] > 0
    assert len(model["adapter"]["sha256"]) == len(model["weights_sha256"]) == 64
    assert model["template_sha256"] is None
    assert {s.output_tokens for s in made.samples} == {4}
    assert all(s.prompt_tokens > 100 for s in made.samples)


def test_batch_size_changes_no_greedy_output_in_float32(tiny_model):
    texts = []
    for batch_size in (1, 2, 16):
        made = fcbench.run(
            str(tiny_model),
            "original_experiment",
            dtype="float32",
            max_new_tokens=8,
            batch_size=batch_size,
        )
        texts.append({s.case_id: s.text for s in made.samples})
    assert texts[0] == texts[1] == texts[2]


def test_stop_tokens_end_a_turn_and_end_of_call_does_not(tiny_model):
    loaded = open_model(str(tiny_model), FLOAT32)._loaded
    shown = {loaded.tokenizer.convert_ids_to_tokens(i) for i in stop_ids(loaded, STOP_TOKENS)}
    assert shown == {"<eos>", "<end_of_turn>", "<start_function_response>"}


# A broken model


def damaged(tiny_model: Path, folder: Path, token: str | None) -> Path:
    """Copy the model with NaN in the embedding of one token, or in all that follows it."""
    shutil.copytree(tiny_model, folder)
    weights = load_file(folder / "model.safetensors")
    if token is None:
        weights["model.norm.weight"][:] = float("nan")
    else:
        token_id = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(token)
        weights["model.embed_tokens.weight"][token_id] = float("inf")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_nan_everywhere_is_a_model_error_that_names_the_dtype(tiny_model, tmp_path):
    folder = damaged(tiny_model, tmp_path / "nan", None)
    with pytest.raises(ModelError, match="new token 1 are not finite in float32"):
        fcbench.run(str(folder), "original_experiment", dtype="float32")


def test_infinity_in_one_sequence_is_an_error_of_that_sample_alone(tiny_model, tmp_path):
    # The output layer is tied to the embedding, so one broken token breaks every logit row; an
    # untied one lets the other sequences live.
    folder = tmp_path / "untied"
    shutil.copytree(tiny_model, folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    broken = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(
        "<start_function_declaration>"
    )
    with torch.no_grad():
        model.model.embed_tokens.weight[broken] = float("nan")
    model.save_pretrained(folder)
    suite = fcbench.load_suite("original_experiment")
    prompts = ("<bos>fine", "<bos><start_function_declaration>x")
    backend = open_model(str(folder), FLOAT32)
    fine, faulty = answers(backend, prompts, Decoding(max_new_tokens=5))
    assert (fine.error, fine.output_tokens) == (None, 5)
    assert faulty.error == "the logits of new token 1 are not finite in float32"
    assert faulty.text == ""
    with pytest.raises(ModelError):  # every chat prompt declares tools
        fcbench.run(str(folder), suite, dtype="float32")


def test_a_prompt_longer_than_the_context_is_an_error_never_cut(tiny_model, tmp_path):
    folder = tmp_path / "short"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(
        json.dumps({**config, "max_position_embeddings": 512}), encoding="utf-8"
    )
    scores = fcbench.score(
        fcbench.run(str(folder), "original_experiment", dtype="float32", max_new_tokens=4)
    )
    assert scores.n_errors == 5
    assert "exceed the model's context of 512" in scores.verdicts[0].sample.error


def test_a_tokenizer_without_a_pad_token_works(tmp_path):
    build_tokenizer(tmp_path, None, pad=None)
    build_gemma(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).pad_token is None
    made = fcbench.run(str(tmp_path), "original_experiment", dtype="float32", max_new_tokens=4)
    assert all(sample.error is None for sample in made.samples)


def test_float16_is_refused_for_gemma_3_with_the_reason_before_and_at_loading(tiny_model):
    for name in ("gemma3-270m", str(tiny_model)):
        with pytest.raises(UsageError, match=r"Gemma 3 overflows in float16(.|\n)*--allow-float16"):
            check_model(name, ModelOptions(dtype="float16"))
    check_model("gemma3-270m", ModelOptions(dtype="float16", allow_float16=True))
    check_model(str(tiny_model), ModelOptions(dtype="float16", allow_float16=True))
    made = fcbench.run(
        str(tiny_model),
        "original_experiment",
        dtype="float16",
        allow_float16=True,
        max_new_tokens=2,
    )
    assert made.manifest["model"]["dtype"] == "float16"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_all_sequences_are_read_in_one_row_whatever_the_dtype(tiny_model, dtype):
    backend = open_model(str(tiny_model), ModelOptions(dtype=dtype, allow_float16=True))
    assert isinstance(backend._reader, PackedReader)


@pytest.mark.model
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", real_models.NAMES)
def test_real_models_are_read_in_one_row(name, dtype):
    reason = real_models.missing(name)
    if reason:
        pytest.skip(reason)
    backend = open_model(str(real_models.folder_of(name)), ModelOptions(dtype=dtype))
    assert isinstance(backend._reader, PackedReader)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_row_that_is_read_wrongly_is_not_taken(tiny_model, monkeypatch, caplog, dtype):
    attend = Step.attend
    monkeypatch.setattr(
        Step, "attend", lambda self, n, s, scale, w: attend(self, n, s, 9 * scale, w)
    )
    backend = open_model(str(tiny_model), ModelOptions(dtype=dtype))
    assert isinstance(backend._reader, AloneReader)
    assert "one sequence at a time" in caplog.text


def test_a_prompt_without_a_token_is_an_error_of_its_case(tiny_model):
    backend = open_model(str(tiny_model), FLOAT32)
    fine, empty = answers(backend, ("<bos>fine", ""), Decoding(max_new_tokens=5))
    assert (fine.error, empty.error) == (None, "the prompt holds no token")


def test_a_model_with_a_layer_of_an_unknown_kind_is_read_one_sequence_at_a_time(
    tiny_model, monkeypatch
):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert isinstance(reader_for(model), PackedReader)
    monkeypatch.setattr(_read, "LAYERS", {"full_attention"})
    assert isinstance(reader_for(model), AloneReader)


# Adapters


def test_a_fresh_adapter_warns_that_it_changes_nothing(tiny_model, tmp_path):
    fresh = save_adapter(tiny_model, tmp_path, trained=False)
    with pytest.warns(UserWarning, match="changes no logit of the base model"):
        backend = open_model(str(tiny_model), ModelOptions(adapter=str(fresh), dtype="float32"))
    assert backend.manifest["adapter"]["active"] is False


def test_an_adapter_for_another_architecture_is_a_model_error(tiny_model, tmp_path):
    for module in ("q_proj", "down_proj"):
        shape = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4}
        llama = LlamaForCausalLM(
            LlamaConfig(vocab_size=64, hidden_size=48, intermediate_size=64, **shape)
        )
        config = LoraConfig(r=2, target_modules=[module], init_lora_weights=False)
        get_peft_model(llama, config).save_pretrained(tmp_path / module)
        with pytest.raises(ModelError, match="another architecture"):
            open_model(
                str(tiny_model), ModelOptions(adapter=str(tmp_path / module), dtype="float32")
            )


@pytest.mark.parametrize("change", ["rename", "add", "drop"])
def test_an_adapter_whose_layers_are_not_the_models_is_a_model_error(
    tiny_model, adapter, tmp_path, change
):
    shutil.copytree(adapter, tmp_path / "a")
    file = tmp_path / "a" / "adapter_model.safetensors"
    weights = load_file(file)
    first = next(iter(weights))
    if change == "rename":
        weights = {key.replace("layers.0", "layers.9"): value for key, value in weights.items()}
    elif change == "add":
        weights["base_model.model.other.lora_A.weight"] = weights[first].clone()
    else:
        del weights[first]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="its layers are not the model's"):
        open_model(str(tiny_model), ModelOptions(adapter=str(tmp_path / "a"), dtype="float32"))


def test_an_adapter_may_hold_the_embeddings_too_and_its_base_need_not_be_known(
    tiny_model, tmp_path
):
    """Nothing is warned of, which pytest here takes for an error, and no hub is asked."""
    folder = save_adapter(tiny_model, tmp_path, trained=True, save_embedding_layers=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "a-name-of-no-folder"
    (folder / "adapter_config.json").write_text(json.dumps(config))
    backend = open_model(str(tiny_model), ModelOptions(adapter=str(folder), dtype="float32"))
    assert backend.manifest["adapter"]["active"] is True


def test_an_adapter_in_place_of_a_model_says_how_it_is_asked(adapter):
    with pytest.raises(ModelError, match="is an adapter") as told:
        open_model(str(adapter), FLOAT32)
    assert told.value.hint == f"--model BASE --adapter {adapter}"


def test_an_adapter_folder_without_weights_says_what_is_missing(tiny_model, tmp_path):
    with pytest.raises(ModelError, match=r"adapter_config.json is missing"):
        open_model(str(tiny_model), ModelOptions(adapter=str(tmp_path), dtype="float32"))


# Names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./no/such/folder", "no such model folder"),
        ("gemma3-270", "did you mean gemma3-270m"),
        ("owner/no-such-model", "owner/no-such-model: cannot be loaded"),
    ],
)
def test_a_model_that_is_not_there_is_one_clear_error(name, message):
    with pytest.raises(ModelError, match=message):
        open_model(name)


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(ModelError, match=r"holds no config.json"):
        open_model(str(tmp_path))


def test_a_folder_without_a_tokenizer_says_so(tiny_model, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_model / name, tmp_path / name)
    with pytest.raises(ModelError, match="holds no tokenizer"):
        open_model(str(tmp_path))


def test_a_token_without_a_row_is_an_error_of_the_prompts_that_hold_it(tiny_model, tmp_path):
    """Gemma 3's own tokenizer has one that no text holds, which is no reason to refuse it."""
    folder = tmp_path / "grown"
    shutil.copytree(tiny_model, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<new>"]})
    tokenizer.save_pretrained(folder)
    backend = open_model(str(folder), FLOAT32)
    without, holding = answers(
        backend, ["<bos>Hi", "<bos>Hi<new>"], Decoding(max_new_tokens=2, stops=STOP_TOKENS)
    )
    assert without.error is None
    assert holding.error.startswith("the prompt holds <new>, for which the model has no row")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", b"\x08\x00"),
        ("config.json", b"[]"),
        ("config.json", b'{"model_type": "gemma3_text", "hidden_size": "x"}'),
    ],
)
def test_damaged_model_files_are_one_clear_error(tiny_model, tmp_path, file, content):
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_model, folder)
    (folder / file).write_bytes(content)
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_model(str(folder))


def test_a_chat_template_that_fails_names_the_case(tiny_model, tmp_path):
    folder = tmp_path / "template"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").write_text("{{ 1 / 0 }}", encoding="utf-8")
    with pytest.raises(
        UsageError, match="case flashlight-and-event: the model's chat template refuses"
    ):
        fcbench.run(str(folder), "original_experiment")


def test_without_torch_the_extra_is_named():
    script = "import sys; sys.modules['torch'] = None\nfrom fcbench.backends import open_model\nopen_model('gemma3-270m')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "MissingExtra: this needs the package torch" in done.stderr
    assert "pip install 'fcbench[hf]'" in done.stderr


def test_a_pickled_model_is_refused(tiny_model, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_model, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"pytorch_model.bin is a pickle"):
        open_model(str(folder))


def test_unknown_dtypes_and_backends_name_the_nearest(tiny_model):
    with pytest.raises(UsageError, match="did you mean float32"):
        open_model(str(tiny_model), ModelOptions(dtype="flaot32"))
    with pytest.raises(UsageError, match="no kind of model is called pyton"):
        open_model("pyton:a:b")


def test_loading_and_answering_raise_no_warning(tiny_model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fcbench.run(str(tiny_model), "original_experiment", max_new_tokens=2)


@pytest.mark.model
def test_the_packaged_model_in_float32_decodes_as_generate_does_one_at_a_time():
    backend = open_model("gemma3-270m", FLOAT32)
    loaded = backend._loaded
    cases = fcbench.load_suite("original_experiment").cases[:3]
    texts = [
        "<bos>Hi",
        "<bos>" + " ".join(m["content"] for m in cases[0].messages) * 8,
        "<bos>One, two,",
    ]
    prompts = [loaded.tokenizer.encode(text, add_special_tokens=False) for text in texts]
    assert max(map(len, prompts)) > loaded.model.config.sliding_window
    together = answers(backend, texts, Decoding(max_new_tokens=32, stops=STOP_TOKENS))
    for ids, sample in zip(prompts, together, strict=True):
        out = loaded.model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=32)
        assert sample.text == loaded.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=False)
