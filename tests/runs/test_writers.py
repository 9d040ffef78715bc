"""One writer a folder; a run that is another is not gone on with; an end that somebody wants."""

import errno
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import fcbench
from fcbench import Sample, executors
from fcbench.backends.python import PythonBackend
from fcbench.cli import main
from fcbench.errors import RunError, UsageError
from fcbench.prompts import Requests
from fcbench.runs import _asked, _manifest, execute, plan, read_run, score
from fcbench.runs._asked import Asked
from fcbench.runs._folder import RunFolder
from fcbench.runs._interrupt import Interrupted, Interruptible
from fcbench.runs._lock import HOLDER, LOCK, HeldError
from fcbench.runs._writer import Writer

MODEL = """
import os, time

def slow(prompts):
    time.sleep(float(os.environ.get("STAND_IN_SECONDS", "0")))
    return ["<start_function_call>call:f{}<end_function_call>"] * len(prompts)

def other(prompts):
    return ["no"] * len(prompts)
"""
HOLD_BRIEFLY = """
import os, sys
from pathlib import Path
from fcbench.runs._folder import RunFolder
from fcbench.runs._lock import HeldError
from fcbench.runs._writer import Writer
folder = Path(sys.argv[1])
for _ in range(300):
    try:
        with Writer(RunFolder(folder)):
            os.close(os.open(folder / "alone", os.O_CREAT | os.O_EXCL))
            (folder / "alone").unlink()
    except HeldError:
        pass
"""
HOLD = """
import sys, time
from pathlib import Path
from fcbench.runs._folder import RunFolder
from fcbench.runs._writer import Writer
writer = Writer(RunFolder(Path(sys.argv[1])))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "writers_stand_in.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "writers_stand_in", raising=False)


@pytest.fixture
def holder():
    """Begins processes that hold a folder, and ends them."""
    begun = []

    def hold(folder):
        command = [sys.executable, "-c", HOLD, str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in begun:
        process.kill()
        process.communicate()


def planned(**options):
    return plan("x", "original_experiment", "bare", None, "greedy", "r", **options)


def run(backend=None, **options):
    return execute(planned(**options), backend or PythonBackend(list, "x", 2))


# One writer


def test_the_second_process_is_told_who_writes_to_a_folder(holder):
    folder = Path(run().folder)
    process = holder(folder)
    with pytest.raises(HeldError) as refused:
        run(resume=True)
    said = re.fullmatch(
        rf"{folder}: is being written to by process (\d+) on (\S+), since (\S+)",
        refused.value.message,
    )
    pid, host, since = said.groups()
    assert int(pid) == process.pid
    assert host == os.uname().nodename
    assert abs(datetime.fromisoformat(since) - datetime.now(UTC)) < timedelta(minutes=5)
    assert isinstance(refused.value, RunError)
    # Whoever reads needs no lock.
    assert len(read_run(folder).samples) == 5
    assert score(str(folder)).n_errors == 0


def test_a_process_that_is_killed_leaves_no_lock(holder):
    folder = Path(run().folder)
    process = holder(folder)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / HOLDER).exists(), "what it said stays, and is not believed"
    assert len(run(resume=True).samples) == 5
    assert not {LOCK, HOLDER} & {path.name for path in folder.iterdir()}


def test_a_lock_whose_holder_has_not_said_its_name_is_held_all_the_same(holder):
    folder = Path(run().folder)
    holder(folder)
    (folder / HOLDER).write_text('{"pid": ', encoding="utf-8")
    with pytest.raises(HeldError, match="another process, which has not said yet which it is"):
        run(resume=True)


def test_what_a_lock_s_holder_says_moves_no_cursor(holder):
    folder = Path(run().folder)
    holder(folder)
    said = {"pid": "\x1b[2J", "host": "\u202e", "since": "\n"}
    (folder / HOLDER).write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(HeldError, match=r"process \\x1b\[2J on \\u202e, since \\n"):
        run(resume=True)


def test_a_new_run_begins_beside_one_that_has_just_begun(holder):
    folder = Path("r") / planned().name
    folder.mkdir(parents=True)
    holder(folder)  # and nothing is written yet
    assert run().folder == f"{folder}-2"


def test_a_run_that_is_to_go_on_does_not_begin_beside_one_that_has_just_begun(holder):
    folder = Path("r") / planned().name
    folder.mkdir(parents=True)
    holder(folder)
    with pytest.raises(HeldError, match="is being written to by process"):
        run(resume=True)


def test_of_many_that_begin_at_once_each_has_a_folder_of_its_own():
    made, ready = [], threading.Barrier(6)

    def begin():
        ready.wait()
        made.append(run())

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run.folder for run in made}) == 6
    for each in made:
        assert len(RunFolder(Path(each.folder)).log()) == 5
        assert sorted(path.name for path in Path(each.folder).iterdir()) == [
            "prompts.jsonl",
            "run.json",
            "samples.jsonl",
        ]


def test_of_processes_that_come_and_go_one_has_the_folder_and_none_another_error(tmp_path):
    """Each takes its lock's file, and the empty folder, along when it goes."""
    command = [sys.executable, "-c", HOLD_BRIEFLY, str(tmp_path / "f")]
    begun = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[1] for process in begun]
    assert ([process.returncode for process in begun], said) == ([0] * 3, [""] * 3)
    assert not (tmp_path / "f").exists()


def test_a_lock_s_file_that_was_taken_away_meanwhile_holds_nothing(tmp_path, monkeypatch):
    lock, real = tmp_path / "f" / LOCK, fcntl.flock

    def flock(file, how):
        """The lock's last holder goes between the opening of its file and the locking."""
        monkeypatch.setattr(fcntl, "flock", real)
        lock.unlink()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with Writer(RunFolder(lock.parent)), pytest.raises(HeldError):
        Writer(RunFolder(lock.parent))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, number):
    def flock(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(RunError, match="its file system has no locks: ") as refused:
        Writer(RunFolder(tmp_path / "f"))
    assert "--results on another one" in refused.value.hint
    assert not isinstance(refused.value, HeldError)


def test_a_folder_that_is_a_file_or_cannot_be_made_is_a_run_error(tmp_path):
    (tmp_path / "f").write_text("")
    for name, said in (
        ("f", "f: is a file, not a folder"),
        ("f/g", "f/g: cannot be written: Not a"),
    ):
        with pytest.raises(RunError, match=said):
            Writer(RunFolder(tmp_path / name))


def test_the_newest_run_is_gone_on_with_though_a_number_before_it_is_missing():
    for _ in range(3):
        made = run()
    assert made.folder.endswith("-3")
    shutil.rmtree(made.folder.removesuffix("-3"))
    assert run(resume=True).folder == made.folder
    assert run().folder == made.folder.removesuffix("3") + "4"


def test_a_run_that_fails_lets_go_of_its_folder():
    class Broken(PythonBackend):
        def answer(self, requests, decoding):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(Broken(list, "x", 2))
    assert len(run(resume=True).samples) == 5


# Another run


def suite_file(text="Show me Oslo.", name="cases"):
    row = {
        "id": "a",
        "messages": [{"role": "user", "content": text}],
        "tools": [{"name": "f"}],
        "expected": [[{"name": "f", "arguments": {}}]],
    }
    Path(f"{name}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    return f"{name}.jsonl"


CHANGES = {
    "suite.sha256": {"text": "Show me Rome."},
    "format.grammar_sha256": {"grammar": True},
    "format.name": {"format": "hermes"},
    "model.name": {"model": "python:writers_stand_in:other"},
    "model.module_sha256": {"module": "# another line"},
    "prompt.sha256": {"prompt_file": "{{ bos }}{{ user }}!"},
    "prompt.few_shot": {"manifest": ("prompt", "few_shot", 3)},
    "decoding.max_new_tokens": {"max_new_tokens": 7},
    "decoding.mode": {"manifest": ("decoding", "mode", "sample")},
    "decoding.temperature": {"manifest": ("decoding", "temperature", 0.5)},
    "decoding.repeats": {"manifest": ("decoding", "repeats", 2)},
    "seed": {"seed": 5},
    "matching.matcher": {"manifest": ("matching", "matcher", "bfcl")},
    "suite.tags": {"manifest": ("suite", "tags", ["x"])},
    "model.dtype": {"manifest": ("model", "dtype", "float32")},
    "model.adapter": {"manifest": ("model", "adapter", {"name": "a", "sha256": "b"})},
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_run_of_which_something_is_another_is_not_gone_on_with_and_the_field_is_named(
    field, monkeypatch
):
    change = dict(CHANGES[field])
    Path("asked.jinja").write_text("{{ bos }}{{ user }}", encoding="utf-8")
    options = {"results": "r", "prompt_file": "asked.jinja", "resume": True}
    first = fcbench.run("python:writers_stand_in:slow", suite_file(), **options)
    folder = Path(first.folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    suite, model = suite_file(change.pop("text", "Show me Oslo.")), change.pop("model", None)
    with Path("writers_stand_in.py").open("a", encoding="utf-8") as module:
        module.write(change.pop("module", ""))
    if "prompt_file" in change:
        Path("asked.jinja").write_text(change.pop("prompt_file"), encoding="utf-8")
    if change.pop("grammar", None):
        monkeypatch.setattr(_manifest, "grammar_sha256", lambda _: "another")
    if "manifest" in change:
        part, key, value = change.pop("manifest")
        said = json.loads(before["run.json"])
        said[part][key] = value
        (folder / "run.json").write_text(json.dumps(said), encoding="utf-8")
        before["run.json"] = (folder / "run.json").read_bytes()
    if model is not None:  # another name is another folder, unless somebody renamed it
        name = plan(model, suite, "file", None, None, "r", prompt_file="asked.jinja").name
        folder = folder.rename(folder.with_name(name))
    with pytest.raises(RunError) as refused:
        fcbench.run(model or "python:writers_stand_in:slow", suite, **options, **change)
    assert refused.value.message.startswith(f"{folder}: is a run of another {field.split('.')[0]} ")
    (named,) = re.findall(r"\((.*) differs?\)", refused.value.message)
    assert field in named.split(", ")
    assert len(named.split(", ")) == (2 if field == "format.name" else 1)  # and its grammar
    assert "--resume" in refused.value.hint
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16"])
def test_another_batch_size_is_refused_where_it_may_change_a_token(dtype):
    def of_dtype():
        backend = PythonBackend(lambda prompts: ["No."] * len(prompts), "x", 2)
        backend.manifest["dtype"] = dtype
        return backend

    first = run(of_dtype(), batch_size=2)
    log = Path(first.folder) / "samples.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    if dtype == "bfloat16":
        with pytest.raises(RunError, match=r"of another batch_size \(batch_size differs\)"):
            run(of_dtype(), batch_size=1, resume=True)
    else:
        whole = run(of_dtype(), batch_size=1, resume=True)
        assert [sample.text for sample in whole.samples] == ["No."] * 5
        assert whole.manifest == first.manifest, "it says how the run began"


def test_a_suite_that_is_called_otherwise_is_the_same_suite():
    suite = suite_file()
    first = fcbench.run("python:writers_stand_in:slow", suite, results="r")
    for other in (f"./{suite}", Path(suite).resolve()):
        made = fcbench.run("python:writers_stand_in:slow", other, results="r", resume=True)
        assert made.folder == first.folder


def test_answers_of_a_run_that_says_no_more_whose_they_are_are_left_alone():
    folder = Path(run().folder)
    (folder / "run.json").unlink()
    before = (folder / "samples.jsonl").read_bytes()
    with pytest.raises(RunError, match=r"has answers, and its run\.json, .*, is gone"):
        run(resume=True)
    assert run().folder == f"{folder}-2"
    assert [path.name for path in folder.iterdir() if path.name != "prompts.jsonl"] == [
        "samples.jsonl"
    ]
    assert (folder / "samples.jsonl").read_bytes() == before


@pytest.mark.parametrize("change", ["suite", "seed", "grammar", "log", "no manifest", "no model"])
def test_what_cannot_be_gone_on_with_is_known_before_anything_is_asked(change, monkeypatch, capsys):
    command = ["run", "--model", "python:writers_stand_in:slow", "--results", "r"]
    assert main([*command, "--suite", suite_file(name="second")]) == 0
    (folder,) = Path("r").glob("second*")
    what, extra = "is a run of another", []
    if change == "suite":
        suite_file("Show me Rome.", name="second")
    elif change == "seed":
        extra = ["--seed", "1"]
    elif change == "grammar":
        monkeypatch.setattr(_manifest, "grammar_sha256", lambda _: "another")
    elif change == "no manifest":
        (folder / "run.json").unlink()
        what = "has answers, and its run.json, which says whose, is gone"
    elif change == "no model":
        manifest = json.loads((folder / "run.json").read_bytes())
        del manifest["model"]
        (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
        extra = ["--batch-size", "3"]
    else:
        (folder / "samples.jsonl").write_text("?\n", encoding="utf-8")
        what = "not a sample"
    both = ["--suite", suite_file(name="first"), "--suite", "second.jsonl"]
    capsys.readouterr()
    assert main([*command, *both, "--resume", *extra]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"RunError: {folder}")
    assert what in said
    assert list(Path("r").glob("first*")) == []


def test_a_run_without_an_answer_begins_again_whatever_it_was():
    command = ["run", "--model", "python:writers_stand_in:slow", "--results", "r", "--resume"]
    assert main([*command, "--suite", suite_file()]) == 0
    (log,) = Path("r").glob("*/samples.jsonl")
    log.write_text(json.dumps({"case_id": "a", "error": "gone"}) + "\n", encoding="utf-8")
    assert main([*command, "--suite", suite_file("Show me Rome.")]) == 0


# Clocks


def test_a_clock_that_is_set_back_makes_no_time_negative(monkeypatch):
    """Wall time jumps back by a day at every look; what is measured is another clock's."""
    jumps = iter(range(10**6))

    class Jumping(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 1, 31, tzinfo=UTC) - timedelta(days=next(jumps) % 300)

    monkeypatch.setattr(_manifest, "datetime", Jumping)
    monkeypatch.setattr(time, "time", lambda: 1e9 - 86400 * next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: 10**18 - 86400 * 10**9 * next(jumps))
    made = fcbench.run("python:writers_stand_in:slow", "original_experiment", results="r")
    seconds = [sample.seconds for sample in made.samples]
    assert all(0 <= each < 60 for each in seconds)
    again = fcbench.run(
        "python:writers_stand_in:slow", "original_experiment", results="r", resume=True
    )
    assert (again.folder, again.samples) == (made.folder, made.samples)
    # A second run, of an earlier day as it seems, is a later one all the same.
    later = fcbench.run("python:writers_stand_in:slow", "original_experiment", results="r")
    assert later.folder == f"{made.folder}-2"
    options = {"results": "r", "resume": True}
    last = fcbench.run("python:writers_stand_in:slow", "original_experiment", **options)
    assert last.folder == later.folder


def test_no_time_that_can_be_set_is_in_what_measures():
    """time.time and datetime.now are for dates; nothing subtracts them."""
    package = Path(fcbench.__file__).parent
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(
            r"\btime\.time(_ns)?\(|datetime\.(now|utcnow|today)\(", path.read_text("utf-8")
        )
    }
    assert users <= {
        "runs/_manifest.py",  # started_at
        "runs/_lock.py",  # since when
        "backends/_faults.py",  # a server's Retry-After may be a date
    }


# Ctrl-C


def typed(*extra):
    return [
        "run", "--model", "python:writers_stand_in:slow", "--suite", "mobile_actions", "--limit",
        "40", "--batch-size", "5", "--results", "it's here", *extra,
    ]  # fmt: skip


def interrupted(monkeypatch, *signals, extra=(), stderr=subprocess.PIPE):
    """Return a run that got signals, each as soon as something was answered."""
    monkeypatch.setenv("STAND_IN_SECONDS", "0.7")
    process = subprocess.Popen(
        [sys.executable, "-m", "fcbench", *typed(*extra)],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    had = sum(path.stat().st_size for path in Path().glob("*/*/samples.jsonl"))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if sum(path.stat().st_size for path in Path().glob("*/*/samples.jsonl")) > had:
            break
        time.sleep(0.01)
    for number in signals:
        time.sleep(0.1)
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    (log,) = Path().glob("*/*/samples.jsonl")
    return process.returncode, err, RunFolder(log.parent)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_end_that_is_asked_for_finishes_the_batch_and_says_how_to_go_on(monkeypatch, number):
    code, err, folder = interrupted(monkeypatch, number)
    assert code == 130
    n = len(list(folder.samples()))
    assert 0 < n < 40
    assert n % 5 == 0, "a batch was cut"
    assert "what is being answered is finished and stored; again ends at once" in err
    assert f"interrupted: {n} of 40 answers are stored\n" in err
    said = err.splitlines()[-1].removeprefix("go on with: ")
    assert said == shlex.join(["python", "-m", "fcbench", *typed("--resume")])
    assert "Traceback" not in err
    # What it says does what it says.
    monkeypatch.setenv("STAND_IN_SECONDS", "0")
    assert main(shlex.split(said)[3:]) == 0
    assert len(list(folder.samples())) == 40
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "prompts.jsonl",
        "run.json",
        "samples.jsonl",
    ]


def test_a_second_ctrl_c_ends_at_once_and_loses_nothing_that_was_answered(monkeypatch):
    code, err, folder = interrupted(monkeypatch, signal.SIGINT, signal.SIGINT)
    assert code == 130
    assert len(list(folder.samples())) in (5, 10)
    assert err.splitlines()[-1].endswith(" --resume")
    assert "Traceback" not in err


def test_a_run_that_is_gone_on_with_can_be_interrupted_too(monkeypatch):
    _, _, folder = interrupted(monkeypatch, signal.SIGINT)
    first = len(list(folder.samples()))
    code, err, _ = interrupted(monkeypatch, signal.SIGINT, extra=["--resume"])
    assert code == 130
    n = len(list(folder.samples()))
    assert n > first
    assert f"{n} of 40 answers are stored" in err
    assert err.count("--resume") == 1


def asked_of(*modules):
    """What is typed to ask a model of each module."""
    models = [word for name in modules for word in ("--model", f"python:{name}:other")]
    return ["run", *models, "--suite", "original_experiment", "--results", "r"]


def interrupted_while_it_loads(monkeypatch, capsys, command, name):
    """Return what is said where Ctrl-C is pressed while the model of a module loads."""
    load = executors.open_model

    def interrupted_load(model, *options):
        if model == f"python:{name}:other":
            raise KeyboardInterrupt
        return load(model, *options)

    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr(executors, "open_model", interrupted_load)
        assert main(command) == 130
    return capsys.readouterr().err.splitlines()


def test_before_a_run_has_begun_no_earlier_one_is_offered_in_its_place(monkeypatch, capsys):
    command = asked_of("writers_stand_in")
    assert main(command) == 0
    said = interrupted_while_it_loads(monkeypatch, capsys, command, "writers_stand_in")
    begin = "nothing is stored yet, begin again with: "
    assert said[-1] == begin + shlex.join(["python", "-m", "fcbench", *command])
    resumed = [*command, "--resume"]
    said = interrupted_while_it_loads(monkeypatch, capsys, resumed, "writers_stand_in")
    assert said[-1] == "go on with: " + shlex.join(["python", "-m", "fcbench", *resumed])


@pytest.mark.parametrize("had", [True, False])
def test_of_several_runs_the_one_that_resume_would_take_of_earlier_is_named(
    had, monkeypatch, capsys
):
    Path("second.py").write_text(MODEL, encoding="utf-8")
    command = asked_of("writers_stand_in", "second")
    assert main(command if had else asked_of("writers_stand_in")) == 0
    said = interrupted_while_it_loads(monkeypatch, capsys, command, "second")
    assert said[-1] == "go on with: " + shlex.join(
        ["python", "-m", "fcbench", *command, "--resume"]
    )
    named = [line for line in said if line.endswith("--resume takes it all the same")]
    assert [line.split()[0] for line in named] == (
        ["r/original_experiment--python-second-other--chat"] if had else []
    )


@pytest.fixture
def unheard():
    """A pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_end_is_as_orderly_where_nobody_reads_what_is_said(monkeypatch, number, unheard):
    code, _, folder = interrupted(monkeypatch, number, stderr=unheard)
    assert code == 130
    found = list(folder.samples())
    assert 0 < len(found) < 40
    assert len(found) % 5 == 0, "a batch was cut"
    assert [sample.error for sample in found if sample.error is not None] == []


@pytest.mark.parametrize(("share", "code"), [("0.5", 0), ("1", 1)])
def test_a_run_is_judged_where_nobody_reads_what_is_said(share, code, unheard):
    command = [sys.executable, "-m", "fcbench", *typed("--fail-under", f"syntax_validity={share}")]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=unheard)
    assert done.returncode == code
    assert b"syntax validity" in done.stdout


def test_after_a_run_signals_are_handled_as_before():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    called = []
    with Interruptible(lambda: called.append(1)):
        signal.raise_signal(signal.SIGTERM)
        assert called == [1]
        with pytest.raises(KeyboardInterrupt, match="SIGINT"):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruptible(lambda: pytest.fail("it was to be ignored")):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


class Interrupting:
    """A backend that a signal reaches after so many answers."""

    template, bos, has_answered = None, "<bos>", False

    def __init__(self, after, reads):
        self.manifest = {"name": "x", "backend": "test"}
        self.after, self.reads = after, reads

    def answer(self, requests, decoding):
        for number, request in enumerate(self.reads(requests)):
            yield Sample(request.case.id, request.repeat, "yes")
            if number + 1 == self.after:
                signal.raise_signal(signal.SIGINT)


def in_sixes(requests):
    for first in range(0, len(requests), 6):
        yield from requests[first : first + 6]


@pytest.mark.parametrize(
    ("reads", "n_kept"),
    [
        (iter, 7),  # one by one: nothing is open
        (in_sixes, 12),  # the batch is finished
        (list, 40),  # all are one batch, as far as anybody can tell
    ],
)
def test_what_a_backend_has_read_is_finished_and_no_more_is_read(reads, n_kept):
    made = plan("x", "mobile_actions", "bare", None, None, "r", limit=40)
    with pytest.raises(Interrupted, match=f"^{n_kept} of 40 answers are stored") as ended:
        execute(made, Interrupting(7, reads), finishes=True)
    assert str(ended.value).endswith("the run is whole, --resume judges it") == (n_kept == 40)
    (folder,) = Path("r").iterdir()
    assert len(RunFolder(folder).log()) == n_kept
    # Without it, as in a notebook, a Ctrl-C is one at once; what was answered is kept.
    with pytest.raises(KeyboardInterrupt):
        execute(
            plan("x", "mobile_actions", "bare", None, None, "s", limit=40), Interrupting(7, reads)
        )
    (folder,) = Path("s").iterdir()
    assert len(RunFolder(folder).log()) == 7


def test_a_backend_that_was_handed_everything_does_not_hold_up_an_end(monkeypatch):
    monkeypatch.setattr(_asked, "MOST_FINISHED", 20)
    made = plan("x", "mobile_actions", "bare", None, None, "r", limit=40)
    with pytest.raises(Interrupted, match="8 of 40 answers are stored"):
        execute(made, Interrupting(7, list), finishes=True)


# What is asked


def cases(n):
    return [
        fcbench.Case(f"c{i}", [{"role": "user", "content": str(i)}], [], [[]]) for i in range(n)
    ]


def test_prompts_are_rendered_as_they_are_read_and_no_more_of_them():
    rendered = []
    asked = Requests(cases(1000), lambda case: rendered.append(case.id) or case.id, 2)
    assert len(asked) == 2000
    assert rendered == []
    assert [(r.case.id, r.repeat, r.prompt) for r in asked[2:5]] == [
        ("c1", 0, "c1"),
        ("c1", 1, "c1"),
        ("c2", 0, "c2"),
    ]
    assert rendered == ["c1", "c2"]
    assert asked[-1].case.id == "c999"
    with pytest.raises(IndexError):
        asked[2000]


def test_prompts_beyond_what_is_kept_are_rendered_again_and_must_be_the_same(monkeypatch):
    monkeypatch.setattr("fcbench.prompts._requests.KEPT_CHARACTERS", 5)
    n = iter(range(100))
    steady = Requests(cases(4), lambda case: case.id)
    assert list(steady) == list(steady)
    changing = Requests(cases(4), lambda case: f"{case.id} at {next(n)}")
    assert changing[0].prompt == "c0 at 0"
    assert changing[0] == changing[0], "the last one is at hand"
    assert changing[1].prompt == "c1 at 1"
    with pytest.raises(UsageError, match="case c0: its prompt is another than when the run began"):
        changing[0]


def test_what_is_asked_is_what_has_no_answer(tmp_path):
    found = [Sample("c0", 0, "x"), Sample("c1", 1, error="timeout"), Sample("c2", 1, "x")]
    with Writer(RunFolder(tmp_path / "f")) as writer:
        for sample in found:
            writer.append(sample)
    known = cases(3)
    log = RunFolder(tmp_path / "f").log(case.id for case in known)
    asked = Asked(Requests(known, lambda case: case.id, 2), known, 2, log)
    keys = [(request.case.id, request.repeat) for request in asked]
    assert keys == [("c0", 1), ("c1", 0), ("c1", 1), ("c2", 0)]
    assert (len(asked), asked[-1].case.id, len(asked[1:3])) == (4, "c2", 2)
    assert not asked.settle(Sample("c0", 0)), "it was answered before"
    assert not asked.settle(Sample("c9", 0))
    assert not asked.settle(Sample("c0", 2))
    assert asked.settle(Sample("c1", 0))
    assert not asked.settle(Sample("c1", 0)), "twice"
    assert [(s.case_id, s.repeat, s.error) for s in asked.failures("gone")] == [
        ("c0", 1, "gone"),
        ("c1", 1, "gone"),
        ("c2", 0, "gone"),
    ]


def test_when_it_is_closed_it_ends_with_what_was_read():
    known = cases(5)
    asked = Asked(Requests(known, lambda case: case.id), known, 1)
    reading = iter(asked)
    assert [next(reading).case.id for _ in range(2)] == ["c0", "c1"]
    asked.settle(Sample("c0"))
    assert not asked.has_ended
    asked.close()
    assert list(reading) == []
    assert [request.case.id for request in asked[:]] == ["c0", "c1"]
    with pytest.raises(IndexError, match="the run is ending"):
        asked[4]
    assert not asked.has_ended, "c1 is being answered"
    assert [s.case_id for s in asked.failures("gone")] == ["c1"]
    asked.settle(Sample("c1"))
    assert asked.has_ended


# Backends that read ahead


def test_a_model_that_is_loaded_here_finishes_the_sequences_it_is_at(tiny_model):
    from fcbench.backends import ModelOptions, open_model

    backend = open_model(str(tiny_model), ModelOptions(batch_size=3, dtype="float32"))
    known = cases(20)
    asked = Asked(Requests(known, lambda case: f"<bos>{case.id}"), known, 1)
    found = []
    for sample in backend.answer(asked, fcbench.types.Decoding(max_new_tokens=4)):
        found.append(sample)
        asked.settle(sample)
        asked.close()
        assert not asked.has_ended, "it looks whether it is to end, and is trusted to"
    assert 1 <= len(found) <= 3
    assert all(sample.error is None for sample in found)


def test_threads_that_ask_a_server_finish_what_they_are_at():
    from fcbench.backends._served import answer_all

    known = cases(50)
    asked = Asked(Requests(known, lambda case: case.id), known, 1)
    begun = []

    def ask(request, decoding):
        begun.append(request.case.id)
        time.sleep(0.02)
        return Sample(request.case.id)

    found = []
    for sample in answer_all(asked, None, ask, n_at_once=4):
        found.append(sample.case_id)
        asked.settle(sample)
        if len(found) == 5:
            asked.close()
            n_begun = len(begun)
    assert sorted(found) == sorted(begun)
    assert len(found) <= n_begun + 4  # each thread may have been about to begin one
    assert asked.has_ended


def test_no_prompt_is_rendered_before_a_thread_asks_it():
    from fcbench.backends._served import answer_all

    rendered, ahead = [], []
    requests = Requests(cases(30), lambda case: rendered.append(case.id) or case.id)

    def ask(request, decoding):
        ahead.append(len(rendered) - len(ahead))
        return Sample(request.case.id)

    assert len(list(answer_all(requests, None, ask, n_at_once=1))) == 30
    assert set(ahead) == {1}
