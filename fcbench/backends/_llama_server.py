"""llama.cpp's server somewhere else: what it tells of itself, and how it is asked.

Source: llama.cpp's tools/server/README.md.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import PurePath
from typing import TYPE_CHECKING

from msgspec import structs

from fcbench.backends._completions import chat_body, read_chat, sample_of
from fcbench.backends._faults import PARSER_REFUSES
from fcbench.backends.gguf._ask import Asking
from fcbench.errors import BackendError, UsageError
from fcbench.formats._jinja import GivenTemplate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.backends._http import Endpoint
    from fcbench.types import ChatTemplate, Decoding, Json, Request, Sample

CHATML = "<|im_start|>"
log = logging.getLogger("fcbench")


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
        self._known: dict[str, bool] = {}
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

    def _check_name(self) -> None:
        """Raise BackendError for another name: llama.cpp answers to any with the one it has."""
        listed = self.endpoint.get("/v1/models").get("data") or []
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
        if not source or (CHATML in source and not self._is_one_token(CHATML)):
            return None
        try:
            return GivenTemplate(source, self.bos, eos)
        except UsageError as error:
            log.warning("%s: %s; fcbench's own is taken", self.endpoint.url, error.message)
            return None

    def _is_one_token(self, text: str) -> bool:
        """Whether a text is a token of its own, which plain text is not made into."""
        if text not in self._known:
            n_tokens = [
                len(
                    self.endpoint.post(
                        "/tokenize",
                        {"content": text, "add_special": False, "parse_special": parse},
                    )["tokens"]
                )
                for parse in (True, False)
            ]
            self._known[text] = n_tokens[0] == 1 < n_tokens[1]
        return self._known[text]

    def _ask_native(self, request: Request, decoding: Decoding) -> Sample:
        body = {
            **chat_body(request, self._model),
            "max_tokens": decoding.max_new_tokens,
            # Where the parser took calls out of the text, the tokens still hold all of it. Of
            # none of the likeliest (0) llama.cpp tells nothing.
            "logprobs": True,
            "top_logprobs": 1,
            **self._sampling(request, decoding),
        }
        try:
            answer = self.endpoint.post("/v1/chat/completions", body, read=read_chat)
        except BackendError as error:
            if PARSER_REFUSES not in error.message:
                raise
            # Whoever deploys the model so gets this error and no call. What it wrote is asked for
            # again, as text: the same tokens, which the same template was followed by.
            sample = self._ask_text(request, decoding)
            return structs.replace(sample, native_calls=[])
        text = answer.text
        if answer.ids:
            text = self._written(answer.ids)
            last = self._piece(answer.ids[-1])
            is_end = answer.stop == "token" and self._is_one_token(last)
            # A stop token of the format is evidence and stays, as in other backends.
            if is_end and last not in decoding.stops:
                text = text.removesuffix(last)
        return sample_of(request, structs.replace(answer, text=text))

    def _text(self, said: dict[str, Json], written: list[int]) -> str:
        text = self._written(written) if written else str(said["content"])
        stopping = str(said.get("stopping_word") or "")
        text = text.partition(stopping)[0] if stopping else text
        return super()._text({**said, "content": text}, written)

    def _written(self, ids: Sequence[int]) -> str:
        return str(self.endpoint.post("/detokenize", {"tokens": list(ids)})["content"])

    def _sampling(self, request: Request, decoding: Decoding) -> dict[str, Json]:
        asked = super()._sampling(request, decoding)
        return {**asked, "model": self._model, "preserved_tokens": list(decoding.stops)}
