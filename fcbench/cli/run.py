"""python -m fcbench run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.cli import ERRORS, MISSED, OK
from fcbench.text import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from fcbench.runs import Plan, Scores
    from fcbench.runs._place import Place
    from fcbench.types import Run

EXAMPLES = (
    (
        "run --model gemma3-270m --suite original_experiment",
        "five cases, asked of the packaged model; the leaderboard of results/ is written anew",
    ),
    (
        "run --model ./base --adapter ./my-lora --prompt chat,raw --suite mine.jsonl --sample 50",
        "a fine-tune under two prompts, over fifty cases that are drawn from your own",
    ),
    (
        "run --model python:my_module:answer --dry-run",
        "nothing is run: the first prompt as it is sent, the plan, and how long it may take",
    ),
    (
        "run --model ./my-model --fail-under argument_exact_match=0.9 --resume",
        "go on with an interrupted run, and exit 1 unless the lower bound of the interval is 0.9",
    ),
    (
        "run --reproduce results/RUN",
        "the same again from RUN's manifest: which samples, versions and hashes differ",
    ),
)
EXITS = {
    1: "a metric is below its --fail-under, or a sample of --reproduce differs",
    3: "some samples are errors: --resume asks again; or --reproduce found no answer to compare",
    130: "interrupted: what was answered is stored, --resume goes on with it",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    from fcbench.cli._options import add_executor, add_gate

    which = parser.add_argument_group("what to run (one row for each combination)")
    which.add_argument(
        "--model",
        action="append",
        metavar="MODEL",
        help="gemma3-270m, a folder or hub name, gguf:FILE, openai:URL#MODEL, ollama:MODEL, "
        "vllm:MODEL, python:MODULE:FUNCTION, replay:FILE; may be repeated",
    )
    which.add_argument(
        "--reproduce",
        metavar="RUN",
        help="repeat a stored run from its manifest and say what differs; what is named beside it "
        "says where things are now, and how they are computed",
    )
    which.add_argument(
        "--adapter", metavar="DIR", help="a LoRA adapter on top of the model (gguf: a file)"
    )
    which.add_argument(
        "--suite",
        action="append",
        metavar="SUITE",
        help="a shipped suite, a folder, JSON lines, or hf:OWNER/NAME; may be repeated "
        "(default: mobile_actions)",
    )
    which.add_argument(
        "--prompt",
        metavar="MODE[,MODE…]",
        help="chat, raw, bare; raw+3 shows three solved examples first; native leaves template "
        "and parser to a server (default: chat)",
    )
    which.add_argument(
        "--prompt-file", metavar="FILE", help="a Jinja file of your own as the prompt"
    )
    which.add_argument(
        "--few-shot", type=int, default=0, metavar="K", help="examples for every mode"
    )
    which.add_argument(
        "--limit", type=int, metavar="N", help="only the first N cases of each suite"
    )
    which.add_argument(
        "--sample",
        type=int,
        metavar="N",
        help="N cases of each suite, drawn by --seed; another N of the same seed draws some of "
        "the same",
    )
    which.add_argument(
        "--tags", default="", metavar="TAG[,TAG…]", help="only cases with one of these tags"
    )
    which.add_argument(
        "--format",
        default="functiongemma",
        metavar="NAME",
        help="wire format of the calls; auto takes what the chat template writes",
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--decode",
        metavar="MODE",
        help="greedy, sample, or held to the format's grammar: constrained (calls), "
        "constrained-or-text (calls or words), and with -schema only calls of the case's tools "
        "(default: sample with a temperature, else greedy)",
    )
    how.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="draw tokens from softmax(logits / T), of all or of those the grammar allows "
        "(default: 0, the likeliest; 1 with --decode sample)",
    )
    how.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="answers to each case (default: 1)"
    )
    how.add_argument(
        "--max-new-tokens",
        type=int,
        metavar="N",
        help="tokens after which an answer is cut (default: what the suite says, else 256)",
    )
    how.add_argument(
        "--dtype", default="auto", help="auto, float32, bfloat16 or float16 (default: auto)"
    )
    how.add_argument(
        "--allow-float16",
        action="store_true",
        help="let Gemma 3 run in float16, in which it overflows",
    )
    how.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="runs code from the model's repository, with all your rights: read it first",
    )
    how.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="prompts answered together, or requests that a server is sent at a time; default: as "
        "many as fit, or 8",
    )
    how.add_argument(
        "--timeout",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="for one answer of a server (default: 600)",
    )
    how.add_argument(
        "--retries",
        type=int,
        default=4,
        metavar="N",
        help="how often a server is asked again where that can help (default: 4)",
    )
    how.add_argument(
        "--prefix-memory",
        type=float,
        metavar="GB",
        help="for beginnings that prompts share (default: a quarter of what is free; 0: none)",
    )
    how.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="for the draw of a --sample, of examples and of tokens (default: 0)",
    )
    add_executor(parser)
    where = parser.add_argument_group("results")
    where.add_argument("--results", default="results", metavar="DIR", help="default: results/")
    where.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    where.add_argument(
        "--dry-run",
        action="store_true",
        help="run nothing: print the first prompt of each combination as it is sent, with its "
        "tokens, and what would be done in how much time",
    )
    add_gate(where)
    where.add_argument("--json", action="store_true", help="print rows as JSON")


def run(args: argparse.Namespace) -> int:
    """Run every combination, print its rows, and rewrite the leaderboard of all results."""
    from fcbench.errors import UsageError

    if args.reproduce is not None:
        from fcbench.cli._reproduce import reproduce

        return reproduce(args)
    if not args.model:
        raise UsageError("run needs a --model", hint="--model gemma3-270m, or --reproduce RUN")
    if args.dry_run:
        from fcbench.cli._dry_run import dry_run

        return dry_run([plan for model in args.model for plan in _plans(args, model)], args)
    from fcbench.report import leaderboard
    from fcbench.runs import score

    rows, scored = [], []
    results = Path(args.results)
    for made in _runs(args):
        scores = score(made, keep_verdicts=False)  # of which nothing is shown here
        seconds = (s.seconds for s in made.samples if s.seconds is not None)
        rows.append(leaderboard.row_of(Path(made.folder or "").name, scores, seconds))
        scored.append(scores)
        sys.stderr.write(f"stored in {visible(str(made.folder))}\n")
    sys.stdout.write(leaderboard.as_json(rows) if args.json else leaderboard.as_text(rows))
    stored, left_out = leaderboard.read_rows(results, rows)
    leaderboard.write(stored, results)
    sys.stderr.writelines(f"left out of the leaderboard: {visible(line)}\n" for line in left_out)
    return _verdict(scored, args)


def interrupted(args: argparse.Namespace) -> list[str]:
    """Return how to go on with what was typed, as far as it can be gone on with."""
    from fcbench.runs._place import place_of

    command = ["python", "-m", "fcbench", "run", *args.typed]
    if args.resume:
        return [f"go on with: {shlex.join(command)}"]
    places: list[tuple[Plan, Place]] = getattr(args, "places", [])
    waiting = [place for plan, place in places if place_of(plan).folder.path == place.folder.path]
    # An earlier run of the same name, perhaps a whole one, is not what was asked for.
    if len(waiting) == len(places):
        return [f"nothing is stored yet, begin again with: {shlex.join(command)}"]
    taken = [place.earlier.path for place in waiting if place.earlier is not None]
    return [
        *(f"{path} is older than this command, --resume takes it all the same" for path in taken),
        f"go on with: {shlex.join([*command, '--resume'])}",
    ]


def _runs(args: argparse.Namespace) -> Iterator[Run]:
    """Yield a run for each combination; a model is loaded once for all of its runs."""
    from fcbench.backends import check_model
    from fcbench.executors import open_model
    from fcbench.runs import check_resume, execute, make_folder
    from fcbench.runs._place import place_of

    # What can be known to be wrong is found before the first model loads, not hours later.
    plans = {model: list(_plans(args, model)) for model in args.model}
    args.places = [(plan, place_of(plan)) for of_model in plans.values() for plan in of_model]
    for model, of_model in plans.items():
        for plan in of_model:
            check_resume(plan)
        for options in dict.fromkeys(plan.model_options for plan in of_model):
            check_model(model, options)
    make_folder(Path(args.results))
    for model, of_model in plans.items():
        backend = open_model(model, of_model[0].model_options, of_model[0].where)
        for plan in of_model:
            yield execute(plan, backend, finishes=True)
        del backend  # its workers make room for those of the next


def _plans(args: argparse.Namespace, model: str) -> Iterator[Plan]:
    from fcbench.errors import UsageError
    from fcbench.runs import plan

    if args.prompt_file and args.prompt:
        raise UsageError("--prompt and --prompt-file both say how to ask", hint="use one of them")
    prompts = ["file"] if args.prompt_file else (args.prompt or "chat").split(",")
    if args.few_shot and any("+" in prompt for prompt in prompts):
        raise UsageError("--few-shot and MODE+K both say how many examples", hint="use one of them")
    for suite in args.suite or ["mobile_actions"]:
        for prompt in prompts:
            yield plan(
                model, suite, prompt, args.adapter, args.decode, args.results,
                dtype=args.dtype, allow_float16=args.allow_float16,
                trust_remote_code=args.trust_remote_code, batch_size=args.batch_size,
                prefix_memory=_bytes(args.prefix_memory), max_new_tokens=args.max_new_tokens,
                temperature=args.temperature, repeats=args.repeats,
                few_shot=args.few_shot, prompt_file=args.prompt_file, limit=args.limit,
                sample=args.sample,
                tags=tuple(tag for tag in args.tags.split(",") if tag), seed=args.seed,
                format=args.format, timeout_seconds=args.timeout, retries=args.retries,
                executor=args.executor, workers=args.workers, ray_address=args.ray_address,
                cpus_per_worker=args.cpus_per_worker, gpus_per_worker=args.gpus_per_worker,
                resume=args.resume, progress=True,
            )  # fmt: skip


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * 1e9)


def _verdict(scored: list[Scores], args: argparse.Namespace) -> int:
    """Say on stderr what went wrong and return the exit code."""
    n_errors = sum(scores.n_errors for scores in scored)
    missed = [
        f"{scores.label}: {line}"
        for scores in scored
        for line in scores.missed(dict(args.fail_under), args.interval)
    ]
    for line in missed:
        sys.stderr.write(f"missed: {visible(line)}\n")
    if n_errors:
        _, where = next(s.tallies.first_error for s in scored if s.tallies.first_error is not None)
        sys.stderr.write(f"{n_errors} samples are errors, the first in {visible(where)}\n")
        sys.stderr.write("the same command with --resume asks for them again\n")
        return ERRORS
    return MISSED if missed else OK
