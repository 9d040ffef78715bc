"""A run that is killed at any moment goes on to the samples of one that nobody interrupted.

Fifty moments, drawn anew each time: 47 of a stand-in model that sleeps, here, and three of a real
one with `make test-model`. A failure says its seed: FCBENCH_KILL_SEED draws the same moments again.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runs import killing

N_STAND_IN, N_REAL = 47, 3
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def seed():
    said = os.environ.get("FCBENCH_KILL_SEED")
    return int(said) if said else random.SystemRandom().randrange(10**6)


def test_a_run_killed_at_47_random_moments_resumes_to_the_same_samples(tmp_path, seed):
    done = subprocess.run(
        [sys.executable, "-m", "tests.runs.killing", tmp_path, str(N_STAND_IN), str(seed)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, (seed, done.stderr)
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(kills) == N_STAND_IN
    wrong = [kill for kill in kills if kill["resumed"] or kill["differs"]]
    assert not wrong, (seed, wrong[:3])
    # They did meet the run in the middle, and at different places.
    between = [kill["n_stored"] for kill in kills if 0 < kill["n_stored"] < killing.N_CASES]
    assert len(between) > N_STAND_IN // 3, (seed, kills)
    assert len(set(between)) > N_STAND_IN // 5, (seed, kills)


def test_a_resumed_run_that_differs_is_seen(tmp_path):
    for name, text in (("whole", "a"), ("killed", "b")):
        (tmp_path / name).mkdir()
        for file in ("prompts.jsonl", "run.json"):
            (tmp_path / name / file).write_text("{}\n")
        line = json.dumps({"case_id": "1", "text": text, "seconds": 0.5})
        (tmp_path / name / "samples.jsonl").write_text(f"{line}\n")
    assert killing.differing(tmp_path / "killed", tmp_path / "whole") == ["samples.jsonl"]
    log = tmp_path / "killed" / "samples.jsonl"
    log.write_text(log.read_text().replace("b", "a").replace("0.5", "7.25e-05"))
    assert killing.differing(tmp_path / "killed", tmp_path / "whole") == []
    log.write_text(log.read_text() * 2)
    assert killing.differing(tmp_path / "killed", tmp_path / "whole") == ["samples.jsonl"]


@pytest.mark.model
def test_a_run_of_the_real_model_killed_at_three_random_moments_resumes_too(tmp_path, seed):
    # In float32: in bfloat16 the company in which a sequence is answered may change a token.
    command = [
        sys.executable, "-m", "fcbench", "run", "--model", "gemma3-270m", "--dtype", "float32",
        "--suite", "mobile_actions", "--limit", "9", "--batch-size", "3", "--max-new-tokens", "16",
        "--resume", "--results",
    ]  # fmt: skip
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    subprocess.run([*command, "whole"], check=True, **silent)
    (whole,) = (tmp_path / "whole").glob("*/samples.jsonl")
    draw, n_killed, n_between = random.Random(seed), 0, 0
    while n_killed < N_REAL:
        folder = tmp_path / f"killed-{draw.random()}" / whole.parent.name
        log, n_bytes = folder / "samples.jsonl", draw.randrange(int(whole.stat().st_size * 0.8))
        process = subprocess.Popen([*command, folder.parent.name], **silent)
        while process.poll() is None and not (log.exists() and log.stat().st_size > n_bytes):
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            continue  # it ended before
        n_killed += 1
        n_between += 0 < len(killing.lines_of(folder)) < 9
        subprocess.run([*command, folder.parent.name], check=True, **silent)
        assert killing.differing(folder, whole.parent) == [], (seed, n_bytes)
    assert n_between
