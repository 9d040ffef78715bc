"""What a run was: its manifest, and which parts of it two halves of one run have in common."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fcbench.errors import RunError
from fcbench.formats import grammar_sha256
from fcbench.packages import versions
from fcbench.runs._version import LOG_VERSION
from fcbench.types import Matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fcbench.prompts import Requests
    from fcbench.runs._folder import RunFolder
    from fcbench.runs._plan import Plan
    from fcbench.types import Json

PACKAGE = Path(__file__).parent.parent
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

# What must not change between the two halves of a run: see _is_free for what may all the same.
IDENTITY = ("suite", "matching", "format", "prompt", "decoding", "model", "seed", "batch_size")

# What every run was that began before its manifest said so.
UNSAID = {
    "matching": msgspec.json.decode(msgspec.json.encode(Matching())),
    "decoding": {"temperature": 0.0, "repeats": 1},
}


def manifest_of(plan: Plan, model: Mapping[str, Json], requests: Requests) -> dict[str, Json]:
    """Return what is needed to know what a run was, and to repeat it; `model` is its backend's."""
    return {
        "log_version": LOG_VERSION,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **known_of(plan),
        "prompt": {
            "mode": plan.prompt,
            "few_shot": plan.few_shot,
            "file": plan.prompt_file,
            "sha256": _digest(requests.sha256s()),
        },
        "model": dict(model),
        "computed": {
            "dtype": plan.dtype,
            "allow_float16": plan.allow_float16,
            "prefix_memory": plan.prefix_memory,
            "timeout_seconds": plan.timeout_seconds,
            "retries": plan.retries,
        },
        "executor": plan.where.manifest,
        "versions": {
            "python": platform.python_version(),
            **versions(RECORDED_PACKAGES),
            "fcbench_sha256": _code_sha256(),
        },
        "machine": _machine(),
    }


def known_of(plan: Plan) -> dict[str, Json]:
    """Return what a run's manifest says of its identity that is known before a model is loaded."""
    matching = plan.suite.matching
    known: dict[str, Json] = {
        "suite": {
            "name": plan.suite.name,
            "source": plan.suite.source,
            "sha256": plan.suite.sha256,
            "ordered": plan.suite.ordered,
            "n_cases": len(plan.cases),
            "limit": plan.limit,
            "sample": plan.sample,
            "tags": list(plan.tags),
        },
        "matching": {**msgspec.structs.asdict(matching), "normalise": list(matching.normalise)},
        "decoding": {
            "mode": plan.decode,
            "max_new_tokens": plan.max_new_tokens,
            "temperature": plan.temperature,
            "repeats": plan.repeats,
        },
        "seed": plan.seed,
        "batch_size": plan.batch_size,
    }
    if plan.format != "auto":  # which the model's chat template decides
        known["format"] = {"name": plan.format, "grammar_sha256": grammar_sha256(plan.format)}
    return known


@cache
def _code_sha256() -> str:
    """Return the hash of fcbench itself: many states of it have one version."""
    files = sorted(PACKAGE.rglob("*.py"))
    return _digest(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)


def _machine() -> dict[str, Json]:
    """Return what decides how numbers are rounded, as far as it is known."""
    found: dict[str, Json] = {
        "system": platform.system(),
        "architecture": platform.machine(),
        "n_cpus": os.cpu_count(),
    }
    # Only where the model itself has loaded it. The order of a sum depends on both.
    if (torch := sys.modules.get("torch")) is not None:
        found["n_threads"] = torch.get_num_threads()
        found["instructions"] = torch.backends.cpu.get_cpu_capability()
    return found


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def refuse_other_run(
    folder: RunFolder, manifest: Mapping[str, Json], fields: Sequence[str] = IDENTITY
) -> None:
    """Raise RunError unless the run in a folder is one of the same fields."""
    earlier, now = with_unsaid(folder.manifest()), as_stored(manifest)
    for field in fields:
        keys = _differing(earlier.get(field, {}), now[field])
        keys = [key for key in keys if not _is_free(field, key, earlier)]
        if keys:
            names = ", ".join(f"{field}.{key}" if key else field for key in keys)
            verb = "differs" if len(keys) == 1 else "differ"
            raise RunError(
                f"{folder.path}: is a run of another {field} ({names} {verb}), cannot resume it",
                hint="leave out --resume to begin a new run beside it, or name another --results; "
                "to go on with one that is older than it, move it away",
            )


def _is_free(field: str, key: str, earlier: Mapping[str, Json]) -> bool:
    """Whether something may be another in the second half of a run, because no answer hangs on it.

    Where the suite stands: its hash says what it is. The batch size, but for a model that rounds:
    in bfloat16 the company in which a sequence is answered may change a token (and a resumed run
    may so differ from a whole one).
    """
    if (field, key) == ("suite", "source"):
        return True
    model = earlier.get("model")  # of a manifest that says none, nothing is known
    is_exact = isinstance(model, dict) and model.get("dtype") in (None, "float32")
    return field == "batch_size" and is_exact


def as_stored(manifest: Mapping[str, Json]) -> dict[str, Json]:
    """Return a manifest as it is once it went through JSON, as every stored one did."""
    stored: dict[str, Json] = msgspec.json.decode(msgspec.json.encode(manifest))
    return stored


def with_unsaid(manifest: Mapping[str, Json]) -> dict[str, Json]:
    """Return a manifest with what it does not say, because its run began before that was said."""
    said = {field: manifest.get(field, {}) for field in UNSAID}
    filled = {f: {**UNSAID[f], **s} if isinstance(s, dict) else s for f, s in said.items()}
    return {**manifest, **filled}


def _differing(earlier: Json, now: Json) -> list[str]:
    if isinstance(earlier, dict) and isinstance(now, dict):
        return [key for key in sorted(earlier | now) if earlier.get(key) != now.get(key)]
    return [] if earlier == now else [""]
