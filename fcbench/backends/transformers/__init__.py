"""Any causal language model that transformers loads, with or without a LoRA adapter."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fcbench.errors import MissingExtra, ModelError
from fcbench.types import Sample

try:
    from fcbench.backends.transformers._decode import Decoded, greedy
    from fcbench.backends.transformers._load import check, load
except ImportError as error:
    if str(error.name).partition(".")[0] not in ("torch", "transformers"):
        raise
    raise MissingExtra(str(error.name), "hf") from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.backends import ModelOptions
    from fcbench.backends.transformers._load import Loaded
    from fcbench.types import Decoding, Request


def open_model(name: str, options: ModelOptions) -> TransformersBackend:
    """Return the backend of a hub name, a folder or the packaged gemma3-270m."""
    return TransformersBackend(load(name, options), options.batch_size)


def check_model(name: str, options: ModelOptions) -> None:
    """Raise what is wrong with a folder, a dtype or an adapter's folder."""
    check(name, options)


class TransformersBackend:
    """Answers prompts with a loaded model, in padded batches of prompts of like length."""

    def __init__(self, loaded: Loaded, batch_size: int) -> None:
        self.template = loaded.template
        self.bos = loaded.bos
        self.manifest = loaded.manifest
        self._loaded = loaded
        self._batch_size = batch_size
        self._ids: dict[str, list[int]] = {}
        self.has_answered = False

    def batches(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Return the requests, the longest prompts first, `batch_size` at a time.

        The longest come first because a batch that does not fit in memory should fail at once.
        """
        ordered = sorted(requests, key=lambda r: (-len(self._encode(r)), r.case.id, r.repeat))
        step = self._batch_size
        return [ordered[i : i + step] for i in range(0, len(ordered), step)]

    def answer(self, batch: Sequence[Request], decoding: Decoding) -> list[Sample]:
        """Return one sample a request.

        A prompt longer than the model's context, a sequence whose logits are not finite and a
        batch that runs out of memory are samples with an error. ModelError when the whole first
        batch fails to decode.
        """
        started = time.perf_counter()
        limit = self._loaded.context_length
        fitting = [r for r in batch if len(self._encode(r)) + decoding.max_new_tokens <= limit]
        try:
            decoded = greedy(self._loaded, [self._encode(r) for r in fitting], decoding)
        except (RuntimeError, IndexError, MemoryError) as error:  # out of memory, for one
            what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            decoded = [Decoded("", 0, None, what)] * len(fitting)
        self._refuse_all_faults(decoded)
        seconds = (time.perf_counter() - started) / max(1, len(fitting))
        answers = {
            (r.case.id, r.repeat): self._sample(r, d, seconds)
            for r, d in zip(fitting, decoded, strict=True)
        }
        return [answers.get((r.case.id, r.repeat)) or self._too_long(r, decoding) for r in batch]

    def _encode(self, request: Request) -> list[int]:
        """Return a prompt's token ids. The prompt itself says where it begins: nothing is added."""
        known = self._ids.get(request.prompt_sha256)
        if known is None:
            known = self._loaded.tokenizer.encode(request.prompt, add_special_tokens=False)
            self._ids[request.prompt_sha256] = known
        return known

    def _refuse_all_faults(self, decoded: Sequence[Decoded]) -> None:
        if decoded and not self.has_answered and all(d.error for d in decoded):
            raise ModelError(
                f"{self.manifest['name']}: the whole first batch failed: {decoded[0].error}",
                hint="not finite: --dtype bfloat16 or float32, or NaN in the weights; "
                "out of memory: a smaller --batch-size",
            )
        self.has_answered = self.has_answered or bool(decoded)

    def _sample(self, request: Request, decoded: Decoded, seconds: float) -> Sample:
        return Sample(
            case_id=request.case.id,
            repeat=request.repeat,
            text=decoded.text,
            prompt_sha256=request.prompt_sha256,
            prompt_tokens=len(self._encode(request)),
            output_tokens=decoded.n_tokens,
            seconds=round(seconds, 4),
            stop=decoded.stop,
            error=decoded.error,
        )

    def _too_long(self, request: Request, decoding: Decoding) -> Sample:
        n_tokens = len(self._encode(request))
        return Sample(
            case_id=request.case.id,
            repeat=request.repeat,
            prompt_sha256=request.prompt_sha256,
            prompt_tokens=n_tokens,
            error=f"{n_tokens} prompt tokens and {decoding.max_new_tokens} new ones exceed the "
            f"model's context of {self._loaded.context_length}",
        )
