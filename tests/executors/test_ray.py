"""Replicas on a Ray cluster of this machine, with two workers."""

import importlib
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

import fcbench
from fcbench.backends import ModelOptions
from fcbench.errors import ModelError, UsageError
from fcbench.executors import Where, open_model
from fcbench.runs import read_run
from fcbench.types import Case, Decoding, Request

pytest.importorskip("ray")

TWO = {"executor": "ray", "workers": 2, "cpus_per_worker": 1}
STAND_INS = Path(__file__).with_name("stand_ins.py")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One cluster for all, with room for two workers, which looks for models where it began."""
    from fcbench.executors._cluster import Cluster

    folder = tmp_path_factory.mktemp("models")
    shutil.copy(STAND_INS, folder)
    before = Path.cwd()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    found = Cluster(Where(executor="ray", workers=2, cpus_per_worker=1))
    yield folder
    found.close()
    sys.path.remove(str(folder))
    os.chdir(before)


@pytest.fixture
def here(cluster, tmp_path, monkeypatch):
    """A folder of the test's own, in which its workers stand, and the models that it can import."""
    shutil.copy(STAND_INS, tmp_path)
    monkeypatch.chdir(tmp_path)
    return importlib.import_module("stand_ins")


@pytest.fixture
def suite(write_lines, case_row):
    return write_lines(
        *(case_row(id=f"c{i}", messages=[{"role": "user", "content": f"c{i}?"}]) for i in range(60))
    )


def told(run):
    """What must be equal: samples by case, without their seconds."""
    return [msgspec.structs.replace(sample, seconds=None) for sample in run.samples]


def in_log(run):
    lines = (Path(run.folder) / "samples.jsonl").read_bytes().splitlines()
    return Counter(json.loads(line)["case_id"] for line in lines)


def is_alive(pid):
    """Whether a process is there and is no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_two_workers_give_the_samples_of_one_process(here, suite, tmp_path):
    alone = fcbench.run("python:stand_ins:answer", suite, results=tmp_path / "a")
    spread = fcbench.run("python:stand_ins:answer", suite, results=tmp_path / "b", **TWO)
    assert told(spread) == told(alone)
    assert len({sample.text for sample in spread.samples}) > 30
    assert set(in_log(spread).values()) == {1}
    assert told(read_run(spread.folder)) == told(alone)
    assert spread.manifest["executor"] == {
        "name": "ray", "workers": 2, "cpus_per_worker": 1, "gpus_per_worker": None,
    }  # fmt: skip
    for field in ("model", "prompt", "suite", "decoding", "batch_size", "seed"):
        assert spread.manifest[field] == alone.manifest[field]


@pytest.mark.ray
def test_both_workers_answer(here, suite):
    fcbench.run("python:stand_ins:slow", suite, batch_size=1, **TWO)
    pids = Counter(line.split()[0] for line in Path("asked.log").read_text().splitlines())
    assert len(pids) == 2
    assert str(os.getpid()) not in pids


def test_a_killed_worker_is_replaced_and_only_what_it_had_not_answered_is_asked_again(
    here, suite, tmp_path, caplog, capfd
):
    alone = fcbench.run("python:stand_ins:answer", suite)
    killed = fcbench.run(
        "python:stand_ins:falls_over", suite, batch_size=1, results=tmp_path / "killed", **TWO
    )
    assert Path("fallen").exists()
    assert told(killed) == told(alone)
    assert in_log(killed) == Counter(case.id for case in killed.cases)
    asked = Counter(line.split()[1] for line in Path("asked.log").read_text().splitlines())
    # What it was at, and what it had said since it last sent a block, which is a quarter second.
    assert 1 <= asked.total() - 60 <= 10
    assert "a worker was lost" in caplog.text
    assert capfd.readouterr().out == ""  # where --json is


@pytest.mark.ray
def test_a_prompt_that_ends_every_worker_is_an_error_and_all_others_are_answered(here, suite):
    run = fcbench.run("python:stand_ins:poisoned", suite, batch_size=1, **TWO)
    (failed,) = [sample for sample in run.samples if sample.error is not None]
    assert failed.case_id == "c7"
    assert failed.error.startswith("the worker was lost 3 times while it answered this")
    assert failed.text == ""
    assert len(run.samples) == 60


@pytest.mark.ray
def test_a_run_that_one_process_began_is_gone_on_with_by_workers(here, suite, tmp_path):
    whole = fcbench.run("python:stand_ins:slow", suite, results=tmp_path / "results")
    log = Path(whole.folder) / "samples.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:20]))
    Path("asked.log").unlink()
    again = fcbench.run(
        "python:stand_ins:slow", suite, results=tmp_path / "results", resume=True, **TWO
    )
    assert again.folder == whole.folder
    assert told(again) == told(whole)
    assert len(Path("asked.log").read_text().splitlines()) == 40


def test_a_model_that_cannot_load_is_the_error_that_it_is_without_workers(here, suite):
    model = "python:stand_ins:nothing"
    with pytest.raises(ModelError) as alone:
        fcbench.run(model, suite)
    with pytest.raises(ModelError) as spread:
        fcbench.run(model, suite, **TWO)
    assert str(spread.value) == str(alone.value)


@pytest.mark.ray
def test_a_model_whose_process_dies_while_it_loads_is_given_up(here, suite, tmp_path):
    (tmp_path / "deadly.py").write_text("import os\nos._exit(7)\n")
    with pytest.raises(ModelError, match="workers are lost as often as they are replaced"):
        fcbench.run("python:deadly:answer", suite, executor="ray", workers=1)


@pytest.mark.ray
def test_a_backend_of_ones_own_is_copied_to_workers(here, suite):
    alone, spread = fcbench.run(here.Own(), suite), fcbench.run(here.Own(), suite, **TWO)
    assert told(spread) == told(alone)
    assert spread.manifest["model"] == {"name": "own-well"}


@pytest.mark.ray
def test_a_function_of_a_script_is_copied_to_workers(here, suite):
    suffix = "!"
    spread = fcbench.run(lambda prompts: [p[-9:] + suffix for p in prompts], suite, **TWO)
    assert all(sample.text.endswith("!") for sample in spread.samples)


@pytest.mark.ray
def test_what_cannot_be_copied_is_refused(here, suite):
    import threading

    lock = threading.Lock()
    with pytest.raises(UsageError, match="cannot be copied to a worker"):
        fcbench.run(lambda prompts: [str(lock)], suite, **TWO)


@pytest.mark.ray
def test_a_backend_that_breaks_leaves_errors_as_it_does_without_workers(here, suite):
    run = fcbench.run(here.Own("breaks"), suite, **TWO)
    errors = {sample.error for sample in run.samples if sample.error is not None}
    assert errors == {"the server is gone"}
    assert 3 <= sum(sample.error is None for sample in run.samples) < 60
    assert len(run.samples) == 60


@pytest.mark.ray
def test_another_exception_ends_the_run_with_its_traceback(here, suite):
    with pytest.raises(ZeroDivisionError, match="in a user's code"):
        fcbench.run(here.Own("raises"), suite, **TWO)


@pytest.mark.ray
def test_a_worker_whose_first_batch_fails_is_asked_again_once_others_have_answered(here, suite):
    run = fcbench.run(here.Own("first batch fails"), suite, **TWO)
    assert all(sample.error is None for sample in run.samples)
    assert len(run.samples) == 60


@pytest.mark.ray
def test_a_case_that_a_model_always_refuses_ends_the_run_as_it_does_without_workers(here, suite):
    with pytest.raises(ModelError, match="no such token"):
        fcbench.run(here.Own("refuses one"), suite, **TWO)
    # Once more at most: by a worker that had not heard that others have answered.
    assert len(Path("refused.log").read_text().splitlines()) <= 2


@pytest.mark.ray
def test_workers_whose_models_differ_are_refused_with_the_field(here, suite):
    with pytest.raises(ModelError, match=r"differ in manifest\.dtype"):
        fcbench.run(here.Own("unlike"), suite, **TWO)


@pytest.mark.ray
def test_leaving_early_ends_the_workers(here):
    where = Where(executor="ray", workers=2, cpus_per_worker=1)
    backend = open_model(here.Own("slow"), ModelOptions(), where)
    asked = [Request(Case(f"c{i}", [], [], [[]]), f"{i}", "") for i in range(60)]
    answers = backend.answer(asked, Decoding())
    next(answers)
    pid = backend._first.pid
    assert is_alive(pid)
    answers.close()  # as an interruption does
    assert backend._workers == []
    deadline = time.monotonic() + 20
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_alive(pid)
    assert len([*backend.answer(asked[:3], Decoding())]) == 3  # and it can begin anew
    backend.close()


@pytest.mark.ray
def test_one_killed_from_outside_while_it_is_idle_is_replaced(here):
    where = Where(executor="ray", workers=1)
    backend = open_model("python:stand_ins:answer", ModelOptions(), where)
    os.kill(backend._first.pid, signal.SIGKILL)
    asked = [Request(Case(f"c{i}", [], [], [[]]), f"{i}", "") for i in range(5)]
    assert {sample.case_id for sample in backend.answer(asked, Decoding())} == {
        f"c{i}" for i in range(5)
    }
    backend.close()


@pytest.mark.ray
def test_a_worker_that_has_other_packages_than_this_process_is_refused(here, suite, monkeypatch):
    monkeypatch.setattr(
        "fcbench.executors.ray.versions", lambda: {"fcbench": "0.0.1", "torch": "2"}
    )
    with pytest.raises(
        ModelError, match=r"this process and .* differ in versions\.fcbench: 0\.0\.1"
    ):
        fcbench.run("python:stand_ins:answer", suite, executor="ray", workers=1)
