"""vLLM beside a stand-in of its signatures, and the contract that vLLM itself has to keep.

vLLM cannot be installed here. `test_vllm_keeps_the_contract` and `test_vllm_answers` run where it
is (`pytest -m model tests/backends/test_vllm.py`), on a tiny model that is made for them.
"""

import dataclasses
import importlib.util
import inspect
import json
import sys
import types

import pytest

import fcbench
from fcbench import Case, Tool
from fcbench.backends import ModelOptions, check_model, open_model, vllm
from fcbench.backends.vllm import CHUNK, RANKS, engine_arguments, sampling_arguments
from fcbench.errors import BackendError, MissingExtra, ModelError, UsageError
from fcbench.prompts import Style, requests
from fcbench.runs._asked import Asked
from fcbench.types import Decoding
from tests.backends import vllm_stand_in
from tests.conftest import build_gemma, build_tokenizer

DTYPE = "float32"
GREEDY = Decoding(max_new_tokens=24, stops=("<end_of_turn>", "<eos>", "<start_function_response>"))
SAMPLED = Decoding("sample", 8, GREEDY.stops, temperature=1.5)
TOOL = Tool("show_map", "Shows a place.", {"type": "object", "properties": {}})
WORDS = ("Show me Oslo.", "Rome, please.", "Where is Lima?")

pytestmark = pytest.mark.usefixtures("one_thread")


def cases(words=WORDS):
    return [Case(word, [{"role": "user", "content": word}], [TOOL], [[]]) for word in words]


def asked(backend, words=WORDS, **style):
    return requests(cases(words), "bare", Style("functiongemma", None, backend.bos), **style)


def answers(backend, wanted, decoding=GREEDY):
    found = {(s.case_id, s.repeat): s for s in backend.answer(wanted, decoding)}
    assert len(found) == len(wanted)
    return [found[request.case.id, request.repeat] for request in wanted]


@pytest.fixture
def engine(monkeypatch):
    return vllm_stand_in.install(monkeypatch)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model that says something else to each prompt: it does not repeat what it reads."""
    import torch
    from transformers import AutoConfig, Gemma3ForCausalLM

    folder = tmp_path_factory.mktemp("lively")
    build_tokenizer(folder, None)
    build_gemma(folder)
    config = AutoConfig.from_pretrained(folder)
    config.tie_word_embeddings = False
    torch.manual_seed(0)
    Gemma3ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapters(tmp_path_factory, model):
    """Return a function that writes an adapter of random weights, or one that is still zero."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    def write(name, **config):
        folder = tmp_path_factory.mktemp(name)
        config = {"r": 4, "target_modules": ["q_proj", "down_proj"], **config}
        base = AutoModelForCausalLM.from_pretrained(model)
        get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **config)).save_pretrained(folder)
        return str(folder)

    return write


def opened(folder, **options):
    return open_model(f"vllm:{folder}", ModelOptions(dtype=DTYPE, **options))


# Answers


def test_answers_are_those_of_transformers(engine, model):
    ours = open_model(str(model), ModelOptions(dtype=DTYPE))
    theirs = opened(model)
    assert ours.bos == theirs.bos == "<bos>"
    pairs = list(zip(answers(ours, asked(ours)), answers(theirs, asked(theirs)), strict=True))
    assert len({got.text for _, got in pairs}) == len(pairs)
    for wanted, got in pairs:
        for field in ("text", "stop", "prompt_tokens", "output_tokens", "prompt_sha256", "error"):
            assert getattr(got, field) == getattr(wanted, field)
    assert engine.made[0].arguments["dtype"] == "float32"


def test_a_foreign_stop_token_is_no_text_and_the_formats_own_is(engine, model):
    backend = opened(model)
    (request,) = asked(backend, WORDS[:1])
    (ends,) = backend._ids_of(["<end_of_turn>"])
    said = types.SimpleNamespace(finish_reason="stop", token_ids=(*backend._encode("Oslo"), ends))
    n_tokens = len(said.token_ids)
    for stop_ids, text in (([ends], "Oslo<end_of_turn>"), ([], "Oslo")):
        sample = backend._read(request, [1], said, stop_ids, 0.0)
        assert (sample.text, sample.stop, sample.output_tokens) == (text, "token", n_tokens)


def test_a_cut_answer_is_one(engine, model):
    backend = opened(model)
    (sample,) = answers(backend, asked(backend, WORDS[:1]), Decoding(max_new_tokens=1))
    assert (sample.stop, sample.output_tokens) == ("limit", 1)


@pytest.mark.parametrize("reason", ["abort", "error", None])
def test_an_answer_that_the_engine_ended_is_an_error(engine, model, reason):
    backend = opened(model)
    (request,) = asked(backend, WORDS[:1])
    said = types.SimpleNamespace(finish_reason=reason, token_ids=[5])
    sample = backend._read(request, [1], said, [], 0.0)
    assert sample.error == f"the engine ended the answer: {reason}"
    assert sample.text == ""


def test_a_draw_depends_on_seed_case_and_repeat_alone(engine, model):
    backend = opened(model, temperature=1.5, decode="sample", repeats=2)
    wanted = asked(backend, repeats=2)
    drawn = [sample.text for sample in answers(backend, wanted, SAMPLED)]
    backwards = [sample.text for sample in answers(backend, wanted[::-1], SAMPLED)]
    assert drawn == backwards[::-1]
    assert len(set(drawn)) == len(drawn)


def test_prompts_that_cannot_be_answered_do_not_refuse_the_others(engine, model):
    backend = opened(model)
    backend._context_length = 200
    short, long = answers(backend, asked(backend, ("Oslo?", "Oslo? " * 100)))
    assert short.error is None
    assert "24 new ones exceed the model's context of 200" in long.error
    assert long.prompt_tokens > 200
    (request,) = asked(backend, WORDS[:1])
    backend._n_rows = max(backend._encode(request.prompt))
    assert "for which the model has no row" in answers(backend, [request])[0].error


def test_an_engine_that_fails_at_once_is_a_model_error(engine, model, monkeypatch):
    backend = opened(model)
    monkeypatch.setattr(engine, "generate", refuse)
    with pytest.raises(ModelError, match="the engine failed: RuntimeError: out of memory"):
        answers(backend, asked(backend))


def test_an_engine_that_fails_later_keeps_what_was_answered(engine, model, monkeypatch):
    backend = opened(model)
    monkeypatch.setattr("fcbench.backends.vllm.CHUNK", 1)
    found = backend.answer(asked(backend), GREEDY)
    assert next(found).error is None
    monkeypatch.setattr(engine, "generate", refuse)
    with pytest.raises(BackendError, match="out of memory"):
        list(found)


def test_an_interrupted_run_ends_after_the_prompts_that_the_engine_is_at(
    engine, model, monkeypatch
):
    backend = opened(model)
    monkeypatch.setattr("fcbench.backends.vllm.CHUNK", 2)
    words = [f"Show me {place}." for place in ("Oslo", "Rome", "Lima", "Bern", "Kiev")]
    run = Asked(asked(backend, words), cases(words), 1)
    found = []
    for sample in backend.answer(run, GREEDY):
        found.append(sample.case_id)
        run.close()
    assert found == words[:2]
    assert [n_prompts for n_prompts, _ in engine.made[0].asked] == [2]


def refuse(*_, **__):
    raise RuntimeError("out of\n memory")


def test_the_engine_is_given_many_prompts_at_a_time(engine, model):
    backend = opened(model, batch_size=2)
    answers(backend, asked(backend))
    (made,) = engine.made
    assert made.arguments["max_num_seqs"] == 2, "the engine divides the work"
    assert [n_prompts for n_prompts, _ in made.asked] == [3]
    assert CHUNK > 2


def test_no_cache_of_beginnings_where_none_is_wanted(engine, model):
    opened(model, prefix_memory=0)
    assert engine.made[0].arguments["enable_prefix_caching"] is False


# The model


def test_the_models_own_template_writes_the_prompts(engine, tmp_path):
    build_tokenizer(tmp_path, "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}")
    build_gemma(tmp_path)
    backend = opened(tmp_path)
    assert backend.template([{"role": "user", "content": "Hi."}], []) == "<bos>Hi."
    assert len(backend.manifest["template_sha256"]) == 64


def test_the_manifest_says_which_model_it_was(engine, model):
    backend = opened(model)
    assert backend.template is None
    manifest = backend.manifest
    assert manifest["name"] == f"vllm:{model}"
    assert (manifest["backend"], manifest["version"]) == ("vllm", "0.0+stand-in")
    assert (manifest["dtype"], manifest["adapter"]) == ("float32", None)
    ours = open_model(str(model), ModelOptions(dtype=DTYPE)).manifest
    assert manifest["weights_sha256"] == ours["weights_sha256"]


def test_a_model_that_cannot_be_loaded_is_a_model_error(engine, tmp_path):
    build_tokenizer(tmp_path, None)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be loaded"):
        opened(tmp_path)


def test_a_whole_run(engine, model, write_lines, case_row):
    suite = write_lines(case_row(), case_row(id="b"))
    run = fcbench.run(f"vllm:{model}", suite, dtype=DTYPE, max_new_tokens=8)
    assert fcbench.score(run).n_errors == 0
    assert [sample.error for sample in run.samples] == [None, None]


# Adapters


def test_an_adapter_changes_the_answers_and_is_proven_active(engine, model, adapters):
    adapter = adapters("random", init_lora_weights=False)
    ours = open_model(str(model), ModelOptions(dtype=DTYPE, adapter=adapter))
    theirs = opened(model, adapter=adapter)
    plain = opened(model)
    texts = [sample.text for sample in answers(theirs, asked(theirs))]
    assert texts == [sample.text for sample in answers(ours, asked(ours))]
    assert texts != [sample.text for sample in answers(plain, asked(plain))]
    described = theirs.manifest["adapter"]
    assert (described["name"], described["active"]) == (adapter, True)
    assert described["sha256"] == ours.manifest["adapter"]["sha256"]


def test_an_adapter_that_changes_nothing_warns(engine, model, adapters):
    with pytest.warns(UserWarning, match="changes nothing in the base model"):
        backend = opened(model, adapter=adapters("zero"))
    assert backend.manifest["adapter"]["active"] is False


@pytest.mark.parametrize(("rank", "room"), [(1, 1), (4, 8), (8, 8), (33, 64)])
def test_there_is_room_for_an_adapters_rank(tmp_path, model, rank, room):
    config = {"r": 1, "rank_pattern": {"q_proj": rank}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    options = ModelOptions(dtype=DTYPE, adapter=str(tmp_path))
    assert engine_arguments(str(model), options)["max_lora_rank"] == room


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"trainable_token_indices": {"embed_tokens": [46]}}, "no trained tokens"),
        ({"modules_to_save": ["lm_head"]}, "no layers trained as a whole"),
        ({"use_dora": True}, "no DoRA"),
    ],
)
def test_an_adapter_that_vllm_cannot_apply_is_refused_with_the_way_out(tmp_path, config, what):
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UsageError, match=what) as refused:
        check_model("vllm:owner/name", ModelOptions(adapter=str(tmp_path)))
    assert "fcbench merge" in refused.value.hint


def test_an_adapter_that_does_not_fit_is_a_model_error(engine, model, adapters, monkeypatch):
    adapter = adapters("other", init_lora_weights=False)
    monkeypatch.setattr(engine, "_with", refuse)
    with pytest.raises(ModelError, match="does not fit the model"):
        opened(model, adapter=adapter)


# Names and options


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"native": True}, "native prompts are for a server"),
        ({"decode": "constrained"}, "not held to a grammar"),
        ({"prefix_memory": 1000}, "has its own cache"),
    ],
)
def test_what_the_engine_cannot_do_is_refused_without_loading(options, what):
    with pytest.raises(UsageError, match=what):
        check_model("vllm:owner/name", ModelOptions(**options))


def test_native_prompts_have_a_way_out():
    with pytest.raises(UsageError) as refused:
        check_model("vllm:owner/name", ModelOptions(native=True))
    assert "--enable-auto-tool-choice" in refused.value.hint
    assert "vllm:http://127.0.0.1:8000#owner/name" in refused.value.hint


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_extra_is_named():
    with pytest.raises(MissingExtra) as missing:
        check_model("vllm:owner/name", ModelOptions())
    assert "fcbench[vllm]" in missing.value.hint


@pytest.mark.usefixtures("engine")
def test_what_transformers_refuses_vllm_is_not_asked_to_load():
    with pytest.raises(ModelError, match="no such model folder"):
        check_model("vllm:nowhere", ModelOptions())
    with pytest.raises(UsageError, match="2 repeats at temperature 0"):
        check_model("vllm:owner/name", ModelOptions(repeats=2))


def test_a_served_model_is_the_openai_backend_under_the_name_that_was_typed(monkeypatch):
    asked_for = []

    def record(name, options, prefix=""):
        asked_for.append((name, options.native))
        return types.SimpleNamespace(manifest={"name": f"{prefix}:{name}", "backend": "openai"})

    openai = types.SimpleNamespace(OpenAIBackend=record, check_model=record)
    monkeypatch.setattr(vllm.registry, "load", lambda kind, name: {"openai": openai}[name])
    name = "http://127.0.0.1:8000#owner/name"
    options = ModelOptions(native=True)
    vllm.check_model(name, options)
    backend = vllm.open_model(name, options)
    assert backend.manifest == {"name": f"vllm:{name}", "backend": "openai"}
    assert set(asked_for) == {(name, True)}


# The contract


def parameters(function):
    return set(inspect.signature(function).parameters)


def fields(record):
    """Return the names of a dataclass's or a msgspec Struct's fields, or of its __init__."""
    if dataclasses.is_dataclass(record):
        return {field.name for field in dataclasses.fields(record)}
    return set(getattr(record, "__struct_fields__", ())) or parameters(record.__init__)


def engine_fields(installed):
    """Return what LLM hands on to the engine beside its own parameters."""
    if installed.__version__ == "0.0+stand-in":
        return vllm_stand_in.ENGINE_FIELDS
    from vllm.engine.arg_utils import EngineArgs

    return fields(EngineArgs)


def keep_the_contract(model, tmp_path):
    """Assert that every name which the backend uses is in the signatures of the vLLM there is."""
    import vllm as installed
    from vllm.lora.request import LoRARequest

    (tmp_path / "adapter_config.json").write_text('{"r": 4}', encoding="utf-8")
    options = ModelOptions(dtype=DTYPE, batch_size=2, prefix_memory=0, adapter=str(tmp_path))
    used = set(engine_arguments(str(model), options))
    assert used <= parameters(installed.LLM.__init__) | engine_fields(installed)
    assert parameters(installed.LLM.generate) >= {"prompts", "use_tqdm", "lora_request"}
    assert fields(LoRARequest) >= {"lora_name", "lora_int_id", "lora_path"}
    (request,) = requests(cases(WORDS[:1]), "bare", Style("functiongemma"))
    sampling = sampling_arguments(request, SAMPLED, [1])
    assert fields(installed.SamplingParams) >= {*sampling, "prompt_logprobs"}
    assert installed.SamplingParams(**sampling).top_k in (-1, 0)


def outputs_keep_the_contract(output, completion):
    assert fields(output) >= {"outputs", "prompt_logprobs"}
    assert fields(completion) >= {"token_ids", "finish_reason"}


@pytest.mark.usefixtures("engine")
def test_the_stand_in_keeps_the_contract(model, tmp_path):
    keep_the_contract(model, tmp_path)
    outputs_keep_the_contract(vllm_stand_in.RequestOutput, vllm_stand_in.CompletionOutput)


@pytest.mark.model
def test_vllm_keeps_the_contract(model, tmp_path):
    pytest.importorskip("vllm")
    from vllm.config.lora import MaxLoRARanks
    from vllm.outputs import CompletionOutput, RequestOutput

    keep_the_contract(model, tmp_path)
    outputs_keep_the_contract(RequestOutput, CompletionOutput)
    assert set(MaxLoRARanks.__args__) >= set(RANKS)


@pytest.mark.model
@pytest.mark.filterwarnings("default")
def test_vllm_answers(tmp_path, adapters):
    pytest.importorskip("vllm")
    # vLLM's kernels want wider heads than the tiny model's; its own attributes are read on the way.
    build_tokenizer(tmp_path, None)
    build_gemma(tmp_path, hidden=64)
    backend = opened(tmp_path)
    for sample in answers(backend, asked(backend)):
        assert sample.error is None
        assert sample.output_tokens > 0
        assert sample.stop in ("token", "limit")
    assert (backend.manifest["backend"], backend.bos) == ("vllm", "<bos>")
    assert "vllm" in sys.modules
