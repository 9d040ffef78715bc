"""llama.cpp's server somewhere else: what it tells of itself, and how it is asked.

Source: llama.cpp's tools/server/README.md.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from fcbench.backends._template import template_of
from fcbench.backends._told import told
from fcbench.backends.gguf._ask import Asking
from fcbench.backends.gguf._probe import Ids
from fcbench.errors import BackendError

if TYPE_CHECKING:
    from fcbench.backends._http import Endpoint
    from fcbench.backends.gguf._ask import Completion
    from fcbench.types import ChatTemplate, Decoding, Json, Request

CHATML = "<|im_start|>"
MOST_AT_ONCE = 64
"""Requests in flight, each with its thread, however many slots a server says that it has."""


class _Abilities(Struct):
    supports_tools: bool | None = None


class _Props(Struct):
    total_slots: int | None = None
    chat_template: str | None = None
    chat_template_caps: _Abilities | None = None
    build_info: str | None = None


class _Listed(Struct):
    id: str
    aliases: list[str] | None = None


class _Models(Struct):
    data: list[_Listed] | None = None


class LlamaServer(Asking):
    """Asks like the gguf backend; but nobody knows whether this server shows control tokens.

    By default it shows none: they are then no part of an answer's text, and do not match what
    stops it. So texts are made of the tokens' ids, and the stops are asked to be kept.
    """

    kind = "llama.cpp"

    def __init__(self, endpoint: Endpoint, model: str, props: dict[str, Json]) -> None:
        """BackendError where another model than the named one is served, or props are none."""
        super().__init__(endpoint, keeps_prefixes=True)
        said = told(props, _Props, "/props")
        self._model = model
        self._check_name()
        found = self.properties()
        self.bos = found.bos
        self.n_at_once = max(1, min(MOST_AT_ONCE, said.total_slots or 1))
        abilities = said.chat_template_caps or _Abilities()
        self.takes_tools = abilities.supports_tools
        self.template = self._template_of(said.chat_template or "", found.eos)
        source = "" if self.template is None else self.template.source
        self.manifest: dict[str, Json] = {
            "version": said.build_info or "unknown",
            "weights": found.file_type,
            "template_sha256": hashlib.sha256(source.encode()).hexdigest() if source else None,
        }

    def count(self, request: Request) -> int:
        """Return the tokens of a prompt, as they are sent."""
        return len(self.tokens(request))

    def _check_name(self) -> None:
        """Raise BackendError for another name: llama.cpp answers to any with the one it has."""
        said = told(self.endpoint.get("/v1/models"), _Models, "/v1/models")
        names = [name for one in said.data or () for name in (one.id, *(one.aliases or ()))]
        # A file that was given no name is called by its path.
        known = {n for name in names for n in (name, PurePath(name).name, PurePath(name).stem)}
        if known and self._model not in known:
            raise BackendError(
                f"{self.endpoint.url}: no model {self._model}, it serves {', '.join(set(names))}",
                kind="no_such_model",
            )

    def _template_of(self, source: str, eos: str) -> ChatTemplate | None:
        """Return the model's template; None where it has none, and llama.cpp took its own."""
        if not source or (CHATML in source and self._n_tokens(CHATML) > 1):
            return None
        return template_of(source, self.bos, eos, self.endpoint.url)

    def _n_tokens(self, text: str) -> int:
        body = {"content": text, "add_special": False, "parse_special": True}
        return len(told(self.endpoint.post("/tokenize", body), Ids, "/tokenize").tokens)

    def _text(self, said: Completion) -> str:
        """Return what was written; `content` may lack tokens, but says where the answer ends."""
        text = self._written(said.tokens) if said.tokens else said.content
        text = text.partition(said.stopping_word)[0] if said.stopping_word else text
        return super()._text(structs.replace(said, content=text))

    def _sampling(self, request: Request, decoding: Decoding) -> dict[str, Json]:
        asked = super()._sampling(request, decoding)
        return {**asked, "model": self._model, "preserved_tokens": list(decoding.stops)}
