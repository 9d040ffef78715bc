"""llama.cpp's server somewhere else: what it tells of itself, and how it is asked.

Source: llama.cpp's tools/server/README.md.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import TYPE_CHECKING

from fcbench.backends._template import template_of
from fcbench.backends.gguf._ask import Asking
from fcbench.errors import BackendError

if TYPE_CHECKING:
    from fcbench.backends._http import Endpoint
    from fcbench.types import ChatTemplate, Decoding, Json, Request

CHATML = "<|im_start|>"


class LlamaServer(Asking):
    """Asks like the gguf backend; but nobody knows whether this server shows control tokens.

    By default it shows none: they are then no part of an answer's text, and do not match what
    stops it. So texts are made of the tokens' ids, and the stops are asked to be kept.
    """

    kind = "llama.cpp"

    def __init__(self, endpoint: Endpoint, model: str, props: dict[str, Json]) -> None:
        """BackendError where another model than the named one is served."""
        super().__init__(endpoint, keeps_prefixes=True)
        self._model = model
        self._check_name()
        found = self.properties()
        self.bos = found.bos
        self.n_at_once = int(props.get("total_slots") or 1)
        self.takes_tools = (props.get("chat_template_caps") or {}).get("supports_tools")
        self.template = self._template_of(str(props.get("chat_template") or ""), found.eos)
        source = "" if self.template is None else self.template.source
        self.manifest: dict[str, Json] = {
            "version": str(props.get("build_info") or "unknown"),
            "weights": found.file_type,
            "template_sha256": hashlib.sha256(source.encode()).hexdigest() if source else None,
        }

    def count(self, request: Request) -> int:
        """Return the tokens of a prompt, as they are sent."""
        return len(self.tokens(request))

    def _check_name(self) -> None:
        """Raise BackendError for another name: llama.cpp answers to any with the one it has."""
        said = self.endpoint.get("/v1/models")
        listed = said.get("data") or []
        names = [str(n) for one in listed for n in (one["id"], *(one.get("aliases") or ()))]
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
        said: Json = self.endpoint.post("/tokenize", body)
        return len(said["tokens"])

    def _text(self, said: dict[str, Json], written: list[int]) -> str:
        """Return what was written; `content` may lack tokens, but says where the answer ends."""
        text = str(said["content"])
        if written:
            whole: Json = self.endpoint.post("/detokenize", {"tokens": written})
            text = str(whole["content"])
        stopping = str(said.get("stopping_word") or "")
        text = text.partition(stopping)[0] if stopping else text
        return super()._text({**said, "content": text}, written)

    def _sampling(self, request: Request, decoding: Decoding) -> dict[str, Json]:
        asked = super()._sampling(request, decoding)
        return {**asked, "model": self._model, "preserved_tokens": list(decoding.stops)}
