"""How long a run may take: from a stored run of the same model and prompt."""

from __future__ import annotations

import os
import platform
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fcbench.errors import RunError
from fcbench.runs._folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fcbench.runs._plan import Plan
    from fcbench.types import Json, Sample


class Forecast(msgspec.Struct, frozen=True):
    """How long the answers of a run may take, loading its model not counted.

    It is `seconds`, and up to `most_seconds` if all answers that the stored run cut short went on
    to this run's limit of tokens. `basis` is that run's folder, `n_answers` and
    `seconds_per_answer` are what it tells, `differences` in what it is another run than this one.
    """

    seconds: float
    most_seconds: float
    seconds_per_answer: float
    n_answers: int
    basis: str
    differences: list[str]


def forecast(plan: Plan, n_answers: int) -> Forecast | None:
    """Return how long so many answers may take, None where no stored run tells.

    It is told by the stored run that is most like the plan: of the same model, adapter and prompt,
    with the fewest differences, and of several the newest.
    """
    known = [
        ((-len(_differences(manifest, plan)), str(manifest["started_at"])), folder)
        for folder, manifest in _stored(plan)
        if any(sample.seconds is not None for sample in folder.samples())
    ]
    if not known:
        return None
    _, folder = max(known, key=lambda found: found[0])
    manifest = folder.manifest()
    was, limit = manifest["decoding"]["max_new_tokens"], plan.max_new_tokens
    n_timed, each, most = 0, 0.0, 0.0
    for sample in folder.samples():  # not kept: there may be a million
        if sample.seconds is not None:
            n_timed += 1
            seconds = _shortened(sample, limit)
            each += seconds
            most += seconds * _longer(sample, was, limit)
    each, most = each / n_timed, most / n_timed
    return Forecast(
        seconds=each * n_answers / (plan.workers or 1),
        most_seconds=most * n_answers / (plan.workers or 1),
        seconds_per_answer=each,
        n_answers=n_timed,
        basis=str(folder.path),
        differences=_differences(manifest, plan),
    )


def _stored(plan: Plan) -> Iterator[tuple[RunFolder, Mapping[str, Json]]]:
    """Yield the stored runs of a plan's model, adapter and prompt."""
    for path in sorted(Path(plan.results or "").glob("*/run.json")):
        folder = RunFolder(path.parent)
        try:
            manifest = folder.manifest()
            if _is_alike(manifest, plan):
                deque(folder.samples(), maxlen=0)
                yield folder, manifest
        except (RunError, KeyError, TypeError, AttributeError):
            continue  # no run, or a broken one: nobody has asked for it


def _is_alike(manifest: Mapping[str, Json], plan: Plan) -> bool:
    model, prompt = manifest["model"], manifest["prompt"]
    adapter = model.get("adapter")
    return (
        model["name"] == plan.model
        and (adapter and adapter["name"]) == plan.adapter
        and plan.dtype in ("auto", model.get("dtype"))
        and prompt["file"] == plan.prompt_file
        and (plan.prompt_file is not None or prompt["mode"] == plan.prompt)
        and prompt["few_shot"] == plan.few_shot
        and isinstance(manifest["started_at"], str)
        and isinstance(manifest["decoding"]["max_new_tokens"], int)
        and isinstance(manifest["suite"]["sha256"], str)
    )


def _differences(manifest: Mapping[str, Json], plan: Plan) -> list[str]:
    """Return in what a stored run is another than the planned one, as far as it takes time."""
    decoding, machine = manifest["decoding"], manifest.get("machine") or {}
    found = []
    if manifest["suite"]["sha256"] != plan.suite.sha256:
        found.append(f"over {manifest['suite']['name']}")
    if decoding.get("mode") != plan.decode:
        found.append(f"decoded {decoding.get('mode')}")
    if decoding["max_new_tokens"] != plan.max_new_tokens:
        found.append(f"at most {decoding['max_new_tokens']} tokens")
    if manifest.get("batch_size") != plan.batch_size:
        found.append(f"batch size {manifest.get('batch_size') or 'as fits'}")
    then = manifest.get("executor") or {}
    if (then.get("name", "local"), then.get("workers", 1)) != (plan.executor, plan.workers or 1):
        found.append(
            f"on {then['workers']} workers" if then.get("workers", 1) > 1 else "in one process"
        )
    here = (platform.system(), platform.machine(), os.cpu_count())
    if (machine.get("system"), machine.get("architecture"), machine.get("n_cpus")) != here:
        found.append("on another machine")
    return found


def _shortened(sample: Sample, limit: int) -> float:
    """Return the seconds of an answer, were it cut at a limit."""
    seconds, n_tokens = sample.seconds or 0.0, sample.output_tokens or 0
    return seconds * min(1.0, limit / n_tokens) if n_tokens else seconds


def _longer(sample: Sample, was: int, limit: int) -> float:
    """Return how much longer an answer takes that goes on to a limit, where one cut it short."""
    return max(1.0, limit / was) if sample.stop == "limit" else 1.0
