"""The ways to run weights: what cannot be, what fails when it is run, what is said of others."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil

import pytest
from safetensors.torch import load_file, save_file

from fcbench.cli import main
from fcbench.cli import merge as cli_merge
from fcbench.drift import Ways, as_json, as_text, drift, merge_command
from fcbench.errors import ModelError, UsageError
from tests.drift.planted import RIGHT, SMALL, install

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("ways", "options", "error", "message"),
    [
        (Ways(dtypes=("float33",)), {}, UsageError, "no such dtype"),
        (Ways(adapter="nowhere"), {}, ModelError, "no adapter here"),
        (Ways(merged="./nowhere"), {}, ModelError, "no such model folder"),
        (Ways(also=("pyton:x:y",)), {}, UsageError, "did you mean python"),
        (Ways(prompts=("chat", "row")), {}, UsageError, "did you mean raw"),
        (Ways(prompts=(" ",)), {}, UsageError, "no prompts are named"),
        (Ways(), {"dtype": "float32"}, UsageError, "one of the ways"),
        (Ways(prompts=("bare",), dtypes=("float32",)), {}, UsageError, "two ways"),
    ],
)
def test_what_cannot_be_is_said_before_a_model_is_loaded(  # noqa: PLR0913  a table
    model, words, monkeypatch, ways, options, error, message
):
    from fcbench.backends import transformers

    monkeypatch.setattr(transformers, "load", None)
    with pytest.raises(error) as caught:
        drift(str(model), words, ways, **options)
    assert message in str(caught.value)


@pytest.fixture
def broken(model, tmp_path):
    """A copy of the model whose weights are NaN: its first batch fails as a whole."""
    folder = shutil.copytree(model, tmp_path / "broken")
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {k: v * float("nan") for k, v in tensors.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    return folder


def test_a_way_that_fails_does_not_lose_the_others(model, broken, words):
    ways = Ways(also=(str(broken),), prompts=("raw", "bare"), dtypes=("float32",))
    found = drift(str(model), words, ways, **SMALL)
    assert [row.label for row in found.rows] == ["raw,float32,base", "bare,float32,base"]
    assert [way.label for way in found.not_run] == ["raw,float32,broken", "bare,float32,broken"]
    assert "the whole first batch failed" in found.not_run[0].error
    assert sum("could not be run" in note for note in found.notes) == 2
    text = as_text(found)
    assert "could not be run" in text
    assert json.loads(as_json(found))["not_run"][1]["weights"] == "broken"


def test_another_row_takes_the_place_of_a_reference_that_fails(model, broken, words):
    ways = Ways(also=(str(model),), prompts=("bare",), dtypes=("float32",))
    found = drift(str(broken), words, ways, **SMALL)
    assert [row.label for row in found.rows] == [f"bare,float32,{model.name}"]
    assert found.reference == 0
    assert any("because the reference could not be run" in note for note in found.notes)
    assert "could not be run" in as_text(found)
    with pytest.raises(ModelError, match="none of 2 ways could be run"):
        drift(str(broken), words, Ways(prompts=("raw", "bare"), dtypes=("float32",)), **SMALL)


def test_the_command_exits_3_for_a_backend_that_does_not_open(
    prompt_dependent, calls, tmp_path, capsys, monkeypatch
):
    from fcbench.backends import python

    def open_model(name, options, inner=python.open_model):
        if "later" in name:
            raise ModelError("no server listens")
        return inner(name, options)

    monkeypatch.setattr(python, "open_model", open_model)
    install(monkeypatch, "later", lambda prompt: RIGHT)
    arguments = ["drift", "--model", prompt_dependent, "--also", "python:later:answer"]
    arguments += ["--suite", calls, "--limit", "5", "--results", str(tmp_path / "runs")]
    assert main(arguments) == 3
    out, err = capsys.readouterr()
    assert "raw,python:later:answer could not be run: no server listens" in err
    assert "the same weights in 3 ways" in out


def test_the_merge_command_that_is_printed_is_one_that_merge_takes():
    words = shlex.split(merge_command("/models/my base", "/adapters/it's new"))
    assert words[:4] == ["python", "-m", "fcbench", "merge"]
    parser = argparse.ArgumentParser()
    cli_merge.add(parser)
    args = parser.parse_args(words[4:])
    assert (args.model, args.adapter, args.out) == ("/models/my base", "/adapters/it's new", "DIR")


def test_a_merged_model_that_was_rounded_when_stored_is_said_to_be(
    model, adapter, merged, words, tmp_path
):
    rounded = shutil.copytree(merged, tmp_path / "rounded")
    config = json.loads((rounded / "config.json").read_text("utf-8"))
    (rounded / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    for dtypes, expected in ((("float32",), 1), (("bfloat16",), 0)):
        ways = Ways(str(adapter), str(rounded), prompts=("bare",), dtypes=dtypes)
        notes = drift(str(model), words, ways, **SMALL).notes
        assert sum("stored in bfloat16" in note for note in notes) == expected
