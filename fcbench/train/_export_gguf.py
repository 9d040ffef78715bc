"""What stands in a GGUF, beside the model folder that it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fcbench.errors import ModelError
from fcbench.types import Record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fcbench.formats._wire import Wire

FLOAT16_LARGEST = 65504.0
_Q8_0_BLOCK = 34  # bytes: a float16 scale, 32 weights


class Wanted(Record, frozen=True):
    """What the model folder says: a file made of it has to say the same.

    `control_tokens` are those of the wire format that are one id in the tokenizer; `shown` those
    that a server has to write out, see show_tokens.
    """

    chat_template: str | None
    n_vocab: int
    bos: str
    bos_id: int | None
    eos_id: int | None
    control_tokens: dict[str, int]
    shown: list[str]


class Metadata(Record, frozen=True):
    """What the file says. `pre` names how llama.cpp cuts text into words before it makes tokens."""

    architecture: str
    tokenizer: str
    pre: str
    n_vocab: int
    context_length: int
    adds_bos: bool
    n_tensors: dict[str, int]
    largest_float16: float | None
    """The largest absolute number stored in float16, of 65504 possible; None where none is."""


def wanted(folder: Path, wire: Wire | None, end_of_calls: str, end_of_words: str) -> Wanted:
    """Return what a model folder says; `wire` is None for a format that is not known."""
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    found: dict[str, int] = {}
    for token in wire.controls if wire is not None else ():
        index = tokenizer.convert_tokens_to_ids(token)
        if isinstance(index, int) and index != tokenizer.unk_token_id:
            found[token] = index
    written = () if wire is None else (wire.start, wire.end, wire.quote, end_of_calls)
    puts_bos = tokenizer.bos_token_id in tokenizer.encode("")
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    return Wanted(
        chat_template=tokenizer.chat_template,
        n_vocab=config.get_text_config().vocab_size,
        bos=tokenizer.bos_token if puts_bos else "",
        bos_id=tokenizer.bos_token_id,
        eos_id=tokenizer.eos_token_id,
        control_tokens=found,
        shown=[token for token in written if token in found and token != end_of_words],
    )


def open_reader(path: Path, *, writable: bool = False) -> Any:
    """Return a reader of a GGUF; ModelError for a file that is none. Takes 10 s for Gemma 3."""
    from gguf import GGUFReader

    try:
        return GGUFReader(path, "r+" if writable else "r")
    except (ValueError, IndexError) as error:
        raise ModelError(f"{path}: not a GGUF: {error}") from error


def show_tokens(reader: Any, want: Wanted) -> list[str]:
    """Make the tokens that calls are written with visible in the file; returns which they are.

    The converter calls them CONTROL. llama.cpp makes one id of each all the same, but its server
    and Ollama write a CONTROL token out as nothing: calls arrive without their tokens, strings
    without where they begin and end, and a stop token that is not the end of a text by itself is
    never seen, so that the model goes on until the limit. USER_DEFINED tokens are one id too, and
    are written out.
    """
    from gguf import TokenType

    field = reader.fields["tokenizer.ggml.token_type"]
    changed = []
    for token in want.shown:
        part = field.parts[field.data[want.control_tokens[token]]]
        if part[0] == TokenType.CONTROL:
            part[0] = TokenType.USER_DEFINED
            changed.append(token)
    reader.data.flush()
    return changed


def check(reader: Any, want: Wanted, path: Path) -> Metadata:
    """Return what the file says; ModelError for whatever differs from the model folder."""
    problems = [*_template_problems(reader, want), *_token_problems(reader, want)]
    architecture = _value(reader, "general.architecture", "")
    if not architecture:
        problems.append("it names no architecture")
    largest, infinite = _float16(reader.tensors)
    problems += [
        f"{name} has weights beyond {FLOAT16_LARGEST:.0f}, which float16 makes infinite: "
        "take another type"
        for name in infinite
    ]
    if problems:
        raise ModelError(
            f"{path.name} would not be the model that it was made of: {'; '.join(problems)}"
        )
    kinds = [tensor.tensor_type.name for tensor in reader.tensors]
    return Metadata(
        architecture=architecture,
        tokenizer=_value(reader, "tokenizer.ggml.model", ""),
        pre=_value(reader, "tokenizer.ggml.pre", "default"),
        n_vocab=want.n_vocab,
        context_length=_value(reader, f"{architecture}.context_length", 0),
        adds_bos=_adds_bos(reader),
        n_tensors={kind: kinds.count(kind) for kind in sorted(set(kinds))},
        largest_float16=largest,
    )


def _value(reader: Any, key: str, absent: Any) -> Any:
    field = reader.fields.get(key)
    return absent if field is None else field.contents()


def _adds_bos(reader: Any) -> bool:
    # llama.cpp's own defaults: a SentencePiece vocabulary has it added, a BPE one has not.
    is_spm = _value(reader, "tokenizer.ggml.model", "") == "llama"
    return bool(_value(reader, "tokenizer.ggml.add_bos_token", is_spm))


def _template_problems(reader: Any, want: Wanted) -> list[str]:
    template = _value(reader, "tokenizer.chat_template", None)
    if template == want.chat_template:
        return []
    return [
        "it holds no chat template"
        if template is None
        else "its chat template is not the tokenizer's"
    ]


def _token_problems(reader: Any, want: Wanted) -> list[str]:
    from gguf import TokenType

    tokens = reader.fields.get("tokenizer.ggml.tokens")
    kinds = reader.fields.get("tokenizer.ggml.token_type")
    if tokens is None or kinds is None:
        return ["it holds no vocabulary"]
    problems = []
    if len(tokens.data) != want.n_vocab:
        problems.append(f"it has {len(tokens.data)} tokens, the model {want.n_vocab}")
    for token, index in want.control_tokens.items():
        if index >= len(tokens.data) or tokens.contents(index) != token:
            problems.append(f"id {index} is not {token}")
        elif kinds.contents(index) not in (TokenType.CONTROL, TokenType.USER_DEFINED):
            problems.append(f"{token} is not a token of its own to llama.cpp")
    for name, own in (("bos", want.bos_id), ("eos", want.eos_id)):
        found = _value(reader, f"tokenizer.ggml.{name}_token_id", own)
        if found != own:
            problems.append(f"its {name} token is {found}, the tokenizer's {own}")
    if _adds_bos(reader) != bool(want.bos):
        adds = "adds" if _adds_bos(reader) else "does not add"
        problems.append(f"llama.cpp {adds} a bos token to a text, unlike the tokenizer")
    return problems


def _float16(tensors: Sequence[Any]) -> tuple[float | None, list[str]]:
    """Return the largest number stored in float16, and the tensors that have infinite ones."""
    import numpy as np

    largest, infinite = None, []
    for tensor in tensors:
        kind = tensor.tensor_type.name
        if kind == "F16":
            stored = tensor.data
        elif kind == "Q8_0":
            stored = tensor.data.reshape(-1, _Q8_0_BLOCK)[:, :2].copy().view(np.float16)
        else:
            continue
        size = float(np.abs(stored).max())
        if np.isfinite(size):
            largest = max(size, largest or 0.0)
        else:
            infinite.append(tensor.name)
    return largest, infinite
