"""python -m fcbench run --dry-run."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import TYPE_CHECKING

from fcbench.cli import OK
from fcbench.text import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from fcbench.runs import Forecast, Plan, Preview
    from fcbench.types import Json

MINUTE, HOUR = 60, 3600
SMALLEST_DIFFERENCE = 1.1
"""Above it the estimate has two ends."""


def dry_run(plans: Sequence[Plan], args: argparse.Namespace) -> int:
    """Print what would be done, and do nothing."""
    from fcbench.backends import outline_model
    from fcbench.runs import preview

    outlines = {}  # of several prompts one model is asked once
    previews = []
    for plan in plans:
        key = plan.model, plan.model_options
        if key not in outlines:
            outlines[key] = outline_model(*key)
        previews.append(preview(plan, outlines[key]))
    sys.stdout.write(_as_json(previews) if args.json else _as_text(previews, args.results))
    return OK


def _as_text(previews: Sequence[Preview], results: str) -> str:
    parts = [f"{_prompt(preview)}\n\n{_plan(preview, results)}" for preview in previews]
    parts.append(f"{_total(previews)}Nothing was run: leave out --dry-run.")
    return "\n\n".join(parts) + "\n"


def _prompt(preview: Preview) -> str:
    """Return the first prompt, line by line, in which all that cannot be seen is escaped."""
    request, tokens = preview.first, preview.tokens
    n_tokens = "tokens not known: " if tokens.n is None else f"{tokens.n} tokens by "
    kind = "messages and tools, as JSON" if request.native else "text"
    head = f"the first prompt: case {request.case.id} of {preview.plan.suite.name}, {kind}, "
    body = as_sent(request.prompt)
    return "\n".join([f"{visible(head)}{n_tokens}{visible(tokens.counted_by)}", "", *body])


def as_sent(prompt: str) -> list[str]:
    r"""Return a prompt's lines, in which all that cannot be seen is escaped, as is a last newline.

    >>> as_sent("Show me\tOslo.\n")
    ['  Show me\\tOslo.\\n']
    """
    ending = "\\n" if prompt.endswith("\n") else ""
    lines = prompt.removesuffix("\n").split("\n")
    return [f"  {visible(line)}" for line in lines[:-1]] + [f"  {visible(lines[-1])}{ending}"]


def _plan(preview: Preview, results: str) -> str:
    plan = preview.plan
    few = f", {plan.few_shot} examples" if plan.few_shot else ""
    rows = {
        "model": plan.model + (f" + {plan.adapter}" if plan.adapter else ""),
        "prompt": f"{plan.prompt_file or plan.prompt}{few}, calls in {plan.format}",
        "cases": _cases(plan),
        "decoding": _decoding(plan),
        "computed": _computed(plan),
        "stored in": _stored(preview),
        "time": _time(preview, results),
    }
    return "\n".join(
        textwrap.fill(
            visible(said), 100, initial_indent=f"  {name:<11}", subsequent_indent=" " * 13,
            break_on_hyphens=False, break_long_words=False,
        )
        for name, said in rows.items()
    )  # fmt: skip


def _cases(plan: Plan) -> str:
    n, n_all = len(plan.cases), len(plan.suite.cases)
    chosen = [f"with the tag {' or '.join(plan.tags)}"] if plan.tags else []
    if plan.limit is not None:
        chosen.append("the first")
    if plan.sample is not None:
        chosen.append(f"drawn by seed {plan.seed}")
    how = f" ({', '.join(chosen)})" if chosen else ""
    repeats = f", each {plan.repeats} times" if plan.repeats > 1 else ""
    return f"{n} of the {n_all} of {plan.suite.name}{how}{repeats}"


def _computed(plan: Plan) -> str:
    where = plan.where
    if where.workers is None:
        return "in this process"
    gpus = f", {where.gpus_per_worker:g} GPUs" if where.gpus_per_worker else ""
    there = f"the cluster at {where.cluster}" if where.cluster else "this machine"
    return (
        f"by {where.workers} workers of {where.cpus} CPUs{gpus} each, {where.executor} on {there}"
    )


def _decoding(plan: Plan) -> str:
    warmth = f", temperature {plan.temperature:g}, seed {plan.seed}" if plan.temperature else ""
    return f"{plan.decode}{warmth}, at most {plan.max_new_tokens} tokens"


def _stored(preview: Preview) -> str:
    folder, earlier = preview.folder, preview.earlier
    if preview.goes_on:
        failed = f", {preview.n_errors} errors are asked again" if preview.n_errors else ""
        done = f"{preview.n_answered} of {preview.n_answers} are answered{failed}"
        return f"{folder}, which goes on: {done}"
    if earlier is not None:
        return f"{folder}, a new run ({earlier} stays; --resume goes on with it)"
    return f"{folder}, a new run" + (" (none to resume)" if preview.plan.resume else "")


def _time(preview: Preview, results: str) -> str:
    found = preview.forecast
    n_left = preview.n_answers - preview.n_answered
    if not n_left:
        return "none: all is answered"
    if found is None:
        return (
            f"not known: {results} holds no run of this model and prompt that says its seconds; "
            f"--limit {min(5, n_left)} makes one"
        )
    unlike = f"; it was another: {', '.join(found.differences)}" if found.differences else ""
    return (
        f"about {_span(found)} for {n_left} answers, loading not counted: "
        f"{found.seconds_per_answer:.2g} s each of {found.n_answers} in {found.basis}{unlike}"
    )


def _span(found: Forecast) -> str:
    if found.most_seconds < SMALLEST_DIFFERENCE * found.seconds:
        return duration(found.seconds)
    return f"{duration(found.seconds)}, at most {duration(found.most_seconds)}"


def _total(previews: Sequence[Preview]) -> str:
    known = [preview.forecast for preview in previews if preview.forecast is not None]
    if len(previews) == 1 or not known:
        return ""
    unknown = len(previews) - len(known)
    rest = f" and {unknown} of which it is not known" if unknown else ""
    whole = duration(sum(found.seconds for found in known))
    return f"All together: about {whole} for {len(known)} runs{rest}.\n"


def duration(seconds: float) -> str:
    """Return a time in words, no more exactly than an estimate is.

    >>> [duration(seconds) for seconds in (0.2, 42, 300, 7500)]
    ['1 s', '42 s', '5 min', '2 h 5 min']
    """
    if seconds < 2 * MINUTE:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / MINUTE)
    if seconds < HOUR:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _as_json(previews: Sequence[Preview]) -> str:
    return json.dumps([_plain(preview) for preview in previews], indent=2) + "\n"


def _plain(preview: Preview) -> dict[str, Json]:
    import msgspec

    plan = preview.plan
    return {
        "model": plan.model,
        "adapter": plan.adapter,
        "prompt": plan.prompt_file or plan.prompt,
        "few_shot": plan.few_shot,
        "format": plan.format,
        "suite": plan.suite.name,
        "suite_sha256": plan.suite.sha256,
        "n_cases": len(plan.cases),
        "limit": plan.limit,
        "sample": plan.sample,
        "tags": list(plan.tags),
        "repeats": plan.repeats,
        "seed": plan.seed,
        "decode": plan.decode,
        "temperature": plan.temperature,
        "max_new_tokens": plan.max_new_tokens,
        "executor": plan.where.manifest,
        "first_prompt": {
            "case_id": preview.first.case.id,
            "text": preview.first.prompt,
            "sha256": preview.first.prompt_sha256,
            "n_tokens": preview.tokens.n,
            "counted_by": preview.tokens.counted_by,
        },
        "folder": preview.folder,
        "goes_on": preview.goes_on,
        "earlier": preview.earlier,
        "n_answers": preview.n_answers,
        "n_answered": preview.n_answered,
        "n_errors": preview.n_errors,
        "forecast": None if preview.forecast is None else msgspec.to_builtins(preview.forecast),
    }
