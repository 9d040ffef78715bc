"""What a thousand models over a hundred thousand cases would cost, and what would take longest.

    python -m tests.benchmarks.scale [--gpu-dollars 2.5 …]

Rates that can be measured here are: what one driver takes to render, hand over, hear and log an
answer (with two workers on Ray whose model answers at once, so that nothing else is in it), what
judging takes (replay.json), how fast this machine generates (generation.json), how long a stored
sample and a stored prompt are (results/). What a GPU does cannot be: it is stated, and can be
stated otherwise. Seconds of a driver are the CPU seconds of its process, so that what else the
machine does is not in them.

Writes scale.json and scale.md, and prints the latter.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from tabulate import tabulate

import fcbench
from fcbench import load_suite
from fcbench.executors import Where
from fcbench.executors._cluster import Cluster
from tests.benchmarks.machine import system
from tests.benchmarks.result import write_result

if TYPE_CHECKING:
    from fcbench.suite import Suite

HOUR, FEW = 3600, 100
RESULTS = Path("results")
BENCHMARKS = RESULTS / "benchmarks"
SUITE = "mobile_actions"
BILLION, GIGA = 1e9, 1e9


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What is not measured. The GPU is an A100 by its data sheet; the rest is assumed."""

    models: int = 1000
    cases: int = 100_000
    gpu_tflops: float = 312.0
    gpu_share_reached: float = 0.2
    gpu_dollars: float = 2.0
    cpu_dollars: float = 0.05
    storage_gb_per_second: float = 1.0
    bytes_per_parameter: float = 2.0


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured, each a mean; seconds are of one CPU."""

    driver_seconds_per_answer: float
    driver_seconds_per_answer_without_ray: float
    driver_answers: int
    judging_seconds_per_answer: float
    start_seconds: float
    cpu_answers_per_second: float
    cpus: int
    prompt_tokens: float
    answer_tokens: float
    sample_bytes: float
    prompt_bytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for field in msgspec.structs.fields(Stated):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=type(field.default), default=field.default)
    parser.add_argument("--answers", type=int, default=5000, help="that the driver is measured by")
    parser.add_argument("--folder", type=Path, default=BENCHMARKS)
    args = vars(parser.parse_args())
    folder, n_answers = args.pop("folder"), args.pop("answers")
    stated = Stated(**args)
    measured = measure(n_answers)
    result = {
        **system(("fcbench", "ray", "msgspec")),
        "stated": msgspec.to_builtins(stated),
        "measured": msgspec.to_builtins(measured),
        "rows": [row(stated, measured, size) for size in (0.27, 1.0, 4.0, 12.0)],
    }
    write_result(folder, "scale", result, as_markdown(result))


def answer(prompts: list[str]) -> list[str]:
    """Answer at once, as long as a call is."""
    return [
        "<start_function_call>call:show_map{query:<escape>"
        f"{prompt[-40:]}<escape>}}<end_function_call>"
        for prompt in prompts
    ]


def measure(n_answers: int) -> Measured:
    generation = json.loads((BENCHMARKS / "generation.json").read_text(encoding="utf-8"))
    comparison = generation["comparison"]
    alone = comparison["result"]["sets"]["as-is"]
    ours = alone["contestants"]["fcbench"]
    replay = json.loads((BENCHMARKS / "replay.json").read_text(encoding="utf-8"))
    judged = max(replay["rows"], key=lambda row: (row["lines"], row["cpu_seconds"]))
    samples, prompts = stored()
    suite = many_cases(n_answers)
    where = Where(executor="ray", workers=2, cpus_per_worker=1)
    cluster = Cluster(where)  # which stays while runs come and go
    try:
        with_ray = driver_seconds(suite, {"executor": "ray", "workers": 2, "cpus_per_worker": 1})
    finally:
        cluster.close()
    return Measured(
        driver_seconds_per_answer=with_ray,
        driver_seconds_per_answer_without_ray=driver_seconds(suite, {}),
        driver_answers=n_answers,
        judging_seconds_per_answer=judged["cpu_seconds"] / judged["lines"],
        start_seconds=ours["loading_seconds"],
        cpu_answers_per_second=ours["cases_per_second"],
        cpus=comparison["stamp"]["cpus"],
        prompt_tokens=alone["mean_tokens"],
        answer_tokens=mean([row["output_tokens"] for row in samples]),
        sample_bytes=mean([row["bytes"] for row in samples]),
        prompt_bytes=mean(prompts),
    )


def stored() -> tuple[list[dict[str, Any]], list[int]]:
    """Return the samples of the stored runs under the chat prompt, and how long prompts are."""
    samples: list[dict[str, Any]] = []
    prompts: list[int] = []
    for folder in sorted(RESULTS.glob(f"{SUITE}-*--chat")):
        lines = (folder / "samples.jsonl").read_bytes().splitlines(keepends=True)
        samples += [{**json.loads(line), "bytes": len(line)} for line in lines]
        lines = (folder / "prompts.jsonl").read_bytes().splitlines(keepends=True)
        prompts += [len(line) for line in lines]
    return samples, prompts


def many_cases(n: int) -> Suite:
    """Return a suite of so many cases, no two of which have one prompt."""
    cases = load_suite(SUITE).cases
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for number in range(n):
                row = msgspec.to_builtins(cases[number % len(cases)])
                row["id"] = f"{number}"
                row["messages"][-1]["content"] += f" ({number})"
                file.write(json.dumps(row) + "\n")
        return load_suite(path)


def driver_seconds(suite: Suite, options: dict[str, Any]) -> float:
    """Return the CPU seconds of this process an answer, from the prompt to the log."""

    def seconds(limit: int) -> float:
        with tempfile.TemporaryDirectory() as results:
            began = time.process_time()
            fcbench.run(answer, suite, results=results, limit=limit, **options)
            return time.process_time() - began

    # What it takes to begin is in both, and in neither once one is taken from the other.
    seconds(FEW)
    n_answers = len(suite.cases)
    return (seconds(n_answers) - seconds(FEW)) / (n_answers - FEW)


def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def row(stated: Stated, measured: Measured, billions: float) -> dict[str, Any]:
    """Return what everything costs for models of one size, each replica on one GPU."""
    answers = stated.models * stated.cases
    tokens = measured.prompt_tokens + measured.answer_tokens
    # Two operations a parameter and token; attention over so short a text adds little.
    per_answer = 2 * billions * BILLION * tokens
    rate = stated.gpu_tflops * 1e12 * stated.gpu_share_reached / per_answer
    weights = billions * BILLION * stated.bytes_per_parameter
    loading = measured.start_seconds + weights / (stated.storage_gb_per_second * GIGA)
    driver_rate = 1 / measured.driver_seconds_per_answer
    hours = {
        "generating": answers / rate / HOUR,
        "loading": stated.models * loading / HOUR,
        "driving": answers * measured.driver_seconds_per_answer / HOUR,
        "judging": answers * measured.judging_seconds_per_answer / HOUR,
    }
    gpu_hours = hours["generating"] + hours["loading"]
    cpu_hours = hours["driving"] + hours["judging"]
    return {
        "billions": billions,
        "answers": answers,
        "answers_per_second": rate,
        "loading_seconds": loading,
        "hours": hours,
        "dollars": gpu_hours * stated.gpu_dollars + cpu_hours * stated.cpu_dollars,
        "longest": max(hours, key=lambda what: hours[what]),
        "gpus_per_driver": driver_rate / rate,
        "log_gb": answers * measured.sample_bytes / GIGA,
        "prompts_gb": answers * measured.prompt_bytes / GIGA,
        "one_model": [one_model(stated, rate, loading, driver_rate, n) for n in (1, 8, 64)],
    }


def one_model(
    stated: Stated, rate: float, loading: float, driver_rate: float, workers: int
) -> dict[str, float]:
    """Return how long one model takes on so many GPUs, and what part of that is loading."""
    seconds = loading + stated.cases / min(workers * rate, driver_rate)
    return {"workers": workers, "seconds": seconds, "loading_share": loading / seconds}


def as_markdown(result: dict[str, Any]) -> str:
    """Return the calculation as text and tables."""
    stated, measured, rows = (
        Stated(**result["stated"]),
        Measured(**result["measured"]),
        result["rows"],
    )
    small = rows[0]
    cpu_hours = small["answers"] / measured.cpu_answers_per_second / HOUR
    hours = [
        [
            f"{found['billions']:g} B",
            f"{found['answers_per_second']:,.1f}",
            *(f"{found['hours'][what]:,.0f}" for what in found["hours"]),
            f"{found['dollars']:,.0f}",
            found["longest"],
            f"{found['gpus_per_driver']:,.0f}",
        ]
        for found in rows
    ]
    spread = [
        [
            f"{found['billions']:g} B",
            *(f"{n['seconds'] / 60:,.1f} ({n['loading_share']:.0%})" for n in found["one_model"]),
        ]
        for found in rows
    ]
    return f"""# What {stated.models:,} models over {stated.cases:,} cases would cost

Written by `make bench-scale`. It is a calculation: what is stated in it was measured nowhere here, and options of `python -m tests.benchmarks.scale` state it otherwise.

- **Measured**: {measured.driver_seconds_per_answer * 1e3:.2f} ms of one CPU an answer for the process that renders prompts, hands them to workers on Ray, hears and logs the answers ({measured.driver_answers:,} of them; without Ray {measured.driver_seconds_per_answer_without_ray * 1e3:.2f} ms, the answers' function included); {measured.judging_seconds_per_answer * 1e3:.2f} ms to judge one ([replay.md](replay.md)); {measured.start_seconds:.1f} s from a new process to a loaded model of 0.27 B, and {measured.cpu_answers_per_second:.2f} answers a second on {measured.cpus} CPUs ([generation.md](generation.md)); {measured.prompt_tokens:.0f} tokens a prompt, {measured.answer_tokens:.0f} an answer; {measured.sample_bytes:.0f} bytes a stored sample, {measured.prompt_bytes:,.0f} a stored prompt. {result["processor"]}, {result["cpus"]} CPUs, {result["python"]}, ray {result["versions"]["ray"]}.
- **Stated**: a GPU computes at most {stated.gpu_tflops:g} TFLOP/s (bfloat16, data sheet of the A100), of which {stated.gpu_share_reached:.0%} is reached, and costs {stated.gpu_dollars:g} dollars an hour, a CPU {stated.cpu_dollars:g}; weights of {stated.bytes_per_parameter:g} bytes a parameter are read at {stated.storage_gb_per_second:g} GB/s; two operations a parameter and token.

All {small["answers"]:,} answers, one GPU a replica, each model loaded once, hours of a GPU and of a CPU:

{tabulate(hours, headers=("model", "answers/s of a GPU", "generating, GPU h", "loading, GPU h", "driving, CPU h", "judging, CPU h", "dollars", "longest", "GPUs that keep one driver busy"), tablefmt="pipe", disable_numparse=True, colalign=("left",) + ("right",) * 6 + ("left", "right"))}

One model over its {stated.cases:,} cases, in minutes, and what part of them is loading:

{tabulate(spread, headers=("model", "on 1 GPU", "on 8", "on 64"), tablefmt="pipe", disable_numparse=True, colalign=("left", "right", "right", "right"))}

- Where it sits: {bottleneck(rows)}
- One driver hears at most {1 / measured.driver_seconds_per_answer:,.0f} answers a second, whatever the number of workers. Models are independent of each other: beyond the last column of the first table, begin a second run beside the first.
- The logs are {small["log_gb"]:,.0f} GB of samples and {small["prompts_gb"]:,.0f} GB of prompts: every run keeps its own, which are the same for all models with one template.
- On CPUs like these, models of 0.27 B take {cpu_hours:,.0f} hours of a machine of {measured.cpus} CPUs: {cpu_hours * measured.cpus * stated.cpu_dollars:,.0f} dollars.
"""


def bottleneck(rows: list[dict[str, Any]]) -> str:
    """Return in words what takes longest, for each size of model."""
    shares = []
    for found in rows:
        whole = sum(found["hours"].values())
        share = found["hours"][found["longest"]] / whole
        shares.append(f"{found['longest']} is {share:.0%} of all hours at {found['billions']:g} B")
    return ", ".join(shares) + "."


if __name__ == "__main__":
    main()
