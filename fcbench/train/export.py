"""A model for llama.cpp and Ollama: one GGUF, checked against the folder that it was made of."""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, cast, get_args

from fcbench.errors import FcbenchError, ModelError, UsageError, nearest
from fcbench.formats import guess_format, module_of
from fcbench.paths import sha256_of
from fcbench.train import _export_check, _export_convert, _export_gguf, _ollama
from fcbench.train.merge import MergeReport, merge
from fcbench.types import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

GgufType = Literal["f32", "f16", "q8_0"]


class ExportReport(Record, frozen=True):
    """What was written and what it was found to say.

    `format` is the wire format of calls, None where the chat template does not tell;
    `has_our_prompts` whether that writes the prompts of the project's own template; `shown` are the
    tokens made visible to servers; `bos` is what prompts begin with where llama.cpp does not
    add it. `merge` is there where an adapter was merged first, `answers` where both models were
    asked, and `check_error` where they could not be.
    """

    out: str
    model: str
    type: GgufType
    n_bytes: int
    sha256: str
    format: str | None
    has_chat_template: bool
    has_our_prompts: bool
    bos: str
    metadata: _export_gguf.Metadata
    shown: list[str]
    merge: MergeReport | None
    answers: list[_export_check.Answer] | None
    check_error: str | None
    seconds: float


def export_gguf(  # noqa: PLR0913  what a command line says, no more
    model: str,
    out: str,
    type: str = "f32",
    adapter: str | None = None,
    format: str | None = None,
    *,
    check: bool = False,
) -> ExportReport:
    """Write a model as one GGUF; returns what was found in it.

    `model` is a folder or gemma3-270m, `type` f32, f16 or q8_0 in any case, `adapter` one to merge
    first; `format` is for models whose chat template does not tell it. The file has to name its
    architecture, hold the tokenizer's chat template, as many tokens as the model, the format's
    control tokens each as one id, the same bos and eos, and no number that float16 made infinite.
    It appears whole or not at all. `check` then answers three prompts with llama.cpp and with
    transformers; where that fails, the report says why and the file stays.

    UsageError for an unknown type or an `out` that exists, MissingExtra without the converter,
    ModelError for a model that cannot be converted or a file that says anything else.
    """
    started = time.perf_counter()
    chosen = _type_of(type)
    destination = Path(out).expanduser()
    if destination.exists():
        raise UsageError(f"{destination}: exists already", hint="remove it, or name another file")
    if format is not None:
        module_of(format)
    _export_convert.check_installed()
    if check:
        _export_check.check_installed()
    answers, check_error = None, None
    with _folder_of(model, adapter) as (folder, merged):
        found = _write(folder, destination, chosen, format)
        if check:
            asked, adds_bos = found.format or "functiongemma", found.metadata.adds_bos
            try:
                answers = _export_check.answer_both(folder, destination, asked, adds_bos=adds_bos)
            except FcbenchError as error:  # the file is whole and took minutes
                check_error = str(error)
    sha256 = sha256_of(destination)
    return ExportReport(
        out=str(destination),
        model=model,
        type=chosen,
        n_bytes=destination.stat().st_size,
        sha256=sha256,
        format=found.format,
        has_chat_template=found.want.chat_template is not None,
        has_our_prompts=found.has_our_prompts,
        bos="" if found.metadata.adds_bos else found.want.bos,
        metadata=found.metadata,
        shown=found.shown,
        merge=merged,
        answers=answers,
        check_error=check_error,
        seconds=round(time.perf_counter() - started, 1),
    )


def _type_of(name: str) -> GgufType:
    """Return a type by its name in any case: llama.cpp writes Q8_0, its converter q8_0."""
    for known in get_args(GgufType):
        if name.lower() == known:
            return cast("GgufType", known)
    raise UsageError(f"no such type: {name}", hint=nearest(name.lower(), get_args(GgufType)))


class _Found(NamedTuple):
    """What a GGUF was found to say when it was written."""

    format: str | None
    has_our_prompts: bool
    want: _export_gguf.Wanted
    metadata: _export_gguf.Metadata
    shown: list[str]


def _write(folder: Path, destination: Path, type: GgufType, format: str | None) -> _Found:
    """Write a GGUF, and look into it; ModelError, and no file, for one that says anything else."""
    from transformers import AutoTokenizer

    with _partial(destination) as partial:
        _export_convert.convert(folder, partial, type, destination.stem)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        format = format or guess_format(tokenizer.chat_template or "")
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
        has_our_prompts = format is not None and _ollama.writes_our_prompts(tokenizer, format)
    return _Found(format, has_our_prompts, want, metadata, shown)


def write_modelfile(report: ExportReport, path: Path) -> None:
    """Write a Modelfile that makes an Ollama model of an exported GGUF. UsageError as below."""
    gguf = Path(report.out)
    check_modelfile(path, gguf)
    setting = _ollama.Setting(
        source=_source(gguf, path),
        modelfile=path.name,
        bos=report.bos,
        num_ctx=min(report.metadata.context_length or _ollama.NUM_CTX, _ollama.NUM_CTX),
        pre=report.metadata.pre,
        is_own=report.has_our_prompts,
    )
    text = _ollama.modelfile(report.format, setting)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def modelfile_of(gguf: Path) -> Path:
    """Return where a GGUF's Modelfile stands by default: NAME.Modelfile beside NAME.gguf."""
    return gguf.with_name(f"{gguf.name.removesuffix('.gguf')}.Modelfile")


def check_modelfile(path: Path, gguf: Path) -> None:
    """Raise UsageError where a Modelfile stands that fcbench did not write, or of another GGUF."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    hint = "--modelfile PATH for another place, or --no-modelfile"
    if not text.startswith(_ollama.MARK):
        raise UsageError(f"{path}: exists already, and not by fcbench", hint=hint)
    if f"FROM {_source(gguf, path)}" not in text.splitlines():
        raise UsageError(f"{path}: exists already, and is of another GGUF", hint=hint)


def _source(gguf: Path, modelfile: Path) -> str:
    """Return what a Modelfile's FROM says: the GGUF's path from its folder, or the whole path."""
    whole, folder = gguf.expanduser().resolve(), modelfile.resolve().parent
    if whole.is_relative_to(folder):
        return f"./{whole.relative_to(folder).as_posix()}"
    return str(whole)


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
