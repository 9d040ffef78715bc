"""What is refused before Ray starts."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import fcbench
from fcbench.cli import main
from fcbench.errors import UsageError
from fcbench.executors import Where
from fcbench.runs import command_of, plan


def made(model="python:stand_ins:answer", **options):
    return plan(model, "original_experiment", "chat", None, None, None, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 2}, "workers says how workers compute"),
        ({"ray_address": "auto"}, "ray_address says"),
        ({"cpus_per_worker": 2}, "cpus_per_worker says"),
        ({"gpus_per_worker": 1.0}, "gpus_per_worker says"),
        ({"executor": "ry"}, "no such name among executors: ry"),
        ({"executor": "ray"}, "how many workers"),
        ({"executor": "ray", "workers": 0}, "workers is at least 1"),
        ({"executor": "ray", "workers": 2, "cpus_per_worker": 0}, "cpus_per_worker is at least 1"),
        (
            {"executor": "ray", "workers": 2, "gpus_per_worker": -1.0},
            "gpus_per_worker is at least 0",
        ),
        ({"executor": "ray", "workers": 2, "gpus_per_worker": float("nan")}, "gpus_per_worker is"),
        ({"executor": "ray", "workers": 2, "model": "replay:x.jsonl"}, "nothing to share out"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(options, words):
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match=words):
        made(**options)


def test_without_ray_the_extra_is_named():
    script = (
        "import sys; sys.modules['ray'] = None\n"
        "import fcbench\n"
        "try: fcbench.run(lambda p: p, 'original_experiment', executor='ray', workers=2)\n"
        "except fcbench.FcbenchError as error: print(type(error).__name__, error.hint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "MissingExtra pip install 'fcbench[ray]'\n"


def test_a_worker_takes_its_share_of_this_machine_and_one_cpu_of_a_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert Where(executor="ray", workers=3).cpus == 2
    assert Where(executor="ray", workers=16).cpus == 1
    assert Where(executor="ray", workers=3, address="auto").cpus == 1
    assert Where(executor="ray", workers=3, address="auto", cpus_per_worker=4).cpus == 4
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert Where(executor="ray", workers=3).cpus == 1


def test_a_run_in_one_process_says_so():
    assert fcbench.run(lambda prompts: prompts, "original_experiment").manifest["executor"] == {
        "name": "local",
        "workers": 1,
        "cpus_per_worker": None,
        "gpus_per_worker": None,
    }


def test_where_a_run_computes_is_no_part_of_its_folders_name_nor_of_its_command():
    pytest.importorskip("ray")
    there = made(executor="ray", workers=2)
    assert there.name == made().name
    ran = fcbench.run(lambda prompts: prompts, "original_experiment").manifest
    spread = {**ran, "executor": there.where.manifest}
    assert command_of(spread) == command_of(ran)


def test_ray_client_addresses_are_refused():
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match="cannot be streamed") as raised:
        fcbench.run(
            lambda prompts: prompts,
            "original_experiment",
            executor="ray",
            workers=1,
            ray_address="ray://head:10001",
        )
    assert "--ray-address auto" in raised.value.hint


def test_a_dry_run_says_where_it_would_compute_and_divides_the_time(tmp_path, monkeypatch, capsys):
    pytest.importorskip("ray")
    shutil.copy(Path(__file__).with_name("stand_ins.py"), tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    asked = ["run", "--model", "python:stand_ins:answer", "--suite", "original_experiment"]
    assert main(asked) == 0
    capsys.readouterr()
    assert main([*asked, "--dry-run"]) == 0
    assert "computed   in this process" in capsys.readouterr().out
    assert main([*asked, "--dry-run", "--json"]) == 0
    (alone,) = json.loads(capsys.readouterr().out)
    spread = [*asked, "--dry-run", "--executor", "ray", "--workers", "4", "--cpus-per-worker", "2"]
    assert main(spread) == 0
    assert "by 4 workers of 2 CPUs each, ray on this machine" in capsys.readouterr().out
    assert main([*spread, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["executor"]["workers"] == 4
    assert found["forecast"]["seconds"] == pytest.approx(alone["forecast"]["seconds"] / 4)
    assert found["forecast"]["differences"] == ["in one process"]


def test_an_address_at_which_nobody_listens_is_refused_at_once():
    pytest.importorskip("ray")
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"nobody listens at {address}"):
            fcbench.run(
                lambda prompts: prompts,
                "original_experiment",
                executor="ray",
                workers=1,
                ray_address=address,
            )
