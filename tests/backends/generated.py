"""What transformers' own generate writes to one prompt at a time, and where an answer differs.

Also the one place that knows how the backend is asked, which tests and benchmarks share.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from fcbench.backends import ModelOptions, open_model
from fcbench.backends.transformers._load import DTYPES
from fcbench.types import Case, Request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fcbench.types import Decoding, Sample

# Two logits this close may change places by the order in which a sum is taken.
TIE = 1e-4

# The bytes that shared beginnings of prompts may take: as memory allows, and none.
PREFIX_MEMORY: tuple[int | None, ...] = (None, 0)


def answers(
    model: str | Path,
    requests: Sequence[Request],
    decoding: Decoding,
    **options: Any,
) -> dict[tuple[str, int], Sample]:
    """Return the backend's sample for each case's id and repeat; `options` as ModelOptions has them."""
    samples = list(open_model(str(model), ModelOptions(**options)).answer(requests, decoding))
    found = {(sample.case_id, sample.repeat): sample for sample in samples}
    assert len(found) == len(samples) == len(requests)
    return found


def as_requests(prompts: Sequence[str], repeats: int = 1) -> list[Request]:
    """Return a request for each prompt and repeat; a case's id is its prompt's place."""
    return [
        Request(
            Case(str(place), [], [], []), prompt, hashlib.sha256(prompt.encode()).hexdigest(), i
        )
        for place, prompt in enumerate(prompts)
        for i in range(repeats)
    ]


class Difference(NamedTuple):
    """Where an answer leaves that of generate: at which new token, and between which two."""

    case_id: str
    position: int
    best: str
    second: str
    logits: tuple[float, float]
    is_tie: bool

    def __str__(self) -> str:
        best, second = self.logits
        return (
            f"case {self.case_id}, new token {self.position + 1}: "
            f"{self.best!r} {best:.6f}, {self.second!r} {second:.6f}"
        )


class Generated:
    """The answers of transformers' own generate, one prompt at a time, the likeliest token each."""

    def __init__(
        self, folder: str | Path, adapter: str | Path | None = None, dtype: str = "float32"
    ) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype])
        configured = model.generation_config.eos_token_id
        self._eos = {
            self.tokenizer.eos_token_id,
            *(configured if isinstance(configured, list) else [configured]),
        }
        # What a model's generation config holds beside these is no part of greedy decoding.
        model.generation_config = GenerationConfig()
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(adapter))
        self._model = model.eval()
        self._written: dict[tuple[str, Decoding], list[int]] = {}

    @torch.inference_mode()
    def tokens(self, prompt: str, decoding: Decoding) -> list[int]:
        """Return the new tokens, a stop token included."""
        if (prompt, decoding) not in self._written:
            ids = self._ids(prompt)
            pad = self.tokenizer.pad_token_id
            config = GenerationConfig(
                do_sample=False,
                max_new_tokens=decoding.max_new_tokens,
                eos_token_id=sorted(self._stops(decoding)),
                pad_token_id=self.tokenizer.eos_token_id if pad is None else pad,
            )
            out = self._model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
            )
            self._written[prompt, decoding] = out[0, ids.shape[1] :].tolist()
        return self._written[prompt, decoding]

    def text(self, prompt: str, decoding: Decoding) -> str:
        """Return what a sample shows of the new tokens: all but a stop token of the model's own."""
        tokens = self.tokens(prompt, decoding)
        foreign = self._stops(decoding) - {*self._ids_of(decoding.stops)}
        return self._decode(tokens[:-1] if tokens[-1] in foreign else tokens)

    def difference(self, request: Request, decoding: Decoding, sample: Sample) -> Difference | None:
        """Return where a sample first differs from what generate writes, or None."""
        assert sample.error is None, sample
        expected = self.tokens(request.prompt, decoding)
        stop = "token" if expected[-1] in self._stops(decoding) else "limit"
        shown = self.text(request.prompt, decoding)
        if (sample.text, sample.output_tokens, sample.stop) == (shown, len(expected), stop):
            return None
        # A sample is text: the last place up to which it can have been made of the same tokens.
        same = next(
            n
            for n in range(len(expected) - 1, -1, -1)
            if sample.text.startswith(self._decode(expected[:n]))
        )
        logits = self._logits(request.prompt, expected[:same])
        best, second = logits.topk(2).indices.tolist()
        high, low = float(logits[best]), float(logits[second])
        return Difference(
            request.case.id,
            same,
            self._decode([best]),
            self._decode([second]),
            (high, low),
            is_tie=high - low <= TIE and self._goes_on(sample, expected[:same], second, decoding),
        )

    def _goes_on(
        self, sample: Sample, common: Sequence[int], token: int, decoding: Decoding
    ) -> bool:
        """Return whether a sample can go on with a token where it no longer is the same."""
        is_hidden = token in self._stops(decoding) - {*self._ids_of(decoding.stops)}
        text = self._decode(common if is_hidden else [*common, token])
        return sample.text == text if is_hidden else sample.text.startswith(text)

    @torch.inference_mode()
    def _logits(self, prompt: str, written: Sequence[int]) -> torch.Tensor:
        """Return the logits (V,) float32 of the next token, by one pass over all before it."""
        ids = torch.cat([self._ids(prompt), torch.tensor([written], dtype=torch.long)], -1)
        logits: torch.Tensor = self._model(input_ids=ids, use_cache=False).logits[0, -1]
        return logits.float()

    def _ids(self, prompt: str) -> torch.Tensor:
        return torch.tensor([self.tokenizer.encode(prompt, add_special_tokens=False)])

    def _ids_of(self, tokens: Sequence[str]) -> list[int]:
        unknown = self.tokenizer.unk_token_id
        ids = self.tokenizer.convert_tokens_to_ids(list(tokens))
        return [i for i in ids if i is not None and i != unknown]

    def _stops(self, decoding: Decoding) -> set[int]:
        return {*self._eos, *self._ids_of(decoding.stops)} - {None}

    def _decode(self, ids: Sequence[int]) -> str:
        return str(
            self.tokenizer.decode(
                ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )
