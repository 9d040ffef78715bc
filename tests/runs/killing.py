"""Runs of a slow stand-in model that are killed at random moments, resumed, and looked at.

    python -m tests.runs.killing FOLDER N SEED

It prints a JSON line for each kill. fcbench is imported once and every run is a fork of this
process, so that N runs take no more than their own time; a process of its own, because pytest's has
threads, which no fork survives.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fcbench.cli import main as fcbench_main
from fcbench.runs import _manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

N_CASES = 48
N_AT_ONCE = 6
BATCH_SIZE = 2
ANSWER_SECONDS = 2.0
"""What the answers of a run take in all, when it is one to be killed."""
RUN = "cases--python-stand_in-slow--chat"
"""What the run's folder is called."""

STAND_IN = '''
"""A model whose answers depend on the prompt alone."""
import hashlib, os, time

def slow(prompts):
    time.sleep(float(os.environ.get("STAND_IN_SECONDS", "0")))
    return [answer(hashlib.sha256(prompt.encode()).hexdigest()) for prompt in prompts]

def answer(drawn):
    if drawn < "2":
        return f"Nothing \\ud83d to\\x00 call:\\n{drawn} 漢\\u2028"
    return f"<start_function_call>call:f{{h:<escape>{drawn * (int(drawn[0], 16) + 1)}<escape>}}<end_function_call>"
'''


class Killed(NamedTuple):
    """One kill: `after` says when, `n_stored` how many whole lines the log had then."""

    after: str
    n_stored: int
    is_torn: bool
    resumed: int
    """The exit code of the run that went on."""
    differs: list[str]
    """Files that are not those of the run which nobody interrupted."""


def lines_of(folder: Path) -> list[bytes]:
    """Return the lines of a run's log, sorted, without their timing."""
    lines = (folder / "samples.jsonl").read_bytes().splitlines(keepends=True)
    return sorted(re.sub(rb'"seconds": [^,}]+', b'"seconds": 0', line) for line in lines)


def differing(folder: Path, whole: Path) -> list[str]:
    """Return the names of the files of two runs that differ, timing and order apart."""
    names = []
    if lines_of(folder) != lines_of(whole):
        names.append("samples.jsonl")
    if (folder / "prompts.jsonl").read_bytes() != (whole / "prompts.jsonl").read_bytes():
        names.append("prompts.jsonl")
    manifests = [json.loads((f / "run.json").read_bytes()) for f in (folder, whole)]
    if len({json.dumps({**m, "started_at": ""}) for m in manifests}) > 1:
        names.append("run.json")
    return names


def prepare(folder: Path) -> None:
    """Write the suite and the model, and go where they are."""
    tool = {"name": "f", "parameters": {"properties": {"h": {"type": "string"}}}}
    rows = [
        {
            "id": f"case {i}",
            "messages": [{"role": "user", "content": f"Call f for {i}."}],
            "tools": [tool],
            "expected": [[{"name": "f", "arguments": {"h": str(i)}}]],
        }
        for i in range(N_CASES)
    ]
    (folder / "cases.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "stand_in.py").write_text(STAND_IN, encoding="utf-8")
    os.chdir(folder)


def start(results: str, answer_seconds: float) -> int:
    """Begin a run, or go on with it, and return the id of its process."""
    pid = os.fork()
    if pid:
        return pid
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os.environ["STAND_IN_SECONDS"] = str(answer_seconds * BATCH_SIZE / N_CASES)
        asked = "run --resume --model python:stand_in:slow --suite cases.jsonl --batch-size"
        os._exit(fcbench_main([*asked.split(), str(BATCH_SIZE), "--results", results]))
    finally:
        os._exit(99)


def wait(pid: int) -> int:
    """Return the exit code of a process, negative for a signal's."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(number: int, draw: random.Random, seconds: float, whole: Path) -> Killed:
    """Kill one run within `seconds` of its begin, let it go on, and compare it."""
    folder = Path(f"killed-{number}") / RUN
    log = folder / "samples.jsonl"
    pid, began = start(folder.parent.name, ANSWER_SECONDS), time.monotonic()
    if draw.random() < 0.5:
        moment = draw.uniform(0, seconds)
        after = f"{moment:.3f} s"
        time.sleep(moment)
    else:
        n_bytes = draw.randrange(int(whole.stat().st_size * 0.9))
        after = f"{n_bytes} bytes"
        # As soon as a write has reached the file.
        while not (log.exists() and log.stat().st_size > n_bytes):
            time.sleep(0.0002)
            if time.monotonic() - began > 60:
                break
    os.kill(pid, signal.SIGKILL)
    if wait(pid) != -signal.SIGKILL:
        # It ended before: nothing was killed, so another moment of another run is taken.
        return kill(number + 1000, draw, seconds, whole)
    stored = log.read_bytes() if log.exists() else b""
    resumed = wait(start(folder.parent.name, 0))
    differs = differing(folder, whole.parent) if resumed == 0 else ["all"]
    torn = not stored.endswith(b"\n") and stored != b""
    return Killed(after, stored.count(b"\n"), torn, resumed, differs)


def main() -> None:
    folder, n, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    prepare(folder)
    # What each manifest says; found out once, all forks have it. The imports are whole by then, so
    # that somebody who edits a file meanwhile makes no run another.
    _manifest._code_sha256()
    began = time.monotonic()
    if wait(start("whole", 0)):
        raise SystemExit("the run that nobody interrupts failed")
    seconds = ANSWER_SECONDS + 2 * (time.monotonic() - began)  # others run beside it then
    whole = Path("whole").resolve() / RUN / "samples.jsonl"
    for killed in _all(n, seed, seconds, whole):
        sys.stdout.write(json.dumps(killed._asdict()) + "\n")


def _all(n: int, seed: int, seconds: float, whole: Path) -> Iterator[Killed]:
    """Yield what came of each kill; some processes take the numbers in turn."""
    pipes = []
    for worker in range(N_AT_ONCE):
        read, write = os.pipe()
        if not (pid := os.fork()):
            try:
                with os.fdopen(write, "w") as file:
                    for number in range(worker, n, N_AT_ONCE):
                        draw = random.Random(f"{seed} {number}")
                        found = kill(number, draw, seconds, whole)
                        file.write(json.dumps(found) + "\n")
                os._exit(0)
            finally:
                os._exit(99)
        os.close(write)
        pipes.append((pid, read))
    for pid, read in pipes:
        with os.fdopen(read) as file:
            for line in file:
                yield Killed(*json.loads(line))
        if wait(pid):
            raise SystemExit("a worker failed")


if __name__ == "__main__":
    main()
