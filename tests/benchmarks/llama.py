"""llama.cpp beside transformers, answer by answer, and its server under load.

    python -m tests.benchmarks.llama

Gemma 3 270M in float32: each prompt is answered
greedily by transformers and by llama.cpp from an F32 GGUF of the same weights. Every answer that
differs is shown with the logits of the two tokens at which it does. Then eight requests at a time
go to llama.cpp's server through the gguf backend, and the same bodies through a plain client; the
runs alternate, in one process. Exits 1 unless answers are the same for 95 of 100 prompts and the
backend reaches 0.9 of the plain client's throughput.

Models are kept under experiment-results/, answers under results/original_experiment/deployed-base: a
run that was interrupted goes on. Writes
llama.json and llama.md, and prints the latter.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
from tabulate import tabulate

from fcbench import prompts
from fcbench.backends import ModelOptions, open_model
from fcbench.drift._gauge import Gauge
from fcbench.formats import until_stop
from fcbench.formats.functiongemma import STOP_TOKENS
from fcbench.runs import execute, plan
from fcbench.stats import wilson
from fcbench.suite import load_suite
from fcbench.text import n_alike, visible
from fcbench.types import Decoding
from tests.benchmarks.machine import system
from tests.experiment import deployed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Sample

SUITE = "mobile_actions"
PACKAGES = ("fcbench", "torch", "transformers", "xllamacpp", "httpx")
N_PROMPTS, MAX_NEW_TOKENS = deployed.N_CASES, deployed.LIMIT
SAME, SHARE = 0.95, 0.9
"""The goals: the share of prompts answered alike, and of the plain client's throughput."""
AT_ONCE, ROUNDS = 8, 3
SHOWN = 48
"""Characters of an answer shown on either side of where it parts."""


class Pair(NamedTuple):
    """The same weights as a folder (or a packaged name) and as a file."""

    label: str
    model: str
    gguf: Path


PAIRS = {"base": Pair("Gemma 3 270M", deployed.BASE, deployed.GGUF["base"][0])}
"""The published adapter's answers, all 200 of them, are in results/original_experiment/drift.md."""
LOADED = deployed.GGUF["merged"][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=int, default=N_PROMPTS, help="prompts answered by both")
    parser.add_argument("--requests", type=int, default=24, help="requests of a run under load")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each client")
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    args = parser.parse_args()
    prepare()
    args.folder.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "machine": system(PACKAGES),
        "max_new_tokens": MAX_NEW_TOKENS,
        "answers": {name: answers(pair, args.limit) for name, pair in PAIRS.items()},
        "load": load(LOADED, args.requests, args.rounds),
    }
    (args.folder / "llama.json").write_text(
        json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8"
    )
    (args.folder / "llama.md").write_text(as_markdown(result), "utf-8")
    sys.stdout.write(as_markdown(result))
    missed = shortfalls(result)
    sys.stderr.writelines(f"missed: {line}\n" for line in missed)
    sys.exit(1 if missed else 0)


def prepare() -> None:
    """Merge the adapter and write the files, where they are not there."""
    deployed.deploy()


# The same answers


def answers(pair: Pair, limit: int) -> dict[str, Any]:
    """Return how many prompts are answered alike, and where the other answers part."""
    options: Any = {
        "max_new_tokens": MAX_NEW_TOKENS,
        "limit": limit,
        "resume": True,
        "progress": True,
    }
    # A file in float32 is computed in float32 without being told.
    plans = [
        plan(model, SUITE, "chat", None, None, deployed.ANSWERS, dtype=dtype, **options)
        for model, dtype in ((pair.model, "float32"), (f"gguf:{pair.gguf}", "auto"))
    ]
    backend = open_model(pair.model, plans[0].model_options)
    theirs = execute(plans[0], backend)
    style = prompts.Style("functiongemma", backend.template, backend.bos)
    texts = {r.case.id: r.prompt for r in prompts.requests(theirs.cases, "chat", style)}
    del backend
    gc.collect()
    ours = execute(plans[1])
    both = list(zip(theirs.samples, ours.samples, strict=True))
    parted = [(a, b) for a, b in both if a.error is None and b.error is None and not same(a, b)]
    return {
        "label": pair.label,
        "n": len(both),
        "same": sum(same(a, b) for a, b in both),
        "other_prompts": sum(a.prompt_sha256 != b.prompt_sha256 for a, b in both),
        "other_tokens": sum(a.prompt_tokens != b.prompt_tokens for a, b in both),
        "errors": [f"{s.case_id}: {s.error}" for pair in both for s in pair if s.error],
        "differences": differences(pair, texts, parted),
    }


def same(first: Sample, second: Sample) -> bool:
    """Whether two answers say the same up to their stop, and both reach one or neither does."""
    if first.error is not None or second.error is not None:
        return False
    shown = [until_stop(STOP_TOKENS, sample.text) for sample in (first, second)]
    return shown[0] == shown[1] and first.stop == second.stop


def differences(
    pair: Pair, texts: dict[str, str], parted: Sequence[tuple[Sample, Sample]]
) -> list[dict[str, Any]]:
    """Return each pair of answers around where they part, and by how much transformers preferred."""
    if not parted:
        return []
    loaded = open_model(pair.model, ModelOptions(dtype="float32"))._loaded
    gauge = Gauge(loaded, STOP_TOKENS)
    found = []
    for theirs, ours in parted:
        gap = gauge.gap(texts[theirs.case_id], theirs, ours)
        found.append(
            {
                "case": theirs.case_id,
                "position": None if gap is None else gap.n_alike + 1,
                "tokens": None if gap is None else [gap.first, gap.second],
                "gap": None if gap is None else gap.value,
                "largest_logit": None if gap is None else gap.size,
                **around(theirs.text, ours.text),
            }
        )
        say(f"{pair.label}: {theirs.case_id} differs, gap {found[-1]['gap']}")
    return found


def around(theirs: str, ours: str) -> dict[str, str]:
    """Return what two answers say just before they part, and each after it.

    >>> around("abc", "abd")
    {'before': 'ab', 'transformers': 'c', 'llama': 'd'}
    """
    n = n_alike(theirs, ours)
    return {
        "before": theirs[max(0, n - SHOWN) : n],
        "transformers": theirs[n : n + SHOWN],
        "llama": ours[n : n + SHOWN],
    }


# Under load


def load(gguf: Path, n_requests: int, rounds: int) -> dict[str, Any]:
    """Return the tokens a second of the backend and of a plain client, run by run."""
    # Nothing is kept of earlier prompts: each run reads them all anew.
    backend = open_model(f"gguf:{gguf}", ModelOptions(batch_size=AT_ONCE, prefix_memory=0))
    style = prompts.Style("functiongemma", backend.template, backend.bos)
    requests = prompts.requests(load_suite(SUITE).cases[:n_requests], "chat", style)
    decoding = Decoding(max_new_tokens=MAX_NEW_TOKENS, stops=STOP_TOKENS)
    asking = backend._asking
    bodies = [asking.body(request, decoding) for request in requests]
    address = backend._llama.endpoint.url

    def by_backend() -> int:
        asking._tokens.clear()  # making tokens of the prompts is part of its work
        samples = list(backend.answer(requests, decoding))
        faults = [sample.error for sample in samples if sample.error is not None]
        if faults:
            raise RuntimeError(f"the backend: {faults[0]}")
        return sum(sample.output_tokens or 0 for sample in samples)

    def by_client() -> int:
        return ask_all(address, bodies)

    list(backend.answer(requests[:AT_ONCE], decoding))  # the first run pays for memory
    found: dict[str, Any] = {"n_requests": len(requests), "backend": [], "client": []}
    for i in range(rounds):
        clients = [("backend", by_backend), ("client", by_client)]
        for name, client in clients if i % 2 == 0 else clients[::-1]:
            began = time.perf_counter()
            n_tokens = client()
            seconds = time.perf_counter() - began
            run = {"seconds": seconds, "output_tokens": n_tokens, "rate": n_tokens / seconds}
            found[name].append(run)
            say(f"under load, {name}: {n_tokens} new tokens in {seconds:.1f} s")
    backend.close()
    rates = {
        name: statistics.median(r["rate"] for r in found[name]) for name in ("backend", "client")
    }
    return {**found, "ratio": rates["backend"] / rates["client"]}


def ask_all(address: str, bodies: Sequence[dict[str, Any]]) -> int:
    """Post bodies as a plain client does, eight at a time; returns the tokens that were written."""
    with (
        httpx.Client(base_url=address, timeout=600, trust_env=False) as client,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        return sum(
            response.raise_for_status().json()["tokens_predicted"]
            for response in pool.map(lambda body: client.post("/completion", json=body), bodies)
        )


# The page


def shortfalls(result: dict[str, Any]) -> list[str]:
    """Return what was not reached."""
    missed = [
        f"{found['label']}: {found['same']} of {found['n']} answers are the same"
        for found in result["answers"].values()
        if found["same"] < SAME * found["n"]
    ]
    ratio = result["load"]["ratio"]
    if ratio < SHARE:
        missed.append(f"the backend reaches {ratio:.2f} of a plain client's throughput")
    return missed


def as_markdown(result: dict[str, Any]) -> str:
    """Return the result as tables."""
    about = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    found = list(result["answers"].values())
    rows = [row(each) for each in found]
    under_load = result["load"]
    return "\n".join(
        [
            "# llama.cpp beside transformers",
            "",
            (
                f"The first prompts of {SUITE}, greedy, up to {result['max_new_tokens']} new "
                "tokens; float32 weights, float32 cache, no flash attention. Written by "
                f"`python -m tests.benchmarks.llama`. {about['processor']}, {about['cpus']} CPUs, "
                f"{about['python']}, {versions}."
            ),
            "",
            tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True),
            "",
            *(line for each in found for line in listed(each)),
            *gelu(found),
            "## Under load",
            "",
            (
                f"{under_load['n_requests']} requests, {AT_ONCE} at a time, to the same server in "
                f"the same process, in turn; the backend reaches **{under_load['ratio']:.2f}** of "
                f"the plain client's tokens a second (medians; at least {SHARE:g} is wanted)."
            ),
            "",
            tabulate(
                [
                    {
                        "client": label,
                        "new tokens/s": ", ".join(f"{r['rate']:.1f}" for r in under_load[name]),
                    }
                    for name, label in (("backend", "gguf backend"), ("client", "plain client"))
                ],
                headers="keys",
                tablefmt="github",
                disable_numparse=True,
            ),
            "",
        ]
    )


def row(found: dict[str, Any]) -> dict[str, object]:
    interval = wilson(found["same"], found["n"])
    return {
        "model": found["label"],
        "same answers": f"{found['same']}/{found['n']}",
        "95 %": f"{interval.low:.1%} to {interval.high:.1%}",
        "prompts of other text": found["other_prompts"],
        "prompts of other length": found["other_tokens"],
        "errors": len(found["errors"]),
    }


def listed(found: dict[str, Any]) -> list[str]:
    """Return a table of the answers that differ, or a sentence; and the errors."""
    lines = [f"## {found['label'][0].upper()}{found['label'][1:]}", ""]
    if not found["differences"]:
        lines += ["No answer differs.", ""]
    else:
        table = [
            {
                "case": each["case"],
                "new token": each["position"] or "?",
                "both": code(each["before"]),
                "transformers": code(each["transformers"]),
                "llama.cpp": code(each["llama"]),
                "logit gap": "?" if each["gap"] is None else f"{each['gap']:.5f}",
                "of": "?" if each["gap"] is None else f"{each['largest_logit']:.1f}",
            }
            for each in found["differences"]
        ]
        lines += [
            tabulate(table, headers="keys", tablefmt="github", disable_numparse=True),
            "",
            (
                "`logit gap` is what transformers gives its own token more than the other's, where "
                "the answers part; `of` the largest logit there."
            ),
            "",
        ]
    return [*lines, *(f"- error: {error}" for error in found["errors"]), ""]


def gelu(found: Sequence[dict[str, Any]]) -> list[str]:
    """Return what is known to make the difference, where there is one."""
    if not any(each["differences"] for each in found):
        return []
    return [
        (
            "llama.cpp takes GELU from a table in half precision, on processors, whatever the "
            "weights are in: it moves logits by 0.01 to 0.03, so that tokens as near each other "
            "change places."
        ),
        "",
    ]


def code(text: str) -> str:
    """Return a text as code in a cell of a table."""
    shown = visible(text).replace("|", "\\|").replace("`", "'")
    return f"`{shown}`" if shown else "(nothing)"


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
