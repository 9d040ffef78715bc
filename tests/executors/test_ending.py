"""However a run with workers is ended, nothing of it goes on."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc"),
]

STAND_INS = Path(__file__).with_name("stand_ins.py")
SECONDS = 240
"""Beginning a cluster takes a busy machine a minute."""


@pytest.fixture
def ray_folder():
    """Where a cluster of this test alone keeps its sockets, whose paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="r"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder):
    """The processes whose command names a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def n_stored(results):
    return sum(path.read_bytes().count(b"\n") for path in results.glob("*/samples.jsonl"))


def wait_for(condition, what):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGKILL"])
def test_a_run_that_is_ended_leaves_no_worker_and_is_gone_on_with(
    how, tmp_path, ray_folder, write_lines, case_row
):
    shutil.copy(STAND_INS, tmp_path)
    suite = write_lines(
        *(
            case_row(id=f"c{i}", messages=[{"role": "user", "content": f"c{i}?"}])
            for i in range(3000)
        )
    )
    command = [sys.executable, "-m", "fcbench", "run", "--model", "python:stand_ins:slow"]
    command += ["--suite", str(suite), "--resume", "--batch-size", "1", "--json"]
    ray = ["--executor", "ray", "--workers", "2", "--cpus-per-worker", "1"]
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2]), "RAY_TMPDIR": str(ray_folder),
    }  # fmt: skip
    log = tmp_path / "asked.log"
    results = tmp_path / "results"
    with subprocess.Popen(
        command + ray, cwd=tmp_path, env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        wait_for(lambda: n_stored(results) or running.poll() is not None, "begins")
        assert running.poll() is None, running.stderr.read()
        assert processes_of(ray_folder)
        if how == "Ctrl-C":
            os.killpg(running.pid, signal.SIGINT)  # as a terminal does it
        else:
            running.kill()
        out, err = running.communicate(timeout=SECONDS)
    assert running.returncode == (130 if how == "Ctrl-C" else -signal.SIGKILL), err
    assert out == ""
    wait_for(lambda: not processes_of(ray_folder), "the cluster ends")
    # A worker has another name while it works.
    pids = {line.split()[0] for line in log.read_text().splitlines()}
    wait_for(lambda: not any(Path("/proc", pid).exists() for pid in pids), "workers end")
    n_asked = len(log.read_text().splitlines())
    assert 0 < n_stored(results) <= n_asked < 3000
