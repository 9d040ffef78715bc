"""What one run is to do, and what its folder is called."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack, get_args

import msgspec

from fcbench import registry
from fcbench.backends import ModelOptions
from fcbench.errors import UsageError, nearest
from fcbench.executors import Where, check_executor
from fcbench.formats import grammar_of
from fcbench.matching import check_matching
from fcbench.prompts import check_file, few_shot, is_native
from fcbench.suite import Suite, load_suite
from fcbench.types import Case, DecodeMode

if TYPE_CHECKING:
    from collections.abc import Sequence


DECODE_MODES = get_args(DecodeMode)
MOST_REPEATS = 100_000
"""Answers to each case: a manifest that says more would have them all counted as absent."""


class Options(TypedDict, total=False):
    """The options of a run beside its model, suite, prompt, adapter, decoding and folder.

    Which cases:
      limit             only the first so many of the suite
      sample            only so many, drawn by `seed`; a larger sample of the same seed holds a
                        smaller one
      tags              only those that have one of these tags
      repeats           answers to each case (1)
    What is asked:
      few_shot          solved examples before the question, from the suite's training file (0)
      prompt_file       a Jinja file of your own in place of a prompt mode
      format            wire format of calls: a name, the path of a grammar variant, or "auto", what
                        the model's chat template writes ("functiongemma")
    How tokens are chosen:
      temperature       above 0 a token is drawn from softmax(logits / temperature), at 0 the
                        likeliest is taken (0; 1 where decode is "sample")
      max_new_tokens    after which an answer is cut (what the suite says, else 256)
      seed              for the draw of a sample, of examples, and of tokens (0)
    How it is computed:
      dtype             "float32", "bfloat16", "float16", or what the machine is fast at ("auto")
      allow_float16     let a model run in float16 that is known to overflow in it (False)
      trust_remote_code run code from the model's repository, with all your rights (False)
      batch_size        prompts answered together (as many as the backend finds good)
      prefix_memory     bytes that beginnings which prompts share may take (a part of what is free;
                        0 shares nothing)
      timeout_seconds   how long a server may take for one answer (600)
      retries           how often a server is asked again where that can help (4)
      executor          "local" in this process, or "ray" ("local")
      workers           of Ray, each with its own replica of the model
      ray_address       of a cluster that runs already, as "auto" (one is begun on this machine)
      cpus_per_worker   (an equal share of this machine's; 1 on a cluster)
      gpus_per_worker   may be a part of one, as 0.5 (0)
    Where it is kept:
      resume            go on with an earlier run of the same plan, or begin one (False)
      progress          a line on stderr: how far, how long yet, how good so far (False)
    """

    dtype: str
    batch_size: int | None
    allow_float16: bool
    trust_remote_code: bool
    prefix_memory: int | None
    max_new_tokens: int | None
    few_shot: int
    prompt_file: str | None
    limit: int | None
    sample: int | None
    tags: tuple[str, ...]
    temperature: float | None
    repeats: int
    seed: int
    format: str
    timeout_seconds: float
    retries: int
    executor: str
    workers: int | None
    ray_address: str | None
    cpus_per_worker: int | None
    gpus_per_worker: float | None
    resume: bool
    progress: bool


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One model over one suite under one prompt. Made by plan(), which checks it."""

    model: str
    suite: Suite
    cases: list[Case]
    prompt: str
    adapter: str | None
    decode: DecodeMode
    results: Path | None
    dtype: str = "auto"
    batch_size: int | None = None
    prefix_memory: int | None = None
    allow_float16: bool = False
    trust_remote_code: bool = False
    max_new_tokens: int
    few_shot: int = 0
    prompt_file: str | None = None
    limit: int | None = None
    sample: int | None = None
    tags: tuple[str, ...] = ()
    temperature: float = 0.0
    repeats: int = 1
    seed: int = 0
    format: str = "functiongemma"
    timeout_seconds: float = 600.0
    retries: int = 4
    executor: str = "local"
    workers: int | None = None
    ray_address: str | None = None
    cpus_per_worker: int | None = None
    gpus_per_worker: float | None = None
    resume: bool = False
    progress: bool = False

    @property
    def name(self) -> str:
        """The name of the run's folder, from what the plan asks for."""
        parts = [self.suite.name if self.limit is None else f"{self.suite.name}-{self.limit}"]
        if self.sample is not None:
            parts[0] += f"-sample{self.sample}" + (f"-seed{self.seed}" if self.seed else "")
        parts += self.tags
        parts.append(self.model)
        if self.adapter is not None:
            parts.append(Path(self.adapter).name)
        parts.append(Path(self.prompt_file).stem if self.prompt_file else self.prompt)
        if self.few_shot:
            parts[-1] += f"+{self.few_shot}"
        if self.decode != "greedy":
            parts.append(self.decode)
        if self.temperature:
            parts.append(f"t{self.temperature}".removesuffix(".0"))
        if self.repeats > 1:
            parts.append(f"x{self.repeats}")
        if self.dtype != "auto":
            parts.append(self.dtype)
        # A name is never a path: separators and dots that lead out of the folder are replaced.
        slugs = (re.sub(r"[^\w.+-]+", "-", part).strip("-.")[-60:] for part in parts)
        return "--".join(slug for slug in slugs if slug)[:200]

    @property
    def model_options(self) -> ModelOptions:
        """How the plan's model is to be loaded."""
        return ModelOptions(
            adapter=self.adapter,
            dtype=self.dtype,
            batch_size=self.batch_size,
            prefix_memory=self.prefix_memory,
            allow_float16=self.allow_float16,
            trust_remote_code=self.trust_remote_code,
            decode=self.decode,
            temperature=self.temperature,
            repeats=self.repeats,
            native=is_native(self.prompt, self.prompt_file),
            timeout_seconds=self.timeout_seconds,
            retries=self.retries,
        )

    @property
    def where(self) -> Where:
        """Where the plan's model is to compute."""
        return Where(
            executor=self.executor,
            workers=self.workers,
            address=self.ray_address,
            cpus_per_worker=self.cpus_per_worker,
            gpus_per_worker=self.gpus_per_worker,
        )


def plan(  # noqa: PLR0913  the signature of fcbench.run
    model: str,
    suite: str | Path | Suite,
    prompt: str,
    adapter: str | None,
    decode: DecodeMode | None,
    results: str | Path | None,
    **options: Unpack[Options],
) -> Plan:
    """Return a checked plan: what can be wrong is found here, before any model is loaded.

    UsageError for a value that cannot be, SuiteError for the suite, FormatError for the grammar.
    """
    for unknown in sorted(set(options) - set(Options.__annotations__)):
        raise UsageError(
            f"no such option: {unknown}", hint=nearest(unknown, Options.__annotations__)
        )
    decode, options["temperature"] = _decode_and_temperature(decode, options.get("temperature"))
    loaded = suite if isinstance(suite, Suite) else load_suite(suite)
    if options.get("max_new_tokens") is None:
        options["max_new_tokens"] = loaded.max_new_tokens
    mode, examples = _mode_and_examples(prompt)
    if examples:
        if options.get("few_shot", examples) not in (0, examples):
            raise UsageError(f"{prompt} and few_shot={options['few_shot']} contradict each other")
        options["few_shot"] = examples
    options["tags"] = tuple(options.get("tags", ()))
    limit, sample, seed = options.get("limit"), options.get("sample"), options.get("seed", 0)
    cases = select(loaded, options["tags"], limit, sample, seed)
    if len(cases) == len(select(loaded, options["tags"])):
        options["limit"] = options["sample"] = None  # one that leaves nothing out is none
    made = Plan(
        model=model,
        suite=loaded,
        cases=cases,
        prompt=mode,
        adapter=adapter,
        decode=decode,
        results=None if results is None else Path(results),
        **options,  # type: ignore[arg-type]  # what is None by default is a number by now
    )
    _check(made)
    return made


def _check(made: Plan) -> None:
    """Raise what is wrong with a plan's numbers, names, grammar, prompt file and examples."""
    for name, least in (
        ("batch_size", 1),
        ("prefix_memory", 0),
        ("max_new_tokens", 1),
        ("few_shot", 0),
        ("repeats", 1),
        ("retries", 0),
    ):
        value = getattr(made, name)
        if value is not None and value < least:
            raise UsageError(f"{name} is at least {least}, got {value}")
    if made.repeats > MOST_REPEATS:
        raise UsageError(f"repeats is at most {MOST_REPEATS:,}, got {made.repeats:,}")
    if not 0 < made.timeout_seconds < math.inf:  # NaN is not either
        raise UsageError(f"timeout_seconds is above 0, got {made.timeout_seconds}")
    check_executor(made.model, made.where)
    check_matching(made.suite.matching)
    if made.format != "auto":
        grammar_of(made.format)
    if made.prompt_file is None:
        registry.load("prompts", made.prompt)
    else:
        check_file(made.prompt_file)
    if made.few_shot:
        few_shot(made.suite.training_cases(), made.suite.cases, made.few_shot, made.seed)


def _decode_and_temperature(
    decode: DecodeMode | None, temperature: float | None
) -> tuple[DecodeMode, float]:
    """Return both as they are meant where one of them was left out. UsageError if they differ."""
    if temperature is not None and not 0 <= temperature < math.inf:  # NaN is not either
        raise UsageError(f"temperature is a number from 0 up, got {temperature}")
    if decode is None:
        decode = "sample" if temperature else "greedy"
    if decode not in DECODE_MODES:
        raise UsageError(f"no such decoding: {decode}", hint=nearest(decode, DECODE_MODES))
    if temperature is None:
        temperature = 1.0 if decode == "sample" else 0.0
    if decode == "greedy" and temperature:
        raise UsageError(
            f"greedy decoding has no temperature, got {temperature:g}",
            hint="sample draws tokens; greedy takes the likeliest",
        )
    if decode == "sample" and not temperature:
        raise UsageError("sampling at temperature 0 draws nothing", hint="greedy is the name of it")
    return decode, float(temperature)


def _mode_and_examples(prompt: str) -> tuple[str, int]:
    """Split "raw+3" into the mode and the number of examples."""
    mode, plus, count = prompt.partition("+")
    if plus and not count.isdecimal():
        raise UsageError(
            f"not a prompt: {prompt}", hint="MODE or MODE+K with K examples, as in raw+3"
        )
    return mode, int(count) if plus else 0


def select(
    suite: Suite,
    tags: Sequence[str],
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
) -> list[Case]:
    """Return the cases of a suite that have one of the tags, in the suite's order.

    Of these at most the first `limit`, or `sample` of them, drawn by the seed. Which are drawn
    depends on the seed and their ids alone, so that it is the same everywhere and always, and a
    smaller sample is part of a larger one. UsageError for a tag that no case has.
    """
    known = {tag for case in suite.cases for tag in case.tags}
    for tag in tags:
        if tag not in known:
            raise UsageError(f"no case of {suite.name} has the tag {tag}", hint=nearest(tag, known))
    if limit is not None and sample is not None:
        raise UsageError(
            "limit and sample both say how many cases", hint="the first N, or N that are drawn"
        )
    for name, number in (("limit", limit), ("sample", sample)):
        if number is not None and number < 1:
            raise UsageError(f"{name} is at least 1, got {number}")
    chosen = [case for case in suite.cases if not tags or set(tags) & set(case.tags)]
    if sample is None:
        return chosen[:limit]
    # Not random.sample, whose draws a later Python may make in another way.
    drawn = {case.id for case in sorted(chosen, key=lambda case: _lot(case, seed))[:sample]}
    return [case for case in chosen if case.id in drawn]


def _lot(case: Case, seed: int) -> bytes:
    key = json.dumps([seed, case.id]).encode()
    return hashlib.sha256(key).digest()
