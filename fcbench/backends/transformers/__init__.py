"""Any causal language model that transformers loads, with or without a LoRA adapter."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fcbench.errors import FormatError, MissingExtra, ModelError
from fcbench.types import Sample

try:
    from fcbench.backends.transformers._choose import Constrained, Free, Likeliest, Sampled
    from fcbench.backends.transformers._decode import Decoded, decode, stop_ids
    from fcbench.backends.transformers._load import check, load
except ImportError as error:
    if str(error.name).partition(".")[0] not in ("torch", "transformers"):
        raise
    raise MissingExtra(str(error.name), "hf") from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.backends import ModelOptions
    from fcbench.backends.transformers._choose import Chooser, Pick
    from fcbench.backends.transformers._load import Loaded
    from fcbench.formats.constraint import Constraint
    from fcbench.types import Decoding, Request


def open_model(name: str, options: ModelOptions) -> TransformersBackend:
    """Return the backend of a hub name, a folder or the packaged gemma3-270m."""
    return TransformersBackend(load(name, options), options.batch_size)


def check_model(name: str, options: ModelOptions) -> None:
    """Raise what is wrong with a folder, a dtype, an adapter's folder, or the repeats."""
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
        self._constraints: dict[Decoding, Constraint] = {}
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
        choosers: dict[tuple[str, int], Chooser] = {}
        samples: dict[tuple[str, int], Sample] = {}
        for request in batch:
            try:
                choosers[_key(request)] = self._chooser(request, decoding)
            except _UnanswerableError as error:
                samples[_key(request)] = self._sample(
                    request, Decoded("", 0, None, str(error)), None
                )
        ready = [request for request in batch if _key(request) in choosers]
        try:
            prompts = [self._encode(request) for request in ready]
            decoded = decode(self._loaded, prompts, decoding, list(choosers.values()))
        except (RuntimeError, IndexError, MemoryError) as error:  # out of memory, for one
            what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            decoded = [Decoded("", 0, None, what)] * len(ready)
        self._refuse_all_faults(decoded)
        seconds = (time.perf_counter() - started) / max(1, len(ready))
        for request, answer in zip(ready, decoded, strict=True):
            samples[_key(request)] = self._sample(request, answer, round(seconds, 4))
        return [samples[_key(request)] for request in batch]

    def _chooser(self, request: Request, decoding: Decoding) -> Chooser:
        """Return what chooses the tokens of an answer, if there can be one."""
        n_tokens, limit = len(self._encode(request)), self._loaded.context_length
        if n_tokens + decoding.max_new_tokens > limit:
            raise _UnanswerableError(
                f"{n_tokens} prompt tokens and {decoding.max_new_tokens} new ones exceed the "
                f"model's context of {limit}"
            )
        if not decoding.is_constrained:
            return Free(stop_ids(self._loaded, decoding.stops), _pick(request, decoding))
        constraint = self._constraint(decoding)
        try:
            session = constraint.session(request.case.tools if decoding.follows_tools else None)
        except FormatError as error:
            raise _UnanswerableError(str(error)) from error
        n_least = len(session.ending() or [])
        if n_least > decoding.max_new_tokens:
            raise _UnanswerableError(
                f"the shortest call takes {n_least} tokens, {decoding.max_new_tokens} are the limit"
            )
        return Constrained(session, constraint.stop_ids, _pick(request, decoding))

    def _constraint(self, decoding: Decoding) -> Constraint:
        if decoding not in self._constraints:
            from fcbench.formats.constraint import Constraint

            self._constraints[decoding] = Constraint(
                decoding.format,
                self._loaded.tokenizer,
                stop_ids(self._loaded, decoding.stops),
                or_text=decoding.may_abstain,
            )
        return self._constraints[decoding]

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

    def _sample(self, request: Request, decoded: Decoded, seconds: float | None) -> Sample:
        return Sample(
            case_id=request.case.id,
            repeat=request.repeat,
            text=decoded.text,
            prompt_sha256=request.prompt_sha256,
            prompt_tokens=len(self._encode(request)),
            output_tokens=None if seconds is None else decoded.n_tokens,
            seconds=seconds,
            stop=decoded.stop,
            error=decoded.error,
        )


class _UnanswerableError(Exception):
    """Why a model cannot be asked for an answer at all."""


def _pick(request: Request, decoding: Decoding) -> Pick:
    if not decoding.temperature:
        return Likeliest()
    return Sampled(decoding.temperature, decoding.seed, request.case.id, request.repeat)


def _key(request: Request) -> tuple[str, int]:
    return request.case.id, request.repeat
