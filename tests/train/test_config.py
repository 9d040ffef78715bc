"""One record says what a training run is to do; the TOML file and --help come from it."""

import re

import pytest

from fcbench.cli import main
from fcbench.errors import UsageError
from fcbench.train import Config, read_config
from fcbench.train._config import as_toml, options

GIVEN = {"model": "m", "data": ["d.jsonl"], "out": "o"}


def test_every_field_has_a_meaning_in_help_and_in_the_toml_file(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    said = re.sub(r"-?\s+", "", capsys.readouterr().out)
    toml = as_toml()
    names = [option.name for option in options()]
    assert names == list(Config.__struct_fields__)
    for option in options():
        assert len(option.meaning) > 10
        assert f"--{option.name.replace('_', '-')}".replace("-", "") in said.replace("-", "")
        assert re.sub(r"-?\s+", "", option.meaning) in said
        assert f"# {option.meaning}\n" in toml


def test_a_configuration_survives_its_toml_file(tmp_path):
    config = Config(
        **GIVEN, n_cases=3, patience=2, eval_suite="s", warmup=0.0, allow_invalid_targets=True,
        lora_targets='a"b\\', epochs=1e-3,
    )  # fmt: skip
    file = tmp_path / "config.toml"
    file.write_text(as_toml(config), "utf-8")
    assert read_config(file, {}) == config


def test_the_printed_file_with_its_three_missing_fields_is_the_defaults(tmp_path, capsys):
    assert main(["train", "--print-config"]) == 0
    file = tmp_path / "config.toml"
    file.write_text(capsys.readouterr().out, "utf-8")
    assert read_config(file, GIVEN) == Config(**GIVEN)


def test_what_is_given_wins_over_the_file(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('model = "a"\ndata = "one.jsonl"\nout = "o"\nepochs = 2\n', "utf-8")
    config = read_config(file, {"model": "b"})
    assert (config.model, config.data, config.epochs) == ("b", ["one.jsonl"], 2.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": ""}, "--model is missing"),
        ({"epoch": 1}, "no such field: epoch\nhint: did you mean epochs?"),
        ({"epochs": 0}, "epochs is a number above 0, got 0"),
        ({"epochs": float("nan")}, "epochs is a number above 0"),
        ({"learning_rate": -1.0}, "rate is a number above 0"),
        ({"warmup": 1.0}, "warmup is from 0 up, below 1, got 1.0"),
        ({"batch_size": 0}, "batch_size is at least 1, got 0"),
        ({"n_cases": 0}, "n_cases is at least 1, got 0"),
        ({"format_style": "chatty"}, "Invalid enum value 'chatty'"),
        ({"format": "funtiongemma"}, "did you mean functiongemma?"),
        ({"dtype": "bfloat61"}, "did you mean bfloat16?"),
        ({"dtype": "float16"}, "exceeds 65504"),
        ({"eval_prompt": "caht"}, "did you mean chat?"),
        ({"patience": 2}, "there are none\nhint: --eval-suite SUITE"),
        ({"seed": "x"}, "Expected `int`, got `str` - at `$.seed`"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_loaded(fields, message):
    with pytest.raises(UsageError) as raised:
        read_config(None, {**GIVEN, **fields})
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("model = ", "not TOML"), ('modle = "a"\n', "did you mean model?")],
)
def test_a_file_that_is_wrong_is_named(tmp_path, text, message):
    file = tmp_path / "config.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(UsageError) as raised:
        read_config(file, GIVEN)
    assert str(file) in str(raised.value)
    assert message in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"no\.toml: cannot be read"):
        read_config(tmp_path / "no.toml", GIVEN)
