"""One request to llama.cpp's server, and the sample that its answer is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, structs

from fcbench.backends._clock import Clock
from fcbench.backends._completions import Answer, chat_body, read_chat, sample_of
from fcbench.backends._faults import PARSER_REFUSES
from fcbench.backends._served import seed_of
from fcbench.backends._told import told
from fcbench.backends._windows import WINDOW
from fcbench.backends.gguf._probe import Ids, check_tail
from fcbench.errors import BackendError
from fcbench.types import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fcbench.backends._http import Endpoint
    from fcbench.types import Decoding, Json, Request, Stop

STOPS: dict[str, Stop] = {"eos": "token", "word": "token", "limit": "limit"}


class Properties(NamedTuple):
    """The token that the tokenizer puts before every text ("" for none), and the one that ends it.

    `file_type` is what llama.cpp calls the weights, such as Q8_0.
    """

    bos: str
    eos: str
    file_type: str


class _Props(Struct):
    bos_token: str | None = None
    eos_token: str | None = None
    model_ftype: str | None = None


class _Token(Struct):
    piece: str | list[int]  # the bytes of what is no UTF-8


class _Tokens(Struct):
    tokens: list[_Token]


class _Text(Struct):
    content: str


class _Rendered(Struct):
    prompt: str


class Completion(Struct):
    """What /completion tells. `stopping_word` is taken away from the end of `content`."""

    content: str
    tokens: list[int] | None = None
    tokens_predicted: int | None = None
    stop_type: str | None = None
    stopping_word: str | None = None


class Asking:
    """How one server is asked. Threads may share it; `endpoint` is replaced with the server."""

    def __init__(self, endpoint: Endpoint, *, keeps_prefixes: bool) -> None:
        self.endpoint = endpoint
        self._keeps_prefixes = keeps_prefixes
        self._model = ""  # the one that is loaded
        self._tokens: dict[str, list[int]] = {}
        self._pieces: dict[int, str] = {}
        self._clock = Clock()

    def properties(self) -> Properties:
        """Return what llama.cpp makes of the file."""
        said = told(self.endpoint.get("/props"), _Props, "/props")
        body = {"content": "x", "add_special": True, "with_pieces": True}
        read = told(self.endpoint.post("/tokenize", body), _Tokens, "/tokenize")
        bos = said.bos_token or ""
        # Some vocabularies have one, and put it before nothing.
        is_put = bool(read.tokens) and read.tokens[0].piece == bos
        return Properties(
            bos if is_put else "", said.eos_token or "", said.model_ftype or "unknown"
        )

    def tokens(self, request: Request) -> list[int]:
        """Return the ids of a prompt's tokens. BackendError where a template refuses messages."""
        known = self._tokens.get(request.prompt_sha256)
        if known is None:
            text = request.prompt
            if request.native:
                body = json.loads(request.prompt)
                rendered: Json = self.endpoint.post("/apply-template", body)
                text = told(rendered, _Rendered, "/apply-template").prompt
            # A prompt of ours says itself where it begins; of what its own template writes
            # llama.cpp takes the bos away, and puts it there again when it reads it.
            body = {"content": text, "add_special": request.native, "parse_special": True}
            said = told(self.endpoint.post("/tokenize", body), Ids, "/tokenize")
            if len(self._tokens) >= WINDOW:  # of a part that is answered, or nearly
                self._tokens.clear()
            known = self._tokens[request.prompt_sha256] = said.tokens
        return known

    def ask(self, request: Request, decoding: Decoding) -> Sample:
        """Return the answer to a request. BackendError where there is none."""
        with self._clock.share() as spent:
            if request.native:
                return self._ask_native(request, decoding, spent)
            sample = self._ask_text(request, decoding)
            return structs.replace(sample, seconds=round(spent(), 4))

    def body(self, request: Request, decoding: Decoding) -> dict[str, Json]:
        """Return what /completion is asked."""
        return {
            "prompt": self.tokens(request),
            "n_predict": decoding.max_new_tokens,
            "return_tokens": True,
            **self._sampling(request, decoding),
        }

    def _ask_text(self, request: Request, decoding: Decoding) -> Sample:
        body = self.body(request, decoding)
        answer: Json = self.endpoint.post("/completion", body)
        if not isinstance(answer, dict) or not isinstance(answer.get("content"), str):
            raise BackendError("the answer holds no content", kind="empty_choice")
        said = told(answer, Completion, "/completion")
        stop = STOPS.get(said.stop_type or "")
        if stop == "limit":
            check_tail(self.endpoint, body["prompt"], said.tokens or ())
        return Sample(
            case_id=request.case.id,
            repeat=request.repeat,
            text=self._text(said),
            prompt_sha256=request.prompt_sha256,
            prompt_tokens=len(body["prompt"]),
            output_tokens=said.tokens_predicted,
            stop=stop,
        )

    def _text(self, said: Completion) -> str:
        """Return what was written, with a stop token of the format and without one of the model."""
        if said.stopping_word:  # llama.cpp took it away: it is evidence
            return said.content + said.stopping_word
        if said.stop_type == "eos" and said.tokens:
            return said.content.removesuffix(self._piece(said.tokens[-1]))
        return said.content

    def _piece(self, token: int) -> str:
        if token not in self._pieces:
            self._pieces[token] = self._written([token])
        return self._pieces[token]

    def _written(self, tokens: Sequence[int]) -> str:
        said: Json = self.endpoint.post("/detokenize", {"tokens": list(tokens)})
        return told(said, _Text, "/detokenize").content

    def _ask_native(
        self, request: Request, decoding: Decoding, spent: Callable[[], float]
    ) -> Sample:
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
            # Whoever deploys the model so gets this error and no call.
            answer, is_told = Answer("", calls=[]), False
        else:  # of calls where a text of `stop` ended them, llama.cpp tells no tokens
            is_told = bool(answer.ids) or not answer.calls
        seconds = round(spent(), 4)
        if is_told:
            text = self._native_text(answer, decoding)
            sample = sample_of(request, structs.replace(answer, text=text))
        else:
            # What was written is asked for again, as text, and is the same: the same template was
            # rendered, the prompt is still in its slot. Who deploys the model does not ask twice,
            # so that the seconds are those of the first answer.
            sample = self._ask_text(request, decoding)
        return structs.replace(sample, native_calls=answer.calls, seconds=seconds)

    def _native_text(self, answer: Answer, decoding: Decoding) -> str:
        """Return what was written, with a stop token of the format and without one of the model."""
        if not answer.ids:
            return answer.text
        text = self._written(answer.ids)
        # Where a text ended it that is no end to the model, llama.cpp tells no tokens at all.
        end = self._piece(answer.ids[-1]) if answer.stop == "token" else ""
        return text if end in decoding.stops else text.removesuffix(end)

    def _sampling(self, request: Request, decoding: Decoding) -> dict[str, Json]:
        """Return how tokens are chosen: the likeliest, or one of softmax(logits / temperature)."""
        sampled = decoding.temperature > 0
        return {
            "temperature": decoding.temperature,
            # All others would leave some of the tokens out, or judge them by what came before.
            "samplers": ["temperature"] if sampled else ["top_k"],
            "top_k": 0 if sampled else 1,
            "top_p": 1.0,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
            "seed": seed_of(request, decoding),
            "stop": list(decoding.stops),
            "cache_prompt": self._keeps_prefixes,
        }
