"""A model for llama.cpp and Ollama: one GGUF, checked against the folder that it was made of."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from fcbench.errors import ModelError, UsageError, nearest
from fcbench.formats import module_of
from fcbench.train import _export_check, _export_convert, _export_gguf, _ollama
from fcbench.train._merge_probe import wire_format
from fcbench.train.merge import MergeReport, merge
from fcbench.types import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

GgufType = Literal["f32", "f16", "q8_0"]


class ExportReport(Record, frozen=True):
    """What was written and what it was found to say.

    `format` is the wire format of calls, None where the chat template does not tell; `shown` are
    the tokens made visible to servers; `bos` is what prompts begin with where llama.cpp does not
    add it. `merge` is there where an adapter was merged first, `answers` where both models were
    asked.
    """

    out: str
    model: str
    type: GgufType
    n_bytes: int
    sha256: str
    format: str | None
    has_chat_template: bool
    bos: str
    metadata: _export_gguf.Metadata
    shown: list[str]
    merge: MergeReport | None
    answers: list[_export_check.Answer] | None
    seconds: float


def export_gguf(  # noqa: PLR0913  what a command line says, no more
    model: str,
    out: str,
    type: GgufType = "f32",
    adapter: str | None = None,
    format: str | None = None,
    *,
    check: bool = False,
) -> ExportReport:
    """Write a model as one GGUF; returns what was found in it.

    `model` is a folder or gemma3-270m, `adapter` one to merge first; `format` is for models whose
    chat template does not tell it. The file has to name its architecture, hold the tokenizer's
    chat template, as many tokens as the model, the format's control tokens each as one id, the
    same bos and eos, and no number that float16 made infinite. `check` answers three prompts with
    llama.cpp and with transformers. The file appears whole or not at all.

    UsageError for an unknown type or an `out` that exists, MissingExtra without the converter,
    ModelError for a model that cannot be converted or a file that says anything else.
    """
    started = time.perf_counter()
    if type not in get_args(GgufType):
        raise UsageError(f"no such type: {type}", hint=nearest(type, get_args(GgufType)))
    destination = Path(out).expanduser()
    if destination.exists():
        raise UsageError(f"{destination}: exists already", hint="remove it, or name another file")
    if format is not None:
        module_of(format)
    _export_convert.check_installed()
    if check:
        _export_check.check_installed()
    with _folder_of(model, adapter) as (folder, merged), _partial(destination) as partial:
        _export_convert.convert(folder, partial, type, destination.stem)
        format = format or _format_of(folder)
        wire = module_of(format) if format else None
        want = _export_gguf.wanted(
            folder,
            None if wire is None else wire.WIRE,
            "" if wire is None else wire.END_OF_CALLS,
            "" if wire is None else wire.END_OF_WORDS,
        )
        reader = _export_gguf.open_reader(partial, writable=True)
        metadata = _export_gguf.check(reader, want, destination)
        shown = _export_gguf.show_tokens(reader, want)
        del reader
        answers = None
        if check:
            asked = format or "functiongemma"
            answers = _export_check.answer_both(folder, partial, asked, adds_bos=metadata.adds_bos)
    with destination.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return ExportReport(
        out=str(destination),
        model=model,
        type=type,
        n_bytes=destination.stat().st_size,
        sha256=sha256,
        format=format,
        has_chat_template=want.chat_template is not None,
        bos="" if metadata.adds_bos else want.bos,
        metadata=metadata,
        shown=shown,
        merge=merged,
        answers=answers,
        seconds=round(time.perf_counter() - started, 1),
    )


def write_modelfile(report: ExportReport, path: Path) -> None:
    """Write a Modelfile that makes an Ollama model of an exported GGUF. UsageError as below."""
    check_modelfile(path)
    gguf = Path(report.out).resolve()
    folder = path.resolve().parent
    setting = _ollama.Setting(
        gguf=gguf.relative_to(folder).as_posix() if gguf.is_relative_to(folder) else str(gguf),
        modelfile=path.name,
        bos=report.bos,
        num_ctx=min(report.metadata.context_length or _ollama.NUM_CTX, _ollama.NUM_CTX),
        pre=report.metadata.pre,
    )
    text = _ollama.modelfile(report.format, setting)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def check_modelfile(path: Path) -> None:
    """Raise UsageError where a Modelfile stands that fcbench did not write."""
    if path.exists() and not path.read_text(encoding="utf-8").startswith(_ollama.MARK):
        raise UsageError(
            f"{path}: exists already, and not by fcbench",
            hint="--modelfile PATH for another place, or --no-modelfile",
        )


@contextlib.contextmanager
def _folder_of(model: str, adapter: str | None) -> Iterator[tuple[Path, MergeReport | None]]:
    """Give the folder to convert: the model's own, or one that an adapter was merged into."""
    from fcbench.backends.transformers import locate

    if adapter is not None:
        with tempfile.TemporaryDirectory(prefix="fcbench-merged-") as temporary:
            merged = Path(temporary) / "merged"
            yield merged, merge(model, adapter, str(merged))
        return
    folder = Path(locate(model))
    if not (folder / "config.json").is_file():
        raise ModelError(f"{model}: no such model folder", hint="a folder, or gemma3-270m")
    yield folder, None


@contextlib.contextmanager
def _partial(destination: Path) -> Iterator[Path]:
    """Give a path to write to, which takes its name when all went well and goes away otherwise."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    path = destination.with_name(f".{destination.stem}.{uuid.uuid4().hex[:8]}.gguf")
    try:
        yield path
        path.replace(destination)
    finally:
        path.unlink(missing_ok=True)


def _format_of(folder: Path) -> str | None:
    from transformers import AutoTokenizer

    return wire_format(AutoTokenizer.from_pretrained(folder).chat_template)
