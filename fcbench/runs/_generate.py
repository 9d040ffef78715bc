"""Answer the cases of a plan, batch by batch, and keep every answer."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench import prompts
from fcbench.backends import open_model
from fcbench.errors import BackendError, RunError
from fcbench.formats import detect_format, grammar_sha256, module_of
from fcbench.runs._folder import RunFolder
from fcbench.types import Decoding, Matching, Run, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fcbench.runs._plan import Plan
    from fcbench.types import Backend, Case, Json, Request

AUTO, FALLBACK = "auto", "functiongemma"
BLOCK_SECONDS = 0.5
"""A kill costs no more than the answers of so long; each block is flushed to the disk."""
log = logging.getLogger("fcbench")

RECORDED_PACKAGES = (
    "fcbench",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "lark",
    "llguidance",
    "msgspec",
    "numpy",
)

# What must not change between the two halves of a run. (The batch size changes what bfloat16
# computes. So does the company in which a sequence is answered: in bfloat16 a resumed run may
# differ from a whole one where two tokens are almost equally likely.)
IDENTITY = ("suite", "matching", "format", "prompt", "decoding", "model", "seed", "batch_size")

# What every run was that began before its manifest said so.
UNSAID = {
    "matching": msgspec.json.decode(msgspec.json.encode(Matching())),
    "decoding": {"temperature": 0.0, "repeats": 1},
}


def execute(plan: Plan, backend: Backend | None = None) -> Run:
    """Carry out a plan; `backend` is its model if that is already loaded."""
    backend = backend or open_model(plan.model, plan.model_options)
    plan = _with_format(plan, backend)
    requests = _requests(plan, backend)
    _warn_of_untold_tools(plan, requests)
    manifest = manifest_of(plan, backend, requests)
    folder = None if plan.results is None else _open_folder(plan, manifest, requests)
    samples = [] if folder is None else folder.samples()
    stops = module_of(plan.format).STOP_TOKENS
    decoding = Decoding(
        plan.decode, plan.max_new_tokens, stops, plan.format, plan.temperature, plan.seed
    )
    done = {(s.case_id, s.repeat) for s in samples if s.error is None}
    backend.has_answered = backend.has_answered or bool(done)
    missing = [r for r in requests if (r.case.id, r.repeat) not in done]
    with _progress(plan, len(requests)) as bar:
        bar.update(len(requests) - len(missing))
        for fresh in _in_blocks(_answers(backend, missing, decoding)):
            if folder is not None:
                folder.append(fresh)
            samples += fresh
            bar.update(len(fresh))
    samples = latest(samples, plan.cases)
    return Run(manifest, plan.cases, samples, None if folder is None else str(folder.path))


def _with_format(plan: Plan, backend: Backend) -> Plan:
    """Return the plan with the format that "auto" stands for: what the chat template writes."""
    if plan.format != AUTO:
        return plan
    found = None if backend.template is None else detect_format(backend.template.source)
    if found is None:
        log.info("%s: its chat template writes no known format, %s it is", plan.model, FALLBACK)
    else:
        log.info("%s: its chat template writes the format %s", plan.model, found)
    return msgspec.structs.replace(plan, format=found or FALLBACK)


def _answers(backend: Backend, requests: Sequence[Request], decoding: Decoding) -> Iterator[Sample]:
    """Yield a sample for each request, whatever the backend fails at."""
    unanswered = {(r.case.id, r.repeat): r for r in requests}
    try:
        for sample in backend.answer(requests, decoding):
            del unanswered[sample.case_id, sample.repeat]
            yield sample
    except BackendError as error:
        for r in unanswered.values():
            yield Sample(r.case.id, r.repeat, prompt_sha256=r.prompt_sha256, error=str(error))


def _in_blocks(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    """Yield what arrives within BLOCK_SECONDS together; on an error, what had arrived before it."""
    block: list[Sample] = []
    began = time.monotonic()
    try:
        for sample in samples:
            block.append(sample)
            if time.monotonic() - began > BLOCK_SECONDS:
                yield block
                block, began = [], time.monotonic()
    except GeneratorExit:
        raise
    except BaseException:  # an interruption too: what was answered must be kept
        if block:
            yield block
        raise
    if block:
        yield block


def latest(samples: Sequence[Sample], cases: Sequence[Case]) -> list[Sample]:
    """Return the last sample of each case and repeat, since a resumed run draws its errors again.

    They are in the order of the cases, whatever order they were answered in.
    """
    place = {case.id: i for i, case in enumerate(cases)}
    found = {(sample.case_id, sample.repeat): sample for sample in samples}
    return sorted(found.values(), key=lambda s: (place.get(s.case_id, len(place)), s.repeat))


def _requests(plan: Plan, backend: Backend) -> list[Request]:
    examples = []
    if plan.few_shot:
        training = plan.suite.training_cases()
        examples = prompts.few_shot(training, plan.suite.cases, plan.few_shot, plan.seed)
    style = prompts.Style(plan.format, backend.template, backend.bos, plan.prompt_file)
    return prompts.requests(plan.cases, plan.prompt, style, examples, plan.repeats)


def _warn_of_untold_tools(plan: Plan, requests: Sequence[Request]) -> None:
    """Warn of a chat template that takes no tools and says nothing, as many do."""
    if plan.prompt != "chat" or plan.prompt_file is not None:
        return
    asked = next((r for r in requests if r.case.tools), None)
    if asked is not None and not any(tool.name in asked.prompt for tool in asked.case.tools):
        log.warning(
            "%s: its chat template writes no tools, so that the model is told of none; "
            "--prompt raw tells it",
            plan.model,
        )


def manifest_of(plan: Plan, backend: Backend, requests: Sequence[Request]) -> dict[str, Json]:
    """Return what is needed to know what a run was, and to repeat it."""
    matching = plan.suite.matching
    return {
        "log_version": 1,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "suite": {
            "name": plan.suite.name,
            "source": plan.suite.source,
            "sha256": plan.suite.sha256,
            "ordered": plan.suite.ordered,
            "n_cases": len(plan.cases),
            "limit": plan.limit,
            "tags": list(plan.tags),
        },
        "matching": {**msgspec.structs.asdict(matching), "normalise": list(matching.normalise)},
        "format": {"name": plan.format, "grammar_sha256": grammar_sha256(plan.format)},
        "prompt": {
            "mode": plan.prompt,
            "few_shot": plan.few_shot,
            "file": plan.prompt_file,
            "sha256": _digest(r.prompt_sha256 for r in requests if r.repeat == 0),
        },
        "decoding": {
            "mode": plan.decode,
            "max_new_tokens": plan.max_new_tokens,
            "temperature": plan.temperature,
            "repeats": plan.repeats,
        },
        "model": dict(backend.manifest),
        "seed": plan.seed,
        "batch_size": plan.batch_size,
        "versions": {"python": platform.python_version(), **versions(RECORDED_PACKAGES)},
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "n_cpus": os.cpu_count(),
        },
    }


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _open_folder(
    plan: Plan, manifest: Mapping[str, Json], requests: Sequence[Request]
) -> RunFolder:
    """Return the folder to write to: an earlier run's to go on with, or a new one."""
    root = Path(plan.results or "")
    earlier, number = None, 1
    folder = RunFolder(root / plan.name)
    while folder.exists():
        earlier, number = folder, number + 1
        folder = RunFolder(root / f"{plan.name}-{number}")
    if plan.resume and earlier is not None:  # the newest one
        earlier.set_torn_line_aside()
        if any(sample.error is None for sample in earlier.samples()):
            _refuse_other_run(earlier, manifest)
        else:
            # Nothing was answered, so nothing can be mixed: of a server that was not there, little
            # was known, and even the prompts may be others now.
            earlier.create(manifest, requests)
        return earlier
    folder.create(manifest, requests)
    return folder


def _refuse_other_run(folder: RunFolder, manifest: Mapping[str, Json]) -> None:
    earlier = folder.manifest()
    # Through JSON, because that is what the earlier one went through.
    now = msgspec.json.decode(msgspec.json.encode(manifest))
    for field in IDENTITY:
        for key in _differing(_said(earlier, field), now[field]):
            name = f"{field}.{key}" if key else field
            raise RunError(
                f"{folder.path}: is a run of another {field} ({name} differs), cannot resume it",
                hint="leave out --resume to begin a new run beside it, or name another --results",
            )


def _said(manifest: Mapping[str, Json], field: str) -> Json:
    said = manifest.get(field, {})
    return {**UNSAID[field], **said} if field in UNSAID and isinstance(said, dict) else said


def _differing(earlier: Json, now: Json) -> list[str]:
    if isinstance(earlier, dict) and isinstance(now, dict):
        return [key for key in sorted(earlier | now) if earlier.get(key) != now.get(key)]
    return [] if earlier == now else [""]


def _progress(plan: Plan, total: int) -> Any:
    from tqdm import tqdm

    label = f"{plan.model} {plan.prompt} {plan.suite.name}"
    return tqdm(total=total, desc=label, unit="sample", disable=not plan.progress)
