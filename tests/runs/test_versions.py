"""A log of an earlier fcbench is read as what it was; one of a later fcbench is refused."""

import json
import shutil
from pathlib import Path

import pytest

from fcbench import score
from fcbench.errors import RunError
from fcbench.report import leaderboard
from fcbench.runs import read_run, run
from fcbench.runs._version import LOG_VERSION
from fcbench.text import visible

RESULTS = Path(__file__).parent.parent.parent / "results"
RUN = RESULTS / "original_experiment--gemma3-270m--bare"


def forms():
    """One stored run of each form that run.json has had: which fields it says."""
    found = {}
    for path in sorted(RESULTS.rglob("run.json")):
        said = json.loads(path.read_text("utf-8"))
        form = tuple(
            (name, tuple(sorted(value)) if isinstance(value, dict) else "")
            for name, value in sorted(said.items())
            if name not in ("versions", "machine", "model")
        )
        found.setdefault(form, path.parent)
    return list(found.values())


def changed(folder, **fields):
    copy = folder / "copy"
    shutil.copytree(RUN, copy)
    said = json.loads((copy / "run.json").read_text("utf-8"))
    for name, value in fields.items():
        if value is None:
            said.pop(name, None)
        else:
            said[name] = value
    (copy / "run.json").write_text(json.dumps(said), "utf-8")
    return copy


def test_results_hold_logs_of_more_than_one_form():
    assert len(forms()) >= 2


@pytest.mark.parametrize("folder", forms(), ids=lambda folder: folder.name)
def test_a_log_of_each_earlier_form_is_read_and_scored(folder):
    made = read_run(folder)
    assert len(made.samples) == len(made.cases) > 0
    assert score(str(folder)).metrics["syntax_validity"].n > 0


def test_a_log_that_says_less_is_read_with_what_every_run_was_then(tmp_path):
    whole = score(str(RUN))
    said = json.loads((RUN / "run.json").read_text("utf-8"))
    decoding = {k: v for k, v in said["decoding"].items() if k in ("mode", "max_new_tokens")}
    suite = {k: v for k, v in said["suite"].items() if k not in ("ordered", "sample")}
    bare = changed(
        tmp_path, log_version=None, matching=None, batch_size=None, versions=None, machine=None,
        computed=None, decoding=decoding, suite=suite,
    )  # fmt: skip
    assert score(str(bare)).metrics == whole.metrics


def test_a_field_that_is_merely_new_is_no_reason_to_refuse_a_log(tmp_path):
    newer = changed(tmp_path, something={"that": "is new"})
    assert score(str(newer)).metrics == score(str(RUN)).metrics


@pytest.mark.parametrize("version", [LOG_VERSION + 1, 10**30])
def test_a_log_of_a_later_version_is_refused_and_says_what_to_do(tmp_path, version):
    newer = changed(tmp_path, log_version=version, versions={"fcbench": "9.0"})
    with pytest.raises(RunError, match=rf"its log has version {version} \(by fcbench 9.0\)") as no:
        read_run(newer)
    assert no.value.hint == "pip install --upgrade fcbench"
    with pytest.raises(RunError, match="its log has version"):
        score(str(newer))


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0, [], {}])
def test_a_version_that_is_no_number_is_refused(tmp_path, version):
    with pytest.raises(RunError, match="log_version: expected a whole number from 1"):
        read_run(changed(tmp_path, log_version=version))


def test_a_later_log_is_left_out_of_a_leaderboard_that_says_so(tmp_path):
    changed(tmp_path, log_version=LOG_VERSION + 1)
    shutil.copytree(RUN, tmp_path / "today")
    rows, left_out = leaderboard.read_rows(tmp_path)
    assert [row.run for row in rows] == ["today"]
    assert any("its log has version" in visible(line) for line in left_out)


def answer(prompts):
    return ["no" for _ in prompts]


def test_a_later_log_is_not_resumed(tmp_path):
    made = run(answer, "original_experiment", "chat", results=tmp_path)
    path = Path(made.folder) / "run.json"
    said = json.loads(path.read_text("utf-8"))
    assert said["log_version"] == LOG_VERSION
    path.write_text(json.dumps({**said, "log_version": LOG_VERSION + 1}), "utf-8")
    before = (Path(made.folder) / "samples.jsonl").read_bytes()
    with pytest.raises(RunError, match="its log has version"):
        run(answer, "original_experiment", "chat", results=tmp_path, resume=True)
    assert (Path(made.folder) / "samples.jsonl").read_bytes() == before
