"""What a training run is to do: one record, from which the command line and the TOML file come."""

from __future__ import annotations

import json
import math
import tomllib
import typing
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from fcbench import registry
from fcbench.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FormatStyle = Literal["chat", "raw", "bare"]
Method = Literal["lora", "qlora", "full"]
Schedule = Literal["cosine", "linear", "constant"]
DTYPES = ("auto", "float32", "bfloat16")
LEARNING_RATES = {"lora": 5e-4, "qlora": 5e-4, "full": 5e-5}
BELOW = {"warmup": 1.0, "lora_dropout": 1.0, "weight_decay": math.inf, "clip_norm": math.inf}
MOST_SEEDS = 1 << 32
"""numpy takes no larger one."""
LEAST = {
    "n_cases": 1,
    "max_steps": 1,
    "batch_size": 1,
    "accumulate": 1,
    "lora_r": 1,
    "lora_alpha": 1,
    "max_length": 2,
    "eval_cases": 1,
    "eval_every": 1,
    "patience": 1,
    "save_every": 1,
    "keep_checkpoints": 1,
}


def _said(text: str) -> Any:
    return msgspec.Meta(description=text)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a training run is to do. Each field's meaning stands beside it, and in --help."""

    model: Annotated[str, _said("gemma3-270m, a folder, or a hub name")]
    data: Annotated[
        list[str],
        _said("JSON lines to train on, or suites whose training file is meant; several are joined"),
    ]
    adapter: Annotated[
        str | None,
        _said(
            "LoRA adapter whose weights training goes on from, with its rank, layers and tokens; "
            "by default a new one is begun"
        ),
    ] = None
    out: Annotated[str, _said("folder for the adapter or model, checkpoints, curves and card")]
    format_style: Annotated[
        FormatStyle,
        _said(
            "how the model is asked and what it is to write: chat (its chat template), raw (what "
            "people write by hand, which the strict grammar refuses), bare (no tools)"
        ),
    ] = "chat"
    format: Annotated[
        str, _said("wire format of the calls; auto takes what the chat template writes")
    ] = "functiongemma"
    method: Annotated[
        Method, _said("lora, qlora (4-bit weights under LoRA; needs bitsandbytes), or full")
    ] = "lora"
    dtype: Annotated[
        str, _said("float32, bfloat16, or auto: bfloat16 where the processor computes it fast")
    ] = "auto"
    n_cases: Annotated[int | None, _said("only so many of the cases, drawn with the seed")] = None
    epochs: Annotated[float, _said("times that every case is learned from")] = 3.0
    max_steps: Annotated[int | None, _said("stop after so many steps, whatever epochs says")] = None
    batch_size: Annotated[
        int | None,
        _said(
            "examples in one pass; by default one, except on a CPU where most of them begin alike, "
            "as with the same tools: then as many of a step as have 8,192 tokens, and their "
            "beginning is computed once. 1 needs the least memory"
        ),
    ] = None
    accumulate: Annotated[
        int, _said("passes before each step; without a batch_size the examples of a step")
    ] = 8
    learning_rate: Annotated[
        float | None,
        _said("of AdamW, at its highest; by default 5e-4 for lora and qlora, 5e-5 for full"),
    ] = None
    schedule: Annotated[
        Schedule, _said("how the learning rate falls: cosine, linear, or constant")
    ] = "cosine"
    warmup: Annotated[float, _said("share of all steps in which the learning rate rises")] = 0.05
    weight_decay: Annotated[float, _said("AdamW's, of matrices")] = 0.0
    clip_norm: Annotated[float, _said("the gradient's largest norm; 0 for any")] = 1.0
    lora_r: Annotated[int, _said("rank of LoRA's matrices")] = 16
    lora_alpha: Annotated[int, _said("LoRA's scale is alpha / r")] = 32
    lora_dropout: Annotated[float, _said("share of LoRA's inputs that a pass leaves out")] = 0.0
    lora_targets: Annotated[
        str, _said("layers under LoRA: all-linear, or their names, as in q_proj,v_proj")
    ] = "all-linear"
    train_tokens: Annotated[
        str,
        _said(
            "control tokens whose embeddings are trained as well: auto (those of the format whose "
            "rows look as if no text had ever held them), none, or TOKEN,TOKEN…"
        ),
    ] = "auto"
    gradient_checkpointing: Annotated[
        bool, _said("less memory for more time: activations are computed again")
    ] = False
    max_length: Annotated[
        int | None,
        _said("leave out examples of more tokens; without it one beyond the context is refused"),
    ] = None
    seed: Annotated[int, _said("for the draw of cases, their order, and new weights")] = 0
    eval_suite: Annotated[
        str | None, _said("suite whose calls are measured during training; without it only loss is")
    ] = None
    eval_cases: Annotated[int, _said("so many of its cases, drawn with the seed")] = 40
    eval_every: Annotated[int, _said("steps between measurements")] = 50
    eval_prompt: Annotated[
        str | None, _said("prompt of the measurements; by default format_style's")
    ] = None
    patience: Annotated[
        int | None,
        _said(
            "measurements without a better argument_exact_match after which training stops; "
            "by default it never does"
        ),
    ] = None
    save_every: Annotated[int, _said("steps between checkpoints, which --resume goes on from")] = 50
    keep_checkpoints: Annotated[int, _said("how many of the last checkpoints are kept")] = 1
    skip_unwritable: Annotated[
        bool,
        _said(
            "leave out cases for which there is nothing to write: no call and no reply, or calls "
            "that the format cannot express"
        ),
    ] = False
    allow_invalid_targets: Annotated[
        bool, _said("train on targets that the strict grammar refuses; without it nothing starts")
    ] = False

    @property
    def rate(self) -> float:
        """The learning rate at its highest, the method's own where none is given."""
        if self.learning_rate is not None:
            return self.learning_rate
        return LEARNING_RATES[self.method]


class Option(msgspec.Struct, frozen=True):
    """One field of Config: its name, plain type, default (NODEFAULT for none), and meaning."""

    name: str
    kind: Any
    default: Any
    meaning: str


def options() -> Iterator[Option]:
    """Yield every field of Config in order."""
    hints = typing.get_type_hints(Config, include_extras=True)
    for field in msgspec.structs.fields(Config):
        kind, said = typing.get_args(hints[field.name])
        default = field.default
        yield Option(field.name, kind, default, said.description)


def read_config(file: Path | None, given: Mapping[str, Any]) -> Config:
    """Return the checked configuration of a TOML file and of what is given beside it.

    What is given goes before what the file says. UsageError for a file that cannot be read, an
    unknown field, a value that cannot be, or something missing.
    """
    fields = {**({} if file is None else _toml(file)), **given}
    known = [field.name for field in msgspec.structs.fields(Config)]
    where = "" if file is None else f"{file}: "
    for name in fields:
        if name not in known:
            raise UsageError(f"{where}no such field: {name}", hint=nearest(name, known))
    for option in options():
        if option.default is msgspec.NODEFAULT and not fields.get(option.name):
            flag = f"--{option.name.replace('_', '-')}"
            raise UsageError(f"{where}{flag} is missing: {option.meaning}")
    if isinstance(fields["data"], str):
        fields["data"] = [fields["data"]]
    try:
        config = msgspec.convert(fields, Config)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}{error}") from error
    check_config(config)
    return config


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: not TOML: {error}") from error


def check_config(config: Config) -> None:
    """Raise UsageError for a value that cannot be."""
    for name, least in LEAST.items():
        value = getattr(config, name)
        if value is not None and value < least:
            raise UsageError(f"{name} is at least {least}, got {value}")
    _check_ranges(config)
    _check_dtype(config.dtype)
    if config.format != "auto":
        registry.load("formats", config.format)
    if config.eval_prompt is not None:
        registry.load("prompts", config.eval_prompt.partition("+")[0])
    if config.patience is not None and config.eval_suite is None:
        raise UsageError("patience counts measurements, and there are none", "--eval-suite SUITE")


def _check_ranges(config: Config) -> None:
    for name in ("epochs", "rate"):
        value = getattr(config, name)
        if not 0 < value < math.inf:
            raise UsageError(f"{name} is a number above 0, got {value}")
    for name, most in BELOW.items():
        if not 0 <= getattr(config, name) < most:
            raise UsageError(f"{name} is from 0 up, below {most:g}, got {getattr(config, name)}")
    if not 0 <= config.seed < MOST_SEEDS:
        raise UsageError(f"seed is from 0 up, below {MOST_SEEDS}, got {config.seed}")


def _check_dtype(dtype: str) -> None:
    if dtype == "float16":
        raise UsageError(
            "float16 is no dtype to train in: gradients below 6e-8 become 0, and what Gemma 3's "
            "layers hand on exceeds 65504, the largest number there, and becomes infinity, then "
            "NaN",
            hint="--dtype bfloat16, which has the range of float32, or float32",
        )
    if dtype not in DTYPES:
        raise UsageError(f"no such dtype: {dtype}", hint=nearest(dtype, DTYPES))


def as_toml(config: Config | None = None) -> str:
    """Return a TOML file with every field and its meaning; without a config, with the defaults.

    TOML has no null: a field that is None stands as a comment.
    """
    lines = []
    for option in options():
        value = option.default if config is None else getattr(config, option.name)
        lines.append(f"# {option.meaning}")
        if value is msgspec.NODEFAULT or value is None:
            lines.append(f"# {option.name} =")
        else:
            # JSON's strings, numbers, booleans and lists of strings are TOML's as well.
            lines.append(f"{option.name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
