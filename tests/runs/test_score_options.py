"""Scores of repeated samples, under a suite's own rules, and gates."""

import json
import math
from pathlib import Path

import msgspec
import pytest

import fcbench
from fcbench.cli import main
from fcbench.errors import RunError, UsageError
from fcbench.stats import clopper_pearson, wilson

RIGHT = fcbench.render([fcbench.Call("show_map", {"query": "Oslo"})])
WRONG = fcbench.render([fcbench.Call("show_map", {"query": "oslo"})])


@pytest.fixture
def suite(write_lines, case_row):
    return write_lines(
        *(case_row(id=f"c{i}", tags=["even"] if i % 2 == 0 else []) for i in range(10))
    )


@pytest.fixture
def loose(tmp_path, suite):
    """The same cases in a folder whose suite.toml overlooks case."""
    folder = tmp_path / "loose"
    folder.mkdir()
    (folder / "cases.jsonl").write_bytes(suite.read_bytes())
    (folder / "suite.toml").write_text('name = "loose"\nnormalise = ["case"]\n')
    return folder


def exact(scores):
    return scores.metrics["argument_exact_match"]


def test_a_suite_says_what_is_overlooked_and_scores_say_so_too(suite, loose):
    answers = {f"c{i}": WRONG for i in range(10)}
    assert exact(fcbench.score(answers, suite=suite)).value == 0
    scores = fcbench.score(answers, suite=loose)
    assert exact(scores).value == 1
    assert scores.matching == fcbench.Matching(normalise=("case",))
    assert exact(fcbench.score(answers, suite=loose, normalise=[])).value == 0
    assert exact(fcbench.score(answers, suite=suite, normalise=["case"])).value == 1


def test_a_run_records_its_suites_rules_and_is_scored_by_them(loose, tmp_path, monkeypatch):
    (tmp_path / "small.py").write_text(
        f"def answer(prompts):\n    return [{WRONG!r} for _ in prompts]\n"
    )
    monkeypatch.chdir(tmp_path)
    made = fcbench.run("python:small:answer", loose, results=tmp_path / "results")
    assert made.manifest["matching"] == {
        "matcher": "exact",
        "normalise": ["case"],
        "schema_defaults": False,
    }
    # The rules of the day count, whatever the suite says by now.
    (loose / "suite.toml").write_text('name = "loose"\n')
    assert exact(fcbench.score(made.folder)).value == 1


@pytest.mark.parametrize("line", ['normalise = ["cases"]', 'matcher = "exakt"'])
def test_a_suite_with_rules_that_do_not_exist_is_refused_before_a_run(loose, line):
    (loose / "suite.toml").write_text(f'name = "loose"\n{line}\n')
    with pytest.raises(fcbench.FcbenchError, match="did you mean"):
        fcbench.run("python:os:getcwd", loose)


def repeated(suite, n_right, n_repeats=5):
    rows = [
        {"id": f"c{i}", "repeat": r, "text": RIGHT if r < n_right[i] else WRONG}
        for i in range(10)
        for r in range(n_repeats)
    ]
    return fcbench.score(rows, suite=suite)


def test_repeats_of_a_case_are_one_cluster(suite):
    # Each case is right always or never: fifty samples say no more than ten.
    scores = repeated(suite, [5] * 5 + [0] * 5)
    assert exact(scores) == wilson(5, 10)
    # Cases that are all alike say nearly as much as fifty independent samples.
    alike = exact(repeated(suite, [2, 3] * 5))
    assert alike.n == 10
    assert alike.value == 0.5
    assert alike.high - alike.low < 0.7 * (wilson(5, 10).high - wilson(5, 10).low)


def test_pass_at_k_and_pass_hat_k_are_unbiased_over_cases(suite):
    scores = repeated(suite, [3] * 10)
    # Of 5 samples 3 are right: two drawn are both wrong in 1 of 10, both right in 3 of 10.
    assert scores.passes["pass@1"].value == pytest.approx(0.6)
    assert scores.passes["pass@2"].value == pytest.approx(0.9)
    assert scores.passes["pass@3"].value == pytest.approx(1.0)
    assert scores.passes["pass^2"].value == pytest.approx(0.3)
    assert scores.passes["pass^4"].value == 0
    assert set(scores.passes) == {f"pass{sign}{k}" for sign in "@^" for k in range(1, 6)}


def test_one_sample_a_case_has_no_pass_at_k(suite):
    assert fcbench.score({"c0": RIGHT}, suite=suite).passes == {}


def test_metrics_by_tag_are_those_of_the_tags_cases(suite):
    scores = fcbench.score({f"c{i}": RIGHT if i % 2 else WRONG for i in range(10)}, suite=suite)
    assert scores.by_tag["even"]["argument_exact_match"] == wilson(0, 5)


def test_a_gate_may_ask_for_the_interval_that_never_promises_too_much(suite, tmp_path, capsys):
    scores = fcbench.score({f"c{i}": RIGHT for i in range(10)}, suite=suite)
    low, exact_low = wilson(10, 10).low, clopper_pearson(10, 10).low
    between = (low + exact_low) / 2
    assert exact_low < between < low
    scores.assert_at_least(argument_exact_match=between)
    with pytest.raises(AssertionError, match="10 cases cannot prove more than 69"):
        scores.assert_at_least(argument_exact_match=between, interval="clopper-pearson")
    path = tmp_path / "outputs.jsonl"
    path.write_text("".join(json.dumps({"id": f"c{i}", "text": RIGHT}) + "\n" for i in range(10)))
    command = [
        "score",
        str(path),
        "--suite",
        str(suite),
        "--fail-under",
        f"argument_exact_match={between}",
    ]
    assert main(command) == 0
    assert main([*command, "--interval", "clopper-pearson"]) == 1
    assert "is not at least" in capsys.readouterr().err


def test_lenient_metrics_count_what_lenient_parsing_mends(suite):
    scores = fcbench.score({f"c{i}": f"Sure! {RIGHT}" for i in range(10)}, suite=suite)
    assert scores.metrics["syntax_validity"].value == exact(scores).value == 0
    lenient = ("syntax_validity_lenient", "name_match_lenient", "argument_exact_match_lenient")
    assert [scores.metrics[name].value for name in lenient] == [1, 1, 1]


def test_sorted_keys_count_only_where_the_template_sorts_them(suite):
    answers = {
        f"c{i}": fcbench.render([fcbench.Call("show_map", {"query": "Oslo"})], "json")
        for i in range(10)
    }
    assert fcbench.score(answers, suite=suite, format="json").metrics["canonical_order"].n == 0
    assert (
        fcbench.score({f"c{i}": RIGHT for i in range(10)}, suite=suite)
        .metrics["canonical_order"]
        .value
        == 1
    )


def test_the_command_prints_every_metric_the_rules_and_passes(loose, tmp_path, capsys):
    path = tmp_path / "outputs.jsonl"
    rows = [
        {"id": f"c{i}", "repeat": r, "text": WRONG, "output_tokens": 9}
        for i in range(10)
        for r in range(2)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["score", str(path), "--suite", str(loose)]) == 0
    out = capsys.readouterr().out
    assert "loose, 10 cases (case overlooked)" in out
    assert "pass^2" in out
    assert "9 [9–9] tokens" in out
    assert main(["score", str(path), "--suite", str(loose), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["matching"]["normalise"] == ["case"]
    assert plain["passes"]["pass@1"]["value"] == 1


def test_a_suite_says_how_many_tokens_its_answers_need(loose, suite, tmp_path, monkeypatch):
    (tmp_path / "small.py").write_text("def answer(prompts):\n    return ['' for _ in prompts]\n")
    monkeypatch.chdir(tmp_path)

    def limit(chosen, **options):
        made = fcbench.run("python:small:answer", chosen, **options)
        return made.manifest["decoding"]["max_new_tokens"]

    assert limit(suite) == 256
    (loose / "suite.toml").write_text('name = "loose"\nmax_new_tokens = 1000\n')
    assert limit(loose) == 1000
    assert limit(loose, max_new_tokens=7) == 7
    (loose / "suite.toml").write_text('name = "loose"\nmax_new_tokens = 0\n')
    with pytest.raises(fcbench.FcbenchError, match="max_new_tokens is at least 1"):
        limit(loose)


def test_no_interval_of_a_quantity_reaches_below_nothing(suite):
    rows = [{"id": f"c{i}", "text": RIGHT, "output_tokens": 1000 * (i == 0)} for i in range(10)]
    found = fcbench.score(rows, suite=suite).metrics["output_tokens"]
    assert (found.value, found.low, found.n) == (100, 0, 10)
    assert found.high > 300


@pytest.fixture
def stored(suite, tmp_path, monkeypatch):
    """A run in a folder."""
    (tmp_path / "small.py").write_text("def answer(prompts):\n    return list(prompts)\n")
    monkeypatch.chdir(tmp_path)
    return fcbench.run("python:small:answer", suite, results=tmp_path / "results")


def broken(manifest, *path, value=None):
    """Return a manifest with one field replaced, or left out."""
    broken = json.loads(json.dumps(manifest))
    *above, last = path
    at = broken
    for key in above:
        at = at[key]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return broken


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), None),
        (("format",), []),
        (("prompt",), 5),
        (("model",), None),
        (("suite", "name"), None),
        (("decoding",), []),
        (("decoding", "mode"), "bogus"),
        (("decoding", "repeats"), "x"),
        (("decoding", "repeats"), -1),
        (("decoding", "repeats"), 2**53),
        (("seed",), None),
        (("started_at",), None),
    ],
)
def test_a_broken_manifest_is_no_run_and_left_out_of_the_leaderboard(
    stored, tmp_path, capsys, path, value
):
    other = tmp_path / "results" / "other"
    other.mkdir()
    (other / "run.json").write_text(json.dumps(broken(stored.manifest, *path, value=value)))
    with pytest.raises(RunError, match=r"other/run\.json: not the manifest of a run"):
        fcbench.score(other)
    assert main(["leaderboard", "--results", "results"]) == 0
    assert "other/run.json" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["run.json", "samples.jsonl"])
def test_a_run_that_is_nested_too_deep_is_no_run(stored, file):
    (Path(stored.folder) / file).write_text("[" * 100_000 + "\n")
    with pytest.raises(RunError, match=file):
        fcbench.score(stored.folder)


def test_a_gate_is_on_a_share_of_which_more_is_better(suite):
    scores = fcbench.score({f"c{i}": RIGHT for i in range(10)}, suite=suite)
    for name in ("over_calling", "hallucinated_function"):
        with pytest.raises(UsageError, match="less is better"):
            scores.assert_at_least(**{name: 0.0})
    with pytest.raises(UsageError, match="no share"):
        scores.assert_at_least(seconds=0.5)
    for threshold in (float("nan"), 90):
        with pytest.raises(UsageError, match="from 0 to 1"):
            scores.assert_at_least(argument_exact_match=threshold)


def test_to_pandas_holds_what_a_model_wrote_whatever_it_is(suite):
    frame = fcbench.score({"c0": "\ud800", "c1": WRONG}, suite=suite).to_pandas()
    assert frame["text"][0] == "\ud800"
    assert frame["name_match"][:2].tolist() == [0.0, 1.0]
    assert frame["name_match"].dtype == float
    assert frame["repeat"].dtype == int


def test_pass_at_k_is_not_over_cases_in_which_a_constraint_forbids_the_answer(
    write_lines, case_row, tmp_path, monkeypatch
):
    suite = write_lines(case_row(id="call"), case_row(id="none", expected=[[]]))
    (tmp_path / "right.py").write_text(
        f"def answer(prompts):\n    return [{RIGHT!r}] * len(prompts)\n"
    )
    monkeypatch.chdir(tmp_path)
    free = fcbench.run("python:right:answer", suite, repeats=2)
    assert fcbench.score(free).passes["pass@1"][::3] == (0.5, 2)
    decoding = {**free.manifest["decoding"], "mode": "constrained"}
    held = msgspec.structs.replace(free, manifest={**free.manifest, "decoding": decoding})
    assert fcbench.score(held).passes["pass@1"][::3] == (1.0, 1)


def test_a_run_is_not_scored_by_another_order_than_its_suite_said(loose, tmp_path, monkeypatch):
    (tmp_path / "small.py").write_text("def answer(prompts):\n    return list(prompts)\n")
    monkeypatch.chdir(tmp_path)
    made = fcbench.run("python:small:answer", loose, results=tmp_path / "results")
    toml = loose / "suite.toml"
    toml.write_text(toml.read_text() + "ordered = true\n")
    with pytest.raises(RunError, match="says another `ordered` now"):
        fcbench.score(made.folder)
    with pytest.raises(RunError, match=r"suite\.ordered differs"):
        fcbench.run("python:small:answer", loose, results=tmp_path / "results", resume=True)


def frame_of(tmp_path, text, expected, **sample):
    """Return the row of a text in to_pandas, where a list of calls is right."""
    tools = [{"name": "show_map"}, {"name": "open_map"}]
    case = {"id": "a", "messages": [{"role": "user", "content": "…"}], "tools": tools}
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({**case, "expected": [expected]}) + "\n")
    text = text if isinstance(text, str) else fcbench.render(text)
    return fcbench.score([{"id": "a", "text": text, **sample}], suite=path).to_pandas().iloc[0]


def show_map(**arguments):
    return {"name": "show_map", "arguments": arguments}


@pytest.mark.parametrize(
    ("text", "expected", "reason"),
    [
        ([fcbench.Call("show_map", {"q": 1})], [show_map(q=1)], None),
        ("No.", [], None),
        ("No.", [show_map()], "no call was attempted"),
        ([fcbench.Call("show_map")], [], "calls where none was right"),
        ([fcbench.Call("open_map")], [show_map()], "expected show_map, called open_map"),
        ([fcbench.Call("show_map"), fcbench.Call("show_map")], [show_map()], "expected no further call, called show_map"),
        ([fcbench.Call("show_map")], [show_map(), show_map()], "expected show_map, called nothing"),
        ([fcbench.Call("show_map")], [show_map(q="Oslo")], "show_map.q: missing: expected 'Oslo'"),
        ([fcbench.Call("show_map", {"q": 1})], [show_map()], "show_map.q: extra: called 1"),
        ([fcbench.Call("show_map", {"q": 1})], [show_map(q="Oslo")], "show_map.q: wrong type: expected 'Oslo', called 1"),
        ([fcbench.Call("show_map", {"p": 1, "q": 1})], [show_map(p=1, q=2)], "show_map.q: different: expected 2, called 1"),
        ([fcbench.Call("show_map", {"q": "x" * 999})], [show_map()], f"show_map.q: extra: called '{'x' * 158}…"),
        ([fcbench.Call("show_map", {"q": 10**5000})], [show_map()], "show_map.q: extra: called a number too long to show"),
        ("<start_function_call>call:show_map{q:1}", [show_map(q=1)], "missing_end_token at 39: expected <end_function_call>, found 'the end of the turn'"),
    ],
)  # fmt: skip
def test_a_wrong_answer_has_a_reason_in_a_line(tmp_path, text, expected, reason):
    assert frame_of(tmp_path, text, expected)["reason"] == reason


def test_to_pandas_says_what_was_asked_written_and_judged(tmp_path, suite):
    row = frame_of(tmp_path, "call:show_map{", [show_map()], seconds=0.5)
    assert (row["case_id"], row["repeat"], row["tags"], row["text"]) == (
        "a",
        0,
        [],
        "call:show_map{",
    )
    assert (row["outcome"], row["error"]) == ("missing_start_token", None)
    assert (row["offset"], row["syntax_validity"], row["seconds"]) == (0, 0, 0.5)
    assert math.isnan(row["abstention"])
    right = frame_of(tmp_path, [fcbench.Call("show_map")], [show_map()])
    assert (right["outcome"], right["offset"], right["syntax_validity"]) == ("calls", None, 1)
    failed = frame_of(tmp_path, "call:show_map{", [show_map()], error="timeout")
    assert (failed["outcome"], failed["offset"]) == ("error", None)
    assert (failed["error"], failed["reason"]) == ("timeout", "no answer: timeout")
    tags = fcbench.score({"c0": RIGHT}, suite=suite).to_pandas()["tags"]
    assert list(tags[:2]) == [["even"], []]


def test_a_case_with_an_error_counts_with_fewer_samples(suite):
    rows = [
        {"id": f"c{i}", "repeat": r, "text": RIGHT if r == 0 else WRONG}
        for i in range(10)
        for r in range(3)
        if (i, r) != (0, 2)
    ]
    passes = fcbench.score([*rows, {"id": "c0", "repeat": 2, "error": "timeout"}], suite).passes
    assert {name: found.n for name, found in passes.items()} == {
        "pass@1": 10, "pass@2": 10, "pass@3": 9, "pass^1": 10, "pass^2": 10, "pass^3": 9,
    }  # fmt: skip
    assert passes["pass@1"].value == pytest.approx((9 / 3 + 1 / 2) / 10)


def test_the_samples_of_a_case_stand_in_the_order_of_their_repeats(suite):
    rows = [{"id": f"c{i}", "repeat": r, "text": RIGHT} for r in (2, 0, 1) for i in (1, 0)]
    verdicts = fcbench.score(rows, suite).verdicts
    assert [(v.case.id, v.sample.repeat) for v in verdicts[:6]] == [
        (f"c{i}", r) for i in (0, 1) for r in range(3)
    ]


def test_a_gate_refuses_errors_and_shows_five_failing_cases(suite):
    with pytest.raises(fcbench.FcbenchError, match="9 of 10 samples have no answer: c1: no output"):
        fcbench.score({"c0": RIGHT}, suite).assert_at_least(name_match=0)
    scores = fcbench.score({f"c{i}": WRONG if i < 5 else RIGHT for i in range(10)}, suite)
    with pytest.raises(AssertionError) as caught:
        scores.assert_at_least(argument_exact_match=0.5, name_match=0.5)
    first, *rest = str(caught.value).splitlines()
    assert first == (
        "argument_exact_match 50.0% [23.7%, 76.3%] of 10 is not at least 0.5 (lower bound)"
    )
    assert rest == [
        "  outputs, over 10 cases of cases",
        "  what the 10 turns were: calls 10",
        "  5 fall short (other arguments 5), the first of them:",
        *(
            line
            for i in range(5)
            for line in (
                f"  c{i}: show_map.query is different",
                "    expected 'Oslo'",
                "    called   'oslo'",
                f"    text     {WRONG}",
            )
        ),
    ]
    scores.assert_at_least(argument_exact_match=exact(scores).low)


def test_a_metric_over_no_case_reaches_no_threshold(suite):
    (line,) = fcbench.score({"c0": RIGHT}, suite).missed({"abstention": 0.1})
    assert line == "abstention — (over no case) is not at least 0.1 (lower bound)"


def test_a_gate_on_a_metric_that_is_moot_is_missed(suite):
    answers = {f"c{i}": fcbench.render(fcbench.parse(RIGHT).calls, "json") for i in range(10)}
    (line,) = fcbench.score(answers, suite, "json").missed({"canonical_order": 0.1})
    assert line.startswith("canonical_order — (over no case)")


def test_a_label_names_the_model_the_prompt_and_its_examples(suite):
    from msgspec import structs

    scores = fcbench.score({"c0": RIGHT}, suite)
    assert scores.label == "outputs"
    manifest = {"model": {"name": "m"}, "prompt": {"mode": "raw", "few_shot": 0}}
    assert structs.replace(scores, manifest=manifest).label == "m, raw"
    manifest["prompt"]["few_shot"] = 3
    assert structs.replace(scores, manifest=manifest).label == "m, raw+3"
