"""--sample: N cases drawn by a seed, the same ones everywhere and always."""

import json

import pytest

import fcbench
from fcbench.errors import RunError, UsageError
from fcbench.report.leaderboard import read_rows, row_of
from fcbench.runs import plan, read_run
from fcbench.runs._plan import select
from fcbench.suite import load_suite


@pytest.fixture(autouse=True)
def stand_in(tmp_path, monkeypatch):
    (tmp_path / "sampled.py").write_text(
        "def silent(prompts):\n    return ['No.'] * len(prompts)\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def planned(suite="mobile_actions", **options):
    return plan("python:sampled:silent", suite, "chat", None, None, "results", **options)


def ids(cases):
    return [case.id for case in cases]


def test_a_sample_is_the_same_for_everybody():
    # Pinned: whoever repeats a published run must draw the same cases.
    assert ids(planned(sample=4).cases) == ["eval-0044", "eval-0064", "eval-0083", "eval-0129"]


def test_a_sample_stands_in_the_suites_order_and_depends_on_the_seed():
    whole = ids(load_suite("mobile_actions").cases)
    drawn = {seed: ids(planned(sample=30, seed=seed).cases) for seed in range(4)}
    for of_seed in drawn.values():
        assert len(of_seed) == len(set(of_seed)) == 30
        assert of_seed == sorted(of_seed, key=whole.index)
    assert len({tuple(of_seed) for of_seed in drawn.values()}) == 4
    assert all(of_seed != whole[:30] for of_seed in drawn.values())


def test_a_smaller_sample_is_part_of_a_larger_one():
    assert set(ids(planned(sample=10).cases)) < set(ids(planned(sample=40).cases))


def test_a_draw_favours_no_place_in_the_suite():
    suite = load_suite("mobile_actions")
    counts = dict.fromkeys(ids(suite.cases), 0)
    for seed in range(400):
        for drawn in ids(select(suite, (), None, 20, seed)):
            counts[drawn] += 1
    assert sum(counts.values()) == 8000
    # 40 times each is expected; the standard deviation is 6.
    assert 10 < min(counts.values()) < 40 < max(counts.values()) < 70


def test_a_sample_is_drawn_among_the_tagged_cases():
    tagged = planned(sample=5, tags=("send_email",)).cases
    assert len(tagged) == 5
    assert all("send_email" in case.tags for case in tagged)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample": 0}, "sample is at least 1, got 0"),
        ({"sample": 5, "limit": 5}, "limit and sample both say how many cases"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        planned(**options)


def test_a_sample_that_leaves_nothing_out_is_none():
    assert planned(sample=200).sample is None
    assert planned(sample=200).name == planned().name
    assert planned(sample=10**9).cases == planned().cases


def test_a_runs_folder_says_the_sample_and_another_seed():
    assert planned(sample=40).name == "mobile_actions-sample40--python-sampled-silent--chat"
    assert planned(sample=40, seed=3).name.startswith("mobile_actions-sample40-seed3--")


def test_a_stored_run_is_read_with_the_cases_it_drew():
    made = fcbench.run(
        "python:sampled:silent", "mobile_actions", results="results", sample=7, seed=2
    )
    assert made.manifest["suite"]["sample"] == 7
    stored = read_run(made.folder)
    assert ids(stored.cases) == ids(planned(sample=7, seed=2).cases)
    assert fcbench.score(stored).n_errors == 0
    assert fcbench.score(made.folder).metrics == fcbench.score(made).metrics


def test_a_sampled_run_goes_on_and_another_draw_is_another_run():
    options = {"results": "results", "resume": True}
    first = fcbench.run("python:sampled:silent", "mobile_actions", sample=7, **options)
    again = fcbench.run("python:sampled:silent", "mobile_actions", sample=7, **options)
    assert (again.folder, again.samples) == (first.folder, first.samples)
    other = fcbench.run("python:sampled:silent", "mobile_actions", sample=7, seed=1, **options)
    assert other.folder != first.folder


def test_a_manifest_of_another_sample_cannot_be_resumed(tmp_path):
    options = {"results": "results", "resume": True}
    made = fcbench.run("python:sampled:silent", "mobile_actions", sample=7, **options)
    path = tmp_path / made.folder / "run.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["suite"]["sample"] = 8
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(RunError, match=r"suite\.sample differs"):
        fcbench.run("python:sampled:silent", "mobile_actions", sample=7, **options)


def test_a_run_from_before_there_were_samples_goes_on(tmp_path):
    options = {"results": "results", "resume": True, "limit": 3}
    made = fcbench.run("python:sampled:silent", "mobile_actions", **options)
    path = tmp_path / made.folder / "run.json"
    manifest = json.loads(path.read_text("utf-8"))
    del manifest["suite"]["sample"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert fcbench.run("python:sampled:silent", "mobile_actions", **options).folder == made.folder
    assert len(read_run(made.folder).cases) == 3


def test_samples_of_different_seeds_share_no_table(tmp_path):
    for options in ({"sample": 7}, {"sample": 7, "seed": 1}, {"limit": 7}):
        made = fcbench.run("python:sampled:silent", "mobile_actions", results="results", **options)
        row_of("x", fcbench.score(made), [])
    rows, left_out = read_rows(tmp_path / "results")
    assert sorted(row.selection for row in rows) == [
        "7 drawn by seed 0",
        "7 drawn by seed 1",
        "first 7",
    ]
    assert left_out == []
