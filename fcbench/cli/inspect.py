"""python -m fcbench inspect."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fcbench.cli import OK

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from fcbench.backends import Outline
    from fcbench.suite import Suite
    from fcbench.types import Case, Json, Run, Verdict

EXAMPLES = (
    ("inspect map", "a case of a shipped suite, under every prompt mode"),
    (
        "inspect eval-0001 --suite mobile_actions --model ./my-model --prompt chat,raw+3",
        "as a model's own template writes it, and how many tokens that is",
    ),
    (
        "inspect eval-0001 --run results/RUN",
        "what a run asked and answered, with a caret, argument by argument",
    ),
)


class Shown(NamedTuple):
    """One prompt of a case: its mode, its text, and its tokens or why they are not known."""

    mode: str
    text: str
    n_tokens: int | None
    counted_by: str


class Answer(NamedTuple):
    """One answer of a run to the case, judged as the run was."""

    run: Run
    verdict: Verdict


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.description = (
        "Show one case: its tools and right answers, its prompt under every mode, and what runs "
        "answered, with the reason where that is wrong."
    )
    parser.add_argument("case", metavar="CASE", help="the id of a case")
    parser.add_argument(
        "--suite", help="where it is (default: the run's suite, or the shipped one that has it)"
    )
    parser.add_argument(
        "--prompt",
        metavar="MODE[,MODE…]",
        help="chat, raw, bare, native, raw+3 … (default: all modes; with --run what was sent)",
    )
    parser.add_argument(
        "--prompt-file", metavar="FILE", help="a Jinja file of your own as the prompt"
    )
    parser.add_argument(
        "--model", metavar="MODEL", help="whose template and tokenizer; no weights are loaded"
    )
    parser.add_argument(
        "--format",
        default="functiongemma",
        metavar="NAME",
        help="wire format of the right answers (default: functiongemma; with --run the run's)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="for the draw of examples (default: 0)"
    )
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="RUN",
        help="a run's folder, whose answers are shown; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    """Find the case and print it."""
    from fcbench.cli._case import as_text
    from fcbench.runs import read_run

    runs = [read_run(path) for path in args.run]
    if runs:
        args.format = runs[0].manifest["format"]["name"]
    suite, case = _find(args, runs)
    answers = [answer for run in runs for answer in _answers(run, case)]
    outline = _outline(args)
    prompts = list(_sent(answers)) if runs and not _says_how(args) else []
    prompts += [] if prompts else list(_prompts(args, suite, case, outline))
    if args.json:
        sys.stdout.write(_as_json(suite, case, prompts, answers))
    else:
        sys.stdout.write(as_text(suite, case, args.format, prompts, answers))
    return OK


def _says_how(args: argparse.Namespace) -> bool:
    return bool(args.prompt or args.prompt_file or args.model)


def _find(args: argparse.Namespace, runs: Sequence[Run]) -> tuple[Suite, Case]:
    """Return the case and its suite. UsageError that names near ones where there is none."""
    from fcbench.errors import UsageError
    from fcbench.suite import load_suite, suite_names

    if args.suite or runs:
        suites = [load_suite(args.suite or runs[0].manifest["suite"]["source"])]
    else:
        suites = [load_suite(name) for name in suite_names()]
    found = [(s, case) for s in suites for case in s.cases if case.id == args.case]
    if len(found) == 1:
        return found[0]
    where = suites[0].name if len(suites) == 1 else "the shipped suites"
    if not found:
        ids = [case.id for suite in suites for case in suite.cases]
        raise UsageError(f"no such case in {where}: {args.case}", hint=_near(args.case, ids))
    names = ", ".join(suite.name for suite, _ in found)
    raise UsageError(
        f"{args.case} is a case of several suites: {names}", hint=f"--suite {found[0][0].name}"
    )


def _near(name: str, ids: Iterable[str]) -> str | None:
    """Return a hint with ids like a name: those that hold it, or are spelt nearly so."""
    from fcbench.errors import nearest

    known = list(ids)
    holding = [each for each in known if name.casefold() in each.casefold()]
    return nearest(name, holding if 0 < len(holding) < len(known) else known, n=3)


def _outline(args: argparse.Namespace) -> Outline | None:
    """Return what is known of the model that is named, and take the format that it writes."""
    from fcbench.backends import ModelOptions, outline_model
    from fcbench.formats import detect_format

    outline = None if args.model is None else outline_model(args.model, ModelOptions())
    if args.format == "auto":
        source = outline and outline.template and outline.template.source
        args.format = (detect_format(source) if source else None) or "functiongemma"
    return outline


def _prompts(
    args: argparse.Namespace, suite: Suite, case: Case, outline: Outline | None
) -> Iterator[Shown]:
    """Yield the case under each mode that is asked for, all where none is."""
    from fcbench import prompts, registry
    from fcbench.backends import Outline
    from fcbench.runs import plan as plan_of
    from fcbench.runs import tokens_of

    modes = (args.prompt or ",".join(registry.names("prompts"))).split(",")
    known = outline or Outline(counted_by="name a --model")
    for mode in ["file"] if args.prompt_file else modes:
        plan = plan_of(
            args.model or "none", suite, mode, None, None, None,
            prompt_file=args.prompt_file, format=args.format, seed=args.seed,
        )  # fmt: skip
        examples = []
        if plan.few_shot:
            training = suite.training_cases()
            examples = prompts.few_shot(training, suite.cases, plan.few_shot, plan.seed)
        style = prompts.Style(args.format, known.template, known.bos, plan.prompt_file)
        (request,) = prompts.requests([case], plan.prompt, style, examples)
        tokens = tokens_of(request, known)
        shown = args.prompt_file or mode
        yield Shown(shown, request.prompt, tokens.n, tokens.counted_by)


def _answers(run: Run, case: Case) -> Iterator[Answer]:
    """Yield the verdict on each answer that a run has to the case, errors among them."""
    from fcbench.errors import RunError
    from fcbench.runs import score

    if case.id not in {each.id for each in run.cases}:
        raise RunError(
            f"{run.folder}: did not ask {case.id}", hint=_near(case.id, (c.id for c in run.cases))
        )
    samples = [sample for sample in run.samples if sample.case_id == case.id]
    alone = msgspec.structs.replace(run, cases=[case], samples=samples)
    for verdict in score(alone).verdicts:
        yield Answer(run, verdict)


def _sent(answers: Iterable[Answer]) -> Iterator[Shown]:
    """Yield each prompt that was stored with an answer, once."""
    from pathlib import Path

    from fcbench.runs import RunFolder

    seen = set()
    for run, verdict in answers:
        sample = verdict.sample
        text = RunFolder(Path(str(run.folder))).prompts().get(sample.prompt_sha256)
        if text is None or sample.prompt_sha256 in seen:
            continue
        seen.add(sample.prompt_sha256)
        prompt = run.manifest["prompt"]
        examples = f"+{prompt['few_shot']}" if prompt["few_shot"] else ""
        mode = f"{prompt['file'] or prompt['mode']}{examples}, as it was sent"
        yield Shown(mode, text, sample.prompt_tokens, "the model's own tokenizer")


def _as_json(suite: Suite, case: Case, prompts: Sequence[Shown], answers: Sequence[Answer]) -> str:
    plain: dict[str, Json] = {
        "suite": suite.name,
        "suite_sha256": suite.sha256,
        "case": msgspec.to_builtins(case),
        "prompts": [prompt._asdict() for prompt in prompts],
        "answers": [_plain(answer) for answer in answers],
    }
    # Escaped, because a model may write what has no UTF-8.
    return json.dumps(plain, indent=2) + "\n"


def _plain(answer: Answer) -> dict[str, Json]:
    from fcbench.runs import outcome_of, reason

    verdict = answer.verdict
    return {
        "run": answer.run.folder,
        "sample": msgspec.to_builtins(verdict.sample),
        "outcome": outcome_of(verdict),
        "is_right": verdict.is_right,
        "reason": None if verdict.is_right else reason(verdict),
        "failure": msgspec.to_builtins(verdict.parse.failure),
        "calls": msgspec.to_builtins(verdict.parse.calls),
        "pairs": msgspec.to_builtins(verdict.pairs),
    }
