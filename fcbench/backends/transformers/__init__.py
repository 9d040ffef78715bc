"""Any causal language model that transformers loads, with or without a LoRA adapter."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fcbench.backends import Outline
from fcbench.backends._windows import is_closed, windows
from fcbench.errors import FormatError, MissingExtra, ModelError
from fcbench.types import Sample

try:
    from fcbench.backends.transformers._choose import (
        Constrained,
        Free,
        Later,
        Likeliest,
        Sampled,
        UnanswerableError,
    )
    from fcbench.backends.transformers._decode import Job, Loop
    from fcbench.backends.transformers._load import (
        Loaded,
        TokenizerTemplate,
        bos_of,
        check,
        dtype_of,
        load,
        locate,
        tokenizer_of,
        wrap,
    )
    from fcbench.backends.transformers._logits import logits_at
    from fcbench.backends.transformers._memory import free_bytes, n_sequences
    from fcbench.backends.transformers._read import LAYERS, depends_on_length, reader_for
    from fcbench.backends.transformers._trust import (
        refuse_code,
        refuse_pickles,
        safetensors_only,
    )
except ImportError as error:
    if str(error.name).partition(".")[0] not in ("torch", "transformers"):
        raise
    raise MissingExtra(str(error.name), "hf") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fcbench.backends import ModelOptions
    from fcbench.backends.transformers._choose import Chooser, Pick
    from fcbench.backends.transformers._decode import Written
    from fcbench.formats.constraint import Constraint
    from fcbench.types import Decoding, Request

__all__ = [
    "LAYERS",
    "Loaded",
    "TokenizerTemplate",
    "TransformersBackend",
    "check_model",
    "depends_on_length",
    "dtype_of",
    "load",
    "locate",
    "logits_at",
    "open_model",
    "outline",
    "refuse_code",
    "refuse_pickles",
    "safetensors_only",
    "stop_ids",
    "wrap",
]

log = logging.getLogger("fcbench")


def open_model(name: str, options: ModelOptions) -> TransformersBackend:
    """Return the backend of a hub name, a folder or the packaged gemma3-270m."""
    return TransformersBackend(load(name, options), options)


def check_model(name: str, options: ModelOptions) -> None:
    """Raise what is wrong with a folder, a dtype, an adapter's folder, or the repeats."""
    check(name, options)


def outline(name: str, options: ModelOptions) -> Outline:
    """Return what the tokenizer says; no weights are loaded."""
    check(name, options)
    tokenizer = tokenizer_of(name, options)
    return Outline(
        None if tokenizer.chat_template is None else TokenizerTemplate(tokenizer),
        bos_of(tokenizer),
        lambda request: len(tokenizer.encode(request.prompt, add_special_tokens=False)),
        "the model's own tokenizer",
    )


class TransformersBackend:
    """Answers prompts with a loaded model, as many together as fit, each as soon as it is done."""

    def __init__(self, loaded: Loaded, options: ModelOptions) -> None:
        self.template = loaded.template
        self.bos = loaded.bos
        self.manifest = loaded.manifest
        self._loaded = loaded
        self._reader = reader_for(loaded.model)
        self._options = options
        self._ids: dict[str, list[int]] = {}
        self._constraints: dict[Decoding, Constraint] = {}
        self.has_answered = False

    def answer(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Sample]:
        """Yield one sample a request, as each is finished.

        A prompt longer than the model's context, a sequence whose logits are not finite, and one
        that does not fit in memory even alone are samples with an error. ModelError when all of
        the first ones are that, as many as are answered together.
        """
        # A part at a time: the loop sorts them by what they share, and holds the tokens of all.
        for part in windows(requests):
            yield from self._answer(part, decoding, lambda: not is_closed(requests))
            self._ids.clear()

    def _answer(
        self, requests: Sequence[Request], decoding: Decoding, goes_on: Callable[[], bool]
    ) -> Iterator[Sample]:
        ready: list[Request] = []
        jobs: list[Job] = []
        limit = decoding.max_new_tokens
        for request in requests:
            n_tokens, most = len(self._encode(request)), self._loaded.context_length
            unknown = self._loaded.without_row(self._encode(request))
            if not n_tokens:
                yield self._failure(request, "the prompt holds no token")
            elif unknown is not None:
                what = f"the prompt holds {unknown}, for which the model has no row: "
                yield self._failure(request, f"{what}its embedding was not resized")
            elif n_tokens + limit > most:
                what = f"{n_tokens} prompt tokens and {limit} new ones exceed the model's context"
                yield self._failure(request, f"{what} of {most}")
            else:
                ready.append(request)
                jobs.append(Job(self._encode(request), self._chooser(request, decoding), limit))
        loop = self._loop(jobs, goes_on)
        del jobs  # the loop lets go of each as it is finished
        n_first = loop.n_slots
        failed: list[Sample] = []
        for index, written in loop.run():
            sample = self._sample(ready[index], written, decoding)
            if not written.was_asked:
                yield sample
                continue
            if self.has_answered or sample.error is None:
                self.has_answered = True
                yield from failed
                failed.clear()
                yield sample
                continue
            failed.append(sample)
            if len(failed) == n_first:
                raise self._broken(failed)
        if failed:
            raise self._broken(failed)
        log.info(
            "%d tokens read where one prompt at a time takes %d; shared prefixes held at most "
            "%.1f MB; %d sequences at a time",
            *(loop.n_read, loop.n_given, loop.peak_prefix_bytes / 1e6, loop.n_slots),
        )

    def _broken(self, failed: Sequence[Sample]) -> ModelError:
        return ModelError(
            f"{self.manifest['name']}: the whole first batch failed: {failed[0].error}",
            hint="not finite: --dtype bfloat16 or float32, or NaN in the weights; "
            "out of memory: a smaller model, or a smaller --max-new-tokens",
        )

    def _loop(self, jobs: Sequence[Job], goes_on: Callable[[], bool]) -> Loop:
        """Return the decoding loop, with the memory that there is divided."""
        reader, device = self._reader, self._loaded.model.device
        free = free_bytes(device) // self._options.n_sharing
        prefix_bytes = self._options.prefix_memory
        if prefix_bytes is None:
            prefix_bytes = free // 4
        longest = max((len(job.prompt) + job.limit for job in jobs), default=1)
        n_slots = self._options.batch_size or n_sequences(free, longest * reader.bytes_per_token)
        return Loop(reader, jobs, n_slots, prefix_bytes, goes_on)

    def _chooser(self, request: Request, decoding: Decoding) -> Chooser:
        """Return what chooses the tokens of an answer."""
        pick = _pick(request, decoding)
        if not decoding.is_constrained:
            return Free(stop_ids(self._loaded, decoding.stops), pick)
        constraint = self._constraint(decoding)
        tools = request.case.tools if decoding.follows_tools else None

        def make(limit: int) -> Constrained:
            try:
                session = constraint.session(tools)
            except FormatError as error:
                raise UnanswerableError(str(error)) from error
            n_least = len(session.ending() or [])
            if n_least > limit:
                raise UnanswerableError(
                    f"the shortest call takes {n_least} tokens, {limit} are the limit"
                )
            return Constrained(session, constraint.stop_ids, pick)

        return Later(make)

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

    def _sample(self, request: Request, written: Written, decoding: Decoding) -> Sample:
        if written.error is not None:
            return self._failure(request, written.error)
        return Sample(
            case_id=request.case.id,
            repeat=request.repeat,
            text=self._text(written.tokens, decoding),
            prompt_sha256=request.prompt_sha256,
            prompt_tokens=len(self._encode(request)),
            output_tokens=len(written.tokens),
            seconds=round(written.seconds, 4),
            stop=written.stop,
        )

    def _failure(self, request: Request, error: str) -> Sample:
        return Sample(
            case_id=request.case.id,
            repeat=request.repeat,
            prompt_sha256=request.prompt_sha256,
            prompt_tokens=len(self._encode(request)),
            error=error,
        )

    def _text(self, tokens: Sequence[int], decoding: Decoding) -> str:
        last = tokens[-1] if tokens else None
        # The format's own stop token is evidence and stays; a foreign one would read as text.
        if last in stop_ids(self._loaded, decoding.stops) and last not in self._loaded.ids_of(
            decoding.stops
        ):
            tokens = tokens[:-1]
        return str(
            self._loaded.tokenizer.decode(
                list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )


def _pick(request: Request, decoding: Decoding) -> Pick:
    if not decoding.temperature:
        return Likeliest()
    return Sampled(decoding.temperature, decoding.seed, request.case.id, request.repeat)


def stop_ids(loaded: Loaded, stops: Sequence[str]) -> list[int]:
    """Return the ids that end a turn: the format's stop tokens and the model's own."""
    return sorted({*loaded.ids_of(stops), *loaded.eos_ids})
