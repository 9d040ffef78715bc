"""The log of a run: whatever cuts it off, what was written before is there."""

import errno
import itertools
import json
import os
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcbench import Sample
from fcbench.backends._offsets import Offsets
from fcbench.backends.python import PythonBackend
from fcbench.errors import RunError
from fcbench.runs import _folder, _log, execute, plan, score
from fcbench.runs._folder import RunFolder
from fcbench.runs._writer import WRITTEN, Writer
from fcbench.suite import load_suite

TEXTS = ("plain", "\ud800 é 漢\u2028", "\x00\r\n\\n", '"}\n{"case_id": "c0"}', "")


def samples(n_cases=4, n_repeats=3):
    keys = [(f"c{i}", r) for i in range(n_cases) for r in range(n_repeats)]
    return [Sample(c, r, TEXTS[(i + r) % len(TEXTS)]) for i, (c, r) in enumerate(keys)]


def written(folder, found):
    with Writer(RunFolder(folder)) as writer:
        for sample in found:
            writer.append(sample)
    return RunFolder(folder)


def asked(tmp_path, function=None, **options):
    """A run of a function over five cases, into r/."""
    made = plan("x", "original_experiment", "bare", None, "greedy", tmp_path / "r", **options)
    return execute(made, PythonBackend(function or (lambda p: ["yes"] * len(p)), "x", 2))


# What is read


def test_a_log_that_is_cut_at_any_byte_gives_the_samples_that_are_whole(tmp_path):
    whole = [Sample("a", 0, "é"), Sample("b", 1, "}\n{"), Sample("\ud800", 0, "", error="x")]
    lines = [json.dumps(row).encode() + b"\n" for row in (
        {"case_id": "a", "text": "é"},
        {"case_id": "b", "repeat": 1, "text": "}\n{"},
        {"case_id": "\ud800", "error": "x"},
    )]  # fmt: skip
    content = b"".join(lines)
    ends = [0, *itertools.accumulate(map(len, lines))]
    folder, log, torn = RunFolder(tmp_path), tmp_path / "samples.jsonl", tmp_path / "samples.torn"
    for cut in range(len(content) + 1):
        log.write_bytes(content[:cut])
        n_whole = sum(end <= cut for end in ends) - 1
        assert list(folder.samples()) == whole[:n_whole] == folder.log()
        with Writer(folder) as writer:
            writer.mend()
            assert log.read_bytes() == content[: ends[n_whole]]
            for sample in whole[n_whole:]:
                writer.append(sample)
        assert folder.log() == whole
        if cut not in ends:
            assert torn.read_bytes() == content[ends[n_whole] : cut] + b"\n"
            torn.unlink()
        assert not torn.exists()


@given(st.data())
def test_a_log_is_the_last_sample_of_each_case_and_repeat_in_the_order_of_the_cases(data):
    keys = st.tuples(st.sampled_from(["a", "b", "c", "\ud800"]), st.integers(-3, 3))
    drawn = data.draw(st.lists(st.tuples(keys, st.sampled_from([None, "timeout"])), max_size=30))
    rows = [Sample(*key, text=str(i), error=e) for i, (key, e) in enumerate(drawn)]
    order = data.draw(st.permutations(["a", "b", "c", "not answered"]))
    place = {case_id: i for i, case_id in enumerate(order)}
    last = {(s.case_id, s.repeat): s for s in rows}
    expected = sorted(last.values(), key=lambda s: (place.get(s.case_id, len(place)), s.repeat))
    with tempfile.TemporaryDirectory() as name:
        written(Path(name), rows)
        for kept in (0, 2**22):  # read from the file, and from what was kept of it
            with patch.object(_log, "KEPT_BYTES", kept):
                found = _log.Log(Path(name) / "samples.jsonl", order)
            assert list(found) == expected == found
            assert [found[i] for i in range(-len(found), len(found))] == expected * 2
            assert found[1:] == expected[1:]
            assert found[::-2] == expected[::-2]
            assert found.n_errors == sum(s.error is not None for s in expected)
            for case_id in (*order, "\ud800"):
                assert found.of_case(case_id) == [s for s in expected if s.case_id == case_id]
                for repeat in range(-3, 4):
                    sample = last.get((case_id, repeat))
                    answered = sample is not None and sample.error is None
                    assert found.is_answered(case_id, repeat) is answered


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(-2, 2) | st.integers(1 - 2**63, 2**63 - 1))
    )
)
def test_an_offset_is_that_of_the_last_line(keys):
    offsets, expected = Offsets(), {}
    for i, key in enumerate(keys):
        offsets.put(*key, i)
        expected[key] = i
    assert {key: offsets.find(*key) for key in keys} == expected
    assert offsets.find("d", 0) is None
    for case_id in "abc":
        of_case = sorted((repeat, i) for (c, repeat), i in expected.items() if c == case_id)
        assert list(offsets.of(case_id)) == [i for _, i in of_case]


@pytest.mark.parametrize(
    ("line", "what", "to_do"),
    [
        (b"{}", "missing required field `case_id`", "cut the line out"),
        (b"\x00\x00\x00", "not a sample", "cut the line out"),
        (b'{"case_id": "a", "repeat": 1e300}', "not a sample", "cut the line out"),
        (b'{"case_id": "a", "repeat": 99999999999999999999}', "a repeat of 1e", ""),
        (b"[" * 100_000, "not a sample", "cut the line out"),
        (b'{"case_id": "a", "more": 1}', "not a sample", "pip install --upgrade fcbench"),
        (b'{"case_id": "a", "text": "\\ud83d", "more": 1}', "not a sample", "--upgrade"),
    ],
)
def test_a_line_that_is_no_sample_is_named_and_readers_say_what_to_do(tmp_path, line, what, to_do):
    folder = written(tmp_path, samples(1, 2))
    log = tmp_path / "samples.jsonl"
    log.write_bytes(log.read_bytes() + line + b"\n")
    with pytest.raises(RunError, match=what) as refused:
        folder.log()
    assert str(log) in refused.value.message
    assert to_do in (refused.value.hint or "")


@pytest.mark.parametrize("name", ["run.json", "samples.jsonl", "prompts.jsonl"])
@pytest.mark.parametrize(
    ("put", "what"),
    [
        (os.mkfifo, "is no plain file"),
        (lambda path: path.symlink_to(os.devnull), "leads out of its folder"),
        (lambda path: path.symlink_to(path.parent.parent / "secret"), "leads out of its folder"),
        (lambda path: path.symlink_to(path.name), "leads to itself"),
    ],
    ids=["pipe", "device", "other file", "loop"],
)
def test_readers_open_no_pipe_and_nothing_outside_of_a_runs_folder(tmp_path, name, put, what):
    (tmp_path / "secret").write_text("{}", encoding="utf-8")
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    put(folder.path / name)
    readers = {
        "run.json": [folder.manifest],
        "samples.jsonl": [folder.samples, folder.log],
        "prompts.jsonl": [folder.prompts],
    }
    for read in readers[name]:
        with pytest.raises(RunError, match=f"{name} .*{what}"):
            read()


@pytest.mark.parametrize("name", WRITTEN)
def test_nothing_is_written_through_a_link_that_leads_out_of_a_runs_folder(tmp_path, name):
    (tmp_path / "mine").write_text("kept", encoding="utf-8")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "mine")
    with pytest.raises(RunError, match="leads out of its folder"):
        Writer(RunFolder(tmp_path / "run"))
    assert [path.name for path in (tmp_path / "run").iterdir()] == [name]


def test_what_a_kill_left_half_written_is_gone_when_the_run_begins_again(tmp_path):
    folder = Path(asked(tmp_path).folder)
    for name in ("run.json", "samples.jsonl"):
        (folder / name).unlink()
    for name in ("prompts.jsonl.0123abcd.partial", "run.json.partial"):
        (folder / name).write_text("half", encoding="utf-8")
    assert asked(tmp_path).folder == str(folder)
    names = {path.name for path in folder.iterdir()}
    assert names == {"run.json", "prompts.jsonl", "samples.jsonl"}


def test_a_manifest_that_never_ends_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(_folder, "MOST_MANIFEST_BYTES", 10)
    (tmp_path / "run.json").write_text('{"a": 123}', encoding="utf-8")
    assert RunFolder(tmp_path).manifest() == {"a": 123}
    (tmp_path / "run.json").write_text('{"a": 1234}', encoding="utf-8")
    with pytest.raises(RunError, match="longer than 10 bytes"):
        RunFolder(tmp_path).manifest()


def test_what_json_holds_and_few_readers_take_is_read(tmp_path):
    line = '{"case_id": "a", "text": "\\ud83d", "seconds": 1, "native_calls": [{"name": "f", '
    line += f'"arguments": {{"x": {"9" * 5000}, "y": 1e999, "z": NaN}}}}]}}\n'
    (tmp_path / "samples.jsonl").write_text(line, encoding="utf-8")
    (sample,) = RunFolder(tmp_path).log()
    arguments = sample.native_calls[0].arguments
    assert (sample.text, sample.seconds) == ("\ud83d", 1.0)
    assert arguments["x"] == 10**5000 - 1
    assert arguments["y"] == float("inf")


def test_a_large_log_that_is_gone_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(_log, "KEPT_BYTES", 0)
    found = written(tmp_path, samples()).log()
    assert len(list(found)) == 12
    (tmp_path / "samples.jsonl").unlink()
    with pytest.raises(
        RunError, match=r"samples\.jsonl: was changed since it was read, or is gone"
    ):
        list(found)


def test_a_reader_never_sees_half_a_line(tmp_path):
    """One process writes, a few bytes at a time; this one reads all the while."""
    writer = f"""
import os, sys
from fcbench import Sample
from fcbench.runs._folder import RunFolder
from fcbench.runs._writer import Writer
from pathlib import Path
write = os.write
os.write = lambda file, content: write(file, content[:7])
with Writer(RunFolder(Path({str(tmp_path)!r}))) as writer:
    for i in range(150):
        writer.append(Sample(f"c{{i}}", 0, "x" * (i % 50)))
        writer.append(Sample(f"c{{i}}", 1, "é"))
"""
    process = subprocess.Popen([sys.executable, "-c", writer])
    folder, seen = RunFolder(tmp_path), 0
    while process.poll() is None:
        found = list(folder.samples())
        assert seen <= len(found)
        seen = len(found)
    assert process.returncode == 0
    assert len(folder.log()) == 300


# Full disks


@pytest.mark.parametrize("limit", [0, 1, 700, 2500])
def test_a_disk_that_is_full_is_a_clear_error_and_nothing_before_it_is_lost(tmp_path, limit):
    """A file may grow to `limit` bytes: the system itself writes a part of a line, then refuses."""
    script = f"""
import resource, signal, sys
import fcbench
from fcbench.runs import execute, plan
from fcbench.backends.python import PythonBackend
from fcbench.runs import _generate
backend = PythonBackend(lambda prompts: ["x" * 300] * len(prompts), "x", 1)
made = plan("x", "original_experiment", "bare", None, "greedy", "r")
append = _generate.open_writer
def limited(plan):
    writer = append(plan)
    begun = writer.append
    def limited_append(sample):
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
        begun(sample)
    writer.append = limited_append
    return writer
_generate.open_writer = limited
try:
    execute(made, backend)
except fcbench.errors.RunError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "samples.jsonl: cannot be written: File too large\nhint: " in done.stdout
    assert "--resume" in done.stdout
    (folder,) = (tmp_path / "r").iterdir()
    content = (folder / "samples.jsonl").read_bytes()
    assert len(content) <= limit
    assert content[-1:] in (b"", b"\n"), "what did not fit whole was cut off again"
    kept = list(RunFolder(folder).samples())
    assert (len(kept) > 0) is (limit >= 700)
    assert len(kept) == content.count(b"\n")
    assert {path.name for path in folder.iterdir()} == {
        "run.json",
        "prompts.jsonl",
        "samples.jsonl",
    }
    # There is room again.
    made = plan("x", "original_experiment", "bare", None, "greedy", tmp_path / "r", resume=True)
    resumed = execute(made, PythonBackend(lambda prompts: ["x" * 300] * len(prompts), "x", 1))
    assert [s.text for s in resumed.samples] == ["x" * 300] * 5
    assert (folder / "samples.jsonl").read_bytes().startswith(content)


@pytest.mark.parametrize("n_before", range(12))
def test_a_full_disk_at_any_write_is_a_run_error_that_names_a_file(tmp_path, monkeypatch, n_before):
    """The n-th call that takes room fails; the run then goes on as if nothing had happened."""
    n_calls = 0

    def failing(real, *, is_open=False):
        def call(*arguments, **named):
            nonlocal n_calls
            mode = named.get("mode", arguments[1] if len(arguments) > 1 else "r")
            if is_open and not set(str(mode)) & set("wax+"):
                return real(*arguments, **named)
            n_calls += 1
            if n_calls == n_before + 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", failing(os.write))
        patched.setattr(os, "fsync", failing(os.fsync))
        patched.setattr(Path, "mkdir", failing(Path.mkdir))
        patched.setattr(Path, "replace", failing(Path.replace))
        patched.setattr(Path, "open", failing(Path.open, is_open=True))
        refused = None
        try:
            asked(tmp_path)
        except RunError as error:
            refused = error
    if refused is not None:  # some writes are a courtesy, without which the run is whole
        assert "No space left on device" in refused.message
        assert str(tmp_path / "r") in refused.message
    made = asked(tmp_path, resume=True)
    assert [s.text for s in made.samples] == ["yes"] * 5
    names = {path.name for path in Path(made.folder).iterdir()}
    assert names == {"run.json", "prompts.jsonl", "samples.jsonl"}


# Memory


def peak_of(do):
    tracemalloc.start()
    try:
        done = do()
        return done, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_a_run_and_of_its_scores_does_not_grow_with_the_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(_log, "KEPT_BYTES", 0)
    asked(tmp_path)  # what is imported and read once
    score(str(asked(tmp_path).folder))

    def run():
        return asked(tmp_path, lambda prompts: ["x" * 60_000] * len(prompts), repeats=40)

    made, peak = peak_of(run)
    size = (Path(made.folder) / "samples.jsonl").stat().st_size
    assert size > 12_000_000
    assert peak < size / 4
    scores, peak = peak_of(lambda: score(made, keep_verdicts=False))
    assert scores.n_samples == len(made.samples) == 200
    assert peak < size / 10


def test_prompts_of_a_run_are_not_all_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("fcbench.prompts._requests.KEPT_CHARACTERS", 0)
    tool = {"name": "f", "description": "x" * 30_000}
    row = {"tools": [tool], "expected": [[{"name": "f", "arguments": {}}]]}
    said = [[{"role": "user", "content": f"{i}"}] for i in range(500)]
    rows = [json.dumps({"id": f"c{i}", "messages": said[i], **row}) for i in range(500)]
    suite = tmp_path / "cases.jsonl"
    suite.write_text("\n".join(rows), encoding="utf-8")
    loaded, of_suite = peak_of(lambda: load_suite(suite))
    assert of_suite < 5_000_000, "each case has tools of its own"
    backend = PythonBackend(lambda prompts: ["no"] * len(prompts), "x", 4)
    execute(plan("x", loaded, "raw", None, "greedy", tmp_path / "first", limit=1), backend)
    made = plan("x", loaded, "raw", None, "greedy", tmp_path / "r")
    _, peak = peak_of(lambda: execute(made, backend))
    (prompts,) = (tmp_path / "r").glob("*/prompts.jsonl")
    assert prompts.stat().st_size > 15_000_000
    assert peak < 6_000_000  # of which nearly all is what a run takes of five cases
