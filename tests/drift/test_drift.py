"""Drift: one row a way, tests against the reference, from models and from stored runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fcbench.cli import main
from fcbench.drift import Ways, as_json, as_text, drift, drift_of_runs, merge_command
from fcbench.errors import RunError, UsageError
from fcbench.report.comparison import least_shown
from fcbench.runs import compare_all
from fcbench.stats import holm
from tests.drift.planted import (
    SMALL,
    WRONG,
    build_idle_adapter,
    changed,
    stored_run,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_merged_model_is_its_adapter_and_nothing_flips(model, adapter, merged, words):
    ways = Ways(str(adapter), str(merged), prompts=("raw", "bare"), dtypes=("float32",))
    found = drift(str(model), words, ways, **SMALL)
    assert [row.label for row in found.rows] == [
        f"{prompt},float32,{weights}"
        for prompt in ("raw", "bare")
        for weights in ("adapter", "merged", "base")
    ]
    assert found.reference == 0
    assert found.same_answers[:2] == [(3, 3), (3, 3)]
    assert found.same_answers[2][0] < 3  # the adapter is no copy of the base
    assert found.flips == []
    assert found.notes == []
    assert {row.run for row in found.rows} == {""}
    text = as_text(found)
    assert "no case flips in B, C, D, E, F" in text
    assert "each prompt has the same text, and as many tokens, in all of its rows" in text


def test_each_model_is_loaded_once_for_all_of_its_prompts(
    model, adapter, words, monkeypatch, tmp_path
):
    from fcbench.backends import transformers

    loads = []
    monkeypatch.setattr(
        transformers,
        "load",
        lambda name, options, load=transformers.load: (
            loads.append((options.adapter, options.dtype)) or load(name, options)
        ),
    )
    ways = Ways(str(adapter), prompts=("raw", "bare"), dtypes=("float32", "bfloat16"))
    found = drift(str(model), words, ways, results=tmp_path / "runs", **SMALL)
    assert len(found.rows) == 8
    assert [dtype for _, dtype in loads] == ["bfloat16", "float32", "bfloat16", "float32"]
    assert loads[-1][0] == str(adapter)  # the reference comes last, to measure with
    assert f"no merged rows: {merge_command(str(model), str(adapter))}" in found.notes[0]
    stored = drift_of_runs([tmp_path / "runs"])
    assert [row.label for row in stored.rows] == [row.label for row in found.rows]
    assert stored.comparisons == found.comparisons
    assert stored.same_answers == found.same_answers
    # A tokenizer of one token a character: the two differ by what it has no token for.
    (pair,), (by_text,) = found.prompts, stored.prompts
    assert (pair.unit, by_text.unit) == ("tokens", "characters")
    assert 0 < pair.lengths[0].median < by_text.lengths[0].median


def test_an_inactive_adapter_is_said_to_be_one(model, words, tmp_path):
    idle = build_idle_adapter(model, tmp_path / "idle")
    ways = Ways(str(idle), prompts=("bare",), dtypes=("float32",))
    with pytest.warns(UserWarning, match="changes no logit"):
        found = drift(str(model), words, ways, **SMALL)
    assert [row.adapter_active for row in found.rows] == [False, None]
    assert found.same_answers[1] == (3, 3)
    assert any("the adapter is not active" in note for note in found.notes)
    assert "adapter (not active)" in as_text(found)


def test_p_values_are_those_of_compare_all_with_holm_over_all_that_are_shown(tmp_path, run, calls):
    b, c = run, run
    for i in range(6):
        b = changed(b, tmp_path / f"b{i}", only=i, text=WRONG)
    for i in range(9):
        c = changed(c, tmp_path / f"c{i}", only=2 * i, text="No.")
    found = drift_of_runs([run, b, c])
    scores = [row.scores for row in found.rows]
    tests = [(metric, i) for metric in found.metrics for i in (1, 2)]
    expected = {(m, i): compare_all(scores, m)[0, i].p_value for m, i in tests}
    assert {key: found.comparisons[key[0]][key[1]].p_value for key in tests} == expected
    assert len(tests) == 6  # three metrics of two rows, read together
    adjusted = [found.comparisons[metric][i].p_adjusted for metric, i in tests]
    assert adjusted == holm(list(expected.values()))
    assert [len(found.comparisons["name_match"][i].flips) for i in (1, 2)] == [6, 9]


def test_the_number_of_tests_is_said_and_what_each_metric_can_show_at_its_own_n(
    tmp_path, calls, monkeypatch
):
    rows = [json.loads(line) for line in Path(calls).read_text("utf-8").splitlines()]
    for row in rows[:7]:
        row["expected"] = [[]]
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = stored_run(monkeypatch, str(mixed), tmp_path)
    found = drift_of_runs([run, changed(run, tmp_path / "b", only=9, text=WRONG)])
    assert found.n_tests == 4
    text = " ".join(as_text(found).split())
    assert "adjusted for being one of 4 tests, all metrics of all rows" in text
    assert f"argument exact match: {least_shown(13, 4)}" in text
    assert f"abstention: {least_shown(7, 4)}" in text
    assert "7 cases are too few" in text


def test_of_a_folder_of_runs_the_newest_of_each_kind_are_taken(tmp_path, run, calls, monkeypatch):
    folder = tmp_path / "runs"
    bare = stored_run(monkeypatch, calls, tmp_path / "first", "bare")
    for name, source, day in (("a", run, 1), ("b", run, 3), ("c", bare, 2)):
        manifest = changed(source, folder / name, text=name) / "run.json"
        plain = json.loads(manifest.read_text("utf-8"))
        plain["started_at"] = f"2026-01-0{day}T00:00:00+00:00"
        manifest.write_text(json.dumps(plain), encoding="utf-8")
    changed(run, folder / "broken")
    (folder / "broken" / "run.json").write_text("{}", encoding="utf-8")
    found = drift_of_runs([folder])
    assert [row.run for row in found.rows] == [str(folder / "b"), str(folder / "c")]
    assert found.notes[0].startswith(f"left out: {folder}/broken/run.json: not the manifest")
    assert found.notes[1] == f"left out: {folder}/a, of which there is a newer run"
    assert found.n_tests == 3  # not those of the run that is left out


def test_what_rows_chose_their_tokens_by_is_in_their_labels_where_it_differs(tmp_path, run, calls):
    longer = changed(run, tmp_path / "longer")
    manifest = json.loads((longer / "run.json").read_text("utf-8"))
    manifest["decoding"].update(max_new_tokens=64, temperature=0.7)
    (longer / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    labels = [row.label for row in drift_of_runs([run, longer]).rows]
    name = "chat,python:right:answer"
    assert labels == [name, f"{name},temperature 0.7,at most 64 tokens"]
    assert drift_of_runs([run, longer], "at most 64 tokens").reference == 1
    assert "chat, temperature 0.7, at most 64 tokens" in as_text(drift_of_runs([run, longer]))
    twice = drift_of_runs([longer, changed(longer, tmp_path / "again")])
    assert [row.label for row in twice.rows] == [name, name]  # what all have tells nothing


def test_how_two_prompts_differ_is_counted(tmp_path, run, calls, monkeypatch):
    found = drift_of_runs([run, stored_run(monkeypatch, calls, tmp_path, "bare")])
    (pair,) = found.prompts
    texts = [list(row.texts.values()) for row in found.rows]
    starts = [
        max(n for n in range(len(a)) if b.startswith(a[:n])) for a, b in zip(*texts, strict=True)
    ]
    assert (pair.first, pair.second, pair.n) == ("chat", "bare", 20)
    assert (pair.at.low, pair.at.high) == (min(starts), max(starts))
    for lengths, differing, of in zip(pair.lengths, pair.differing, texts, strict=True):
        assert (lengths.low, lengths.high) == (min(map(len, of)), max(map(len, of)))
        assert differing.high <= lengths.high - pair.at.low - pair.at_end.low
    # The user's words come last in both: bare has nothing that chat has not.
    assert pair.differing[1].high < 10


def test_the_reference_can_be_named_in_part(tmp_path, run, calls, monkeypatch):
    other = stored_run(monkeypatch, calls, tmp_path, "bare")
    assert drift_of_runs([run, other], "bare").reference == 1
    assert drift_of_runs([run, other], "python:right:answer, chat").reference == 0
    with pytest.raises(UsageError, match="no row is called raw") as caught:
        drift_of_runs([run, other], "raw")
    assert "bare,python:right:answer" in caught.value.hint


def test_merged_is_what_the_user_calls_so(tmp_path, run):
    adapted = changed(
        run, tmp_path / "a", model={"name": "m", "adapter": {"name": "x/a", "active": True}}
    )
    whole = changed(run, tmp_path / "b", model={"name": "/models/whole"})
    assert [row.weights for row in drift_of_runs([whole, adapted]).rows] == ["adapter", "whole"]
    named = drift_of_runs([whole, adapted], merged="/models/whole")
    assert [row.weights for row in named.rows] == ["adapter", "merged"]


def test_a_folder_without_a_run_and_a_run_alone_are_refused(tmp_path, run):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds no run"):
        drift_of_runs([tmp_path / "empty"])
    with pytest.raises(UsageError, match="two ways"):
        drift_of_runs([run])


# The command


def test_the_command_runs_every_prompt_and_goes_on_with_resume(
    prompt_dependent, calls, tmp_path, capsys
):
    arguments = ["drift", "--model", prompt_dependent, "--suite", calls, "--limit", "5"]
    arguments += ["--results", str(tmp_path / "runs")]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert "the same weights in 3 ways" in out
    assert "raw, not chat: 5 flips in B" in out
    assert "1 of 1: base" in err
    assert len(list((tmp_path / "runs").glob("*/run.json"))) == 3
    assert main([*arguments, "--resume"]) == 0
    assert capsys.readouterr().out == out
    assert len(list((tmp_path / "runs").glob("*/run.json"))) == 3
    assert main(["drift", "--runs", str(tmp_path / "runs")]) == 0
    stored = capsys.readouterr().out.replace("python:moody:answer", "base")
    assert [w for w in stored.split() if "--" not in w] == [w for w in out.split() if "--" not in w]


def test_json_and_markdown_hold_every_flip(tmp_path, run, capsys):
    other = run
    for i in range(7):
        other = changed(other, tmp_path / f"other{i}", only=i, text=f"{WRONG}{i}")
    file = tmp_path / "drift.md"
    assert main(["drift", "--runs", str(run), str(other), "--json", "--markdown", str(file)]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert [row["row"] for row in plain["rows"]] == ["A", "B"]
    assert len(plain["flips"]) == 7
    assert {flip["cause"]["kind"] for flip in plain["flips"]} == {"text"}
    assert plain["flips"][6]["answer"]["text"] == f"{WRONG}6"
    comparison = plain["comparisons"][0]
    assert (comparison["row"], comparison["metric"]) == ("B", "syntax_validity")
    assert comparison["table"]["only_a"] == 7
    markdown = file.read_text("utf-8")
    assert all(f"{WRONG}{i}" in markdown for i in range(7))
    assert markdown.startswith("### calls, SHA-256")
    assert "| A | chat" in " ".join(markdown.split())
    assert main(["drift", "--runs", str(run), str(other), "--flips", "2"]) == 0
    out = capsys.readouterr().out
    assert "… and 5 more" in out
    assert out.count(WRONG) == 2


def test_errors_exit_3(tmp_path, run, capsys):
    failed = changed(run, tmp_path / "failed", only=3, text="", error="out of \x1bmemory")
    assert main(["drift", "--runs", str(run), str(failed)]) == 3
    out, err = capsys.readouterr()
    assert "1 samples are errors" in err
    assert "machinery" in out
    assert "errors" in out.splitlines()[2] + out.splitlines()[3]
    assert "\x1b" not in out + err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--model MODEL, or --runs"),
        (["--runs", "x", "--model", "m"], "no model is run"),
        (["--runs", "x", "--flips", "-1"], "at least 0"),
        (["--runs", "nowhere"], "holds no run"),
    ],
)
def test_wrong_usage_is_said_in_a_line(arguments, message, capsys):
    assert main(["drift", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_json_of_a_drift_with_a_model_says_which_rows_it_has(model, words):
    ways = Ways(prompts=("bare",), dtypes=("float32", "bfloat16"))
    plain = json.loads(as_json(drift(str(model), words, ways, **SMALL)))
    assert [(row["dtype"], row["weights"], row["run"]) for row in plain["rows"]] == [
        ("float32", "base", ""),
        ("bfloat16", "base", ""),
    ]
