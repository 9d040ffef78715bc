"""One contestant in one process, so that its peak memory and its threads are its own.

python -m tests.benchmarks.generation.worker JOB.json RESULT.json
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.generation import floor
from tests.benchmarks.generation.contestants import CONTESTANTS, Job
from tests.benchmarks.generation.prompts import warm_up_prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMEOUT_SECONDS = 3600
_SAID = 300


class Failed(Exception):
    """Why a contestant did not answer."""


# In the parent


def answered(contestant: str, job: Job, prompts: Sequence[str]) -> dict[str, Any]:
    """Return what a contestant made of the prompts, and in what time and memory.

    `texts` and `tokens` (per prompt, None where unknown), `seconds` (loading and warming up are
    not in it), `cases_per_second`, `peak_mib` of the process and `answering_mib` while it
    answered. Failed with what it said last if it could not.
    """
    return _apart({"contestant": contestant, "job": job._asdict(), "prompts": list(prompts)})


def measured_rates(model: str, dtype: str) -> dict[str, float]:
    """Return floor.rates, measured in a process of its own."""
    return _apart({"rates": {"model": model, "dtype": dtype}})


def _apart(job: dict[str, Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        asked, result = Path(folder) / "job.json", Path(folder) / "result.json"
        asked.write_text(json.dumps(job), encoding="utf-8")
        try:
            done = subprocess.run(
                [sys.executable, "-m", __name__, str(asked), str(result)],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"no answer within {_TIMEOUT_SECONDS} s") from error
        # What llama.cpp does as it is torn down, after the result, is nobody's concern.
        if not result.is_file():
            said = [line for line in done.stderr.splitlines() if line.strip()] or ["nothing"]
            raise Failed(f"exit code {done.returncode}: {said[-1][-_SAID:]}")
        return json.loads(result.read_text("utf-8"))


# In the process itself


def main() -> None:
    warnings.simplefilter("ignore")
    asked, result = map(Path, sys.argv[1:])
    job = json.loads(asked.read_text("utf-8"))
    if "rates" in job:
        rates = job["rates"]
        made: Any = floor.rates(floor.shapes_of(rates["model"]), rates["dtype"])
    else:
        made = _answer(job["contestant"], Job(**job["job"]), job["prompts"])
    result.write_text(json.dumps(made), encoding="utf-8")


def _answer(contestant: str, job: Job, prompts: Sequence[str]) -> dict[str, Any]:
    started = time.perf_counter()
    answer = CONTESTANTS[contestant].load(job)
    answer(warm_up_prompts())
    loading = time.perf_counter() - started
    _forget_peak()
    started = time.perf_counter()
    answers = answer(prompts)
    seconds = time.perf_counter() - started
    return {
        "texts": [answer.text for answer in answers],
        "tokens": [answer.n_tokens for answer in answers],
        "seconds": seconds,
        "cases_per_second": len(prompts) / seconds,
        "loading_seconds": loading,
        "answering_mib": _peak_since(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _forget_peak() -> None:
    """Let the kernel count the process's peak memory from now on, where it can."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def _peak_since() -> float | None:
    """Return the peak memory since it was forgotten, in MiB, where the kernel tells."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else None


if __name__ == "__main__":
    main()
