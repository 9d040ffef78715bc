"""What Ollama tells of a model: /api/show, asked to be verbose.

Source: api/types.go, server/routes.go and llm/llama_server.go of github.com/ollama/ollama, and
src/llama-vocab.cpp of llama.cpp, as of November 2026.
"""

from __future__ import annotations

import ast
import hashlib
import logging
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.types import Json

CONTROL = 3
"""The type of a GGUF's token that llama.cpp writes only when it is asked to."""
HIDES_CONTROL_TOKENS = (0, 30)
"""From this release on Ollama answers with llama.cpp's own server, and does not ask it to."""

# llama.cpp's rules for a GGUF that says in vain whether a bos is added, or does not say it.
ALWAYS_ADD = {"gemma4", "lfm2"}
ADD_UNASKED = {"llama", "bert", "llama-bpe", "llama3", "llama-v3", "tekken", "chameleon"}

log = logging.getLogger("fcbench")


class Shown(NamedTuple):
    """A model as far as it is of use here.

    `bos` is the token that Ollama puts before a raw prompt, "" for none, None for one whose text is
    not known; `control_tokens` those that raw answers lack; `takes_tools` is None where an older
    Ollama does not say.
    """

    bos: str | None
    context_length: int | None
    stops: list[str]
    control_tokens: set[str]
    takes_tools: bool | None
    manifest: dict[str, Json]


def read_shown(shown: Mapping[str, Json], version: str, digest: str | None) -> Shown:
    """Return what an answer of /api/show holds; what it lacks is None or empty."""
    info = _object(shown, "model_info")
    architecture = str(info.get("general.architecture", ""))
    context_length = info.get(f"{architecture}.context_length")
    capabilities = shown.get("capabilities")
    template, parameters = str(shown.get("template") or ""), str(shown.get("parameters") or "")
    tokens = info.get("tokenizer.ggml.tokens") or []
    types = info.get("tokenizer.ggml.token_type") or []
    hides = _release(version) >= HIDES_CONTROL_TOKENS
    return Shown(
        bos=_bos(info, tokens),
        context_length=context_length if isinstance(context_length, int) else None,
        stops=_stops(parameters),
        control_tokens={
            token for token, type in zip(tokens, types, strict=False) if type == CONTROL and hides
        },
        takes_tools=None if capabilities is None else "tools" in capabilities,
        manifest={
            "version": version,
            "digest": digest,
            "architecture": architecture,
            "quantization": _object(shown, "details").get("quantization_level"),
            "capabilities": capabilities,
            "renderer": shown.get("renderer"),
            "parser": shown.get("parser"),
            "parameters": parameters,
            "system": shown.get("system"),
            "template_sha256": hashlib.sha256(template.encode()).hexdigest() if template else None,
        },
    )


def digest_of(listed: Json, name: str) -> str | None:
    """Return the hash of a model's manifest, which names its weights, from /api/tags.

    >>> digest_of({"models": [{"name": "gemma3:latest", "digest": "ab"}]}, "gemma3")
    'ab'
    """
    models = listed.get("models") if isinstance(listed, dict) else None
    tagged = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    found = (m.get("digest") for m in models or [] if m.get("name") == tagged)
    return next(found, None)


def _bos(info: Mapping[str, Json], tokens: Sequence[str]) -> str | None:
    kinds = {info.get("tokenizer.ggml.pre"), info.get("tokenizer.ggml.model")}
    adds = info.get("tokenizer.ggml.add_bos_token")
    if not (kinds & ALWAYS_ADD or (bool(kinds & ADD_UNASKED) if adds is None else adds)):
        return ""
    id = info.get("tokenizer.ggml.bos_token_id")
    return tokens[id] if isinstance(id, int) and 0 <= id < len(tokens) else None


def _stops(parameters: str) -> list[str]:
    """Return the Modelfile's stops; each stands on a line, quoted as Go does it."""
    found = []
    for quoted in re.findall(r"^stop\s+(\".*\")$", parameters, flags=re.MULTILINE):
        try:
            found.append(str(ast.literal_eval(quoted)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            log.warning("a stop of the Modelfile cannot be read: %s", quoted)
    return found


def _object(shown: Mapping[str, Json], key: str) -> dict[str, Json]:
    value = shown.get(key)
    return value if isinstance(value, dict) else {}


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
