"""Comparisons of runs: the table, the test, the interval, the flips, and what is refused."""

import json

import pytest

import fcbench
from fcbench.cli import main
from fcbench.errors import UsageError
from fcbench.report.comparison import as_text
from fcbench.runs import compare_all


@pytest.fixture
def suite(write_lines, case_row):
    """A suite of twenty cases, c0 to c19."""
    return write_lines(*(case_row(id=f"c{i}") for i in range(20)))


RIGHT = fcbench.render([fcbench.Call("show_map", {"query": "Oslo"})])
WRONG = fcbench.render([fcbench.Call("show_map", {"query": "Bergen"})])


def outputs(right, n=20):
    """Texts of which those of the named cases are right."""
    return {f"c{i}": RIGHT if i in right else WRONG for i in range(n)}


def scores(suite, right):
    return fcbench.score(outputs(right), suite=suite)


def test_the_table_the_test_and_the_difference_are_those_of_the_cases(suite):
    # Right in both 8, only in a 2, only in b 9, in neither 1.
    found = fcbench.compare(scores(suite, range(10)), scores(suite, [*range(8), *range(10, 19)]))
    assert (found.table.both, found.table.only_a, found.table.only_b, found.table.neither) == (
        8,
        2,
        9,
        1,
    )
    assert (found.a.value, found.b.value) == (0.5, 0.85)
    assert found.difference.value == pytest.approx(0.35)
    assert found.difference.low < 0.35 < found.difference.high
    # 2 of 11 or fewer, twice: 2 * (1 + 11 + 55) / 2**11
    assert found.p_value == pytest.approx(2 * 67 / 2048)
    assert found.smallest_significant == pytest.approx(6 / 20)
    assert [flip.case_id for flip in found.flips] == [f"c{i}" for i in range(8, 19)]
    flip = found.flips[0]
    assert (flip.a.value, flip.b.value, flip.a.text, flip.b.text) == (1, 0, RIGHT, WRONG)
    assert flip.a.reason is None
    assert "different" in flip.b.reason


def test_swapping_the_runs_turns_the_difference_round(suite):
    a, b = scores(suite, range(10)), scores(suite, range(4))
    there, back = fcbench.compare(a, b), fcbench.compare(b, a)
    assert there.difference.value == -back.difference.value
    assert there.p_value == back.p_value
    assert there.table.only_a == back.table.only_b == 6


def test_equal_runs_do_not_claim_certainty(suite):
    found = fcbench.compare(scores(suite, range(10)), scores(suite, range(10)))
    assert (found.difference.value, found.p_value, found.flips) == (0, 1, [])
    assert found.difference.low < -0.1
    assert found.difference.high > 0.1


def test_holm_raises_the_p_values_of_several_pairs(suite):
    runs = [scores(suite, range(k)) for k in (2, 10, 20)]
    found = compare_all(runs)
    assert list(found) == [(0, 1), (0, 2), (1, 2)]
    assert all(c.p_adjusted >= c.p_value for c in found.values())
    assert found[0, 2].p_adjusted == pytest.approx(3 * found[0, 2].p_value)
    (alone,) = compare_all(runs[:2]).values()
    assert alone.p_adjusted == alone.p_value


def test_cases_with_an_error_are_left_out_and_counted(suite):
    a = scores(suite, range(10))
    answers = [{"id": key, "text": text} for key, text in outputs(range(20)).items() if key != "c3"]
    b = fcbench.score([*answers, {"id": "c3", "error": "timeout"}], suite=suite)
    found = fcbench.compare(a, b)
    assert (found.n, found.n_left_out, found.n_errors) == (19, 1, 1)
    assert (
        sum((found.table.both, found.table.only_a, found.table.only_b, found.table.neither)) == 19
    )


def test_repeats_count_a_case_once(suite):
    def repeated(n_right):
        rows = [
            {"id": f"c{i}", "repeat": r, "text": RIGHT if r < n_right(i) else WRONG}
            for i in range(20)
            for r in range(4)
        ]
        return fcbench.score(rows, suite=suite)

    found = fcbench.compare(repeated(lambda i: 2), repeated(lambda i: 3 if i < 10 else 2))
    assert found.n == 20
    assert found.table is None
    assert found.difference.value == pytest.approx(10 / 20 * 1 / 4)
    # Ten cases differ, all the same way: 2 / 2**10.
    assert found.p_value == pytest.approx(2 / 1024)
    assert len(found.flips) == 10


def test_a_metric_that_is_no_share_is_compared_by_case(suite):
    def with_tokens(n):
        rows = [
            {"id": key, "text": text, "output_tokens": n + i % 3}
            for i, (key, text) in enumerate(outputs(range(5)).items())
        ]
        return fcbench.score(rows, suite=suite)

    found = fcbench.compare(with_tokens(10), with_tokens(12), "output_tokens")
    assert found.difference.value == pytest.approx(2)
    assert 0 < found.difference.low <= 2 <= found.difference.high
    assert found.table is None
    same = fcbench.compare(with_tokens(10), with_tokens(10), "output_tokens")
    assert same.difference == (0.0, None, None, 20)


def test_runs_over_other_cases_are_refused(suite, write_lines, case_row):
    other = write_lines(*(case_row(id=f"c{i}", tags=["x"]) for i in range(20)), name="other.jsonl")
    with pytest.raises(UsageError, match="different suites"):
        fcbench.compare(scores(suite, range(3)), scores(other, range(3)))


def test_runs_judged_by_other_rules_are_refused(suite):
    loose = fcbench.score(outputs(range(3)), suite=suite, normalise=["case"])
    with pytest.raises(UsageError, match="different rules"):
        fcbench.compare(scores(suite, range(3)), loose)


def test_an_unknown_metric_names_the_nearest(suite):
    with pytest.raises(UsageError, match="did you mean name_match"):
        fcbench.compare(scores(suite, []), scores(suite, []), "name_mach")


@pytest.fixture
def files(tmp_path, suite):
    """Paths of three files of outputs; the second has a text that would move the cursor."""
    paths = []
    for name, right in (("a", range(10)), ("b", [*range(8), *range(10, 20)]), ("c", range(20))):
        rows = outputs(right)
        if name == "b":
            rows["c8"] = "\x1b[2J\u202eno call"
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"id": k, "text": v}) + "\n" for k, v in rows.items()))
        paths.append(str(path))
    return paths


def test_the_command_prints_the_square_the_power_and_the_flips(files, suite, capsys):
    assert main(["compare", *files[:2], "--suite", str(suite), "--flips", "3"]) == 0
    out = capsys.readouterr().out
    assert "A yes" in out
    assert "+40.0 points" in out
    assert "the least difference that 20 cases can show at 5 %: 30.0 points" in out
    assert "12 flipped cases of argument exact match" in out
    assert "… and 9 more (--flips 12)" in out
    assert "\\x1b[2J\\u202eno call" in out
    assert "\x1b" not in out
    assert "Holm" not in out
    assert "abstention" not in out  # no case of the suite is over it


def test_three_runs_are_compared_pairwise_with_holm(files, suite, capsys):
    assert (
        main(["compare", *files, "--suite", str(suite), "--flips", "0", "--metric", "name_match"])
        == 0
    )
    out = capsys.readouterr().out
    assert "p, Holm" in out
    assert all(f"{pair}   " in out for pair in ("A, B", "A, C", "B, C"))
    assert "flipped" not in out


def test_json_holds_every_flip_with_both_texts(files, suite, capsys):
    assert main(["compare", *files[:2], "--suite", str(suite), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    first = plain["comparisons"][0]
    assert first["metric"] == "argument_exact_match"
    assert first["table"] == {"both": 8, "only_a": 2, "only_b": 10, "neither": 0}
    assert len(first["flips"]) == 12
    assert {flip["a"]["text"] for flip in first["flips"]} == {RIGHT, WRONG}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jsonl"], "two runs at least"),
        (["a.jsonl", "b.jsonl", "--flips", "-1"], "at least 0"),
        (["a.jsonl", "b.jsonl", "--metric", "name_mach"], "did you mean name_match"),
        (["a.jsonl", "b.jsonl", "--normalise", "cases"], "did you mean case"),
    ],
)
def test_wrong_usage_is_said_in_a_line(  # noqa: PLR0913  fixtures
    files, suite, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *arguments, "--suite", str(suite)]) == 2
    assert message in capsys.readouterr().err


def test_a_run_with_errors_exits_3(files, suite, tmp_path, capsys):
    path = tmp_path / "errors.jsonl"
    path.write_text(json.dumps({"id": "c0", "error": "timeout"}) + "\n")
    assert main(["compare", files[0], str(path), "--suite", str(suite)]) == 3
    assert "20 samples are errors" in capsys.readouterr().err


def answered(suite, right, n_tokens, error=None):
    """Return scores of twenty answers, n_tokens or one more long, one of them an error."""
    rows = [
        {"id": key, "text": text, "output_tokens": n_tokens + i % 2}
        for i, (key, text) in enumerate(outputs(right).items())
        if key != error
    ]
    failed = [{"id": error, "error": "timeout"}] if error else []
    return fcbench.score([*rows, *failed], suite=suite)


WHOLE = """\
A  first
B  sec\\x1bond

argument exact match

pair    n    first                   second                  difference                  p
------  ---  ----------------------  ----------------------  --------------------------  -----
A, B    19   47.4 [27.3–68.3] of 19  84.2 [62.4–94.5] of 19  +36.8 points [+2.9, +63.2]  0.065

         B yes    B no
-----  -------  ------
A yes        7       2
A no         9       1
the least difference that 19 cases can show at 5 %: 31.6 points; with 80 % power and as many flips: 47.9 points
1 case is not in this comparison (1 because of errors)

output tokens

pair    n    first    second    difference      p
------  ---  -------  --------  --------------  -------
A, B    19   10.5     12.5      +2 [+1.33, +2]  3.8e-06

1 case is not in this comparison (1 because of errors)

abstention

pair    n    first    second    difference    p
------  ---  -------  --------  ------------  ---
A, B    0    —        —         —             —

A, B: no case has a value in both

difference: second - first, with its 95 % interval over paired cases (bootstrap and Tango).
p: exact McNemar test; of repeats, partial credit and amounts a sign-flip permutation test.

A, B: 11 flipped cases of argument exact match

  c8
    A yes: right
      <start_function_call>call:show_map{query:<escape>Oslo<escape>}<end_function_call>
    B no: show_map.query: different: expected 'Oslo', called 'Bergen'
      <start_function_call>call:show_map{query:<escape>Bergen<escape>}<end_function_call>

  … and 10 more (--flips 11)
"""


def test_a_comparison_reads_as_it_is_meant_to(suite):
    pair = [
        answered(suite, range(10), 10),
        answered(suite, [*range(8), *range(10, 19)], 12, error="c0"),
    ]
    found = {
        name: compare_all(pair, name)
        for name in ("argument_exact_match", "output_tokens", "abstention")
    }
    assert as_text(["first", "sec\x1bond"], found, 1) == WHOLE


def test_quantities_that_differ_nowhere_have_no_interval(suite):
    pair = [answered(suite, right, 10) for right in ([], range(20))]
    text = as_text(["first", "second"], {"output_tokens": compare_all(pair, "output_tokens")}, 9)
    row = next(line for line in text.split("\n") if line.startswith("A, B"))
    assert row.split() == ["A,", "B", "20", "10.5", "10.5", "+0", "1.000"]


def test_as_many_flips_as_are_asked_for_are_shown(suite):
    found = {"name_match": compare_all([scores(suite, []), scores(suite, [3, 5])])}
    shown = {n: as_text(["first", "second"], found, n) for n in range(4)}
    assert [text.count("Oslo") // 2 for text in shown.values()] == [0, 1, 2, 2]
    assert ["more" in text for text in shown.values()] == [False, True, False, False]


def test_too_few_cases_to_show_anything_are_said_to_be(suite):
    few = [fcbench.score(outputs(range(k), n=2), suite=suite) for k in (2, 0, 2)]
    text = as_text(["one", "two", "three"], {"name_match": compare_all(few)}, 0)
    assert text.count("2 cases are too few to show any difference at the 5 % level") == 3
    assert text.count("18 cases are not in this comparison (18 because of errors)") == 3
    # Holm: two of three tests have p 1/2.
    assert [line.split()[-2:] for line in text.splitlines() if " of 2 " in line] == [
        ["0.500", "1.000"],
        ["1.000", "1.000"],
        ["0.500", "1.000"],
    ]


def test_more_runs_than_letters_have_numbers():
    names = [f"run {i}" for i in range(28)]
    lines = as_text(names, {"name_match": {}}, 0).splitlines()
    assert lines[0] == "A    run 0"
    assert lines[25:28] == ["Z    run 25", "R27  run 26", "R28  run 27"]


def test_runs_of_which_one_has_fewer_cases_are_refused_and_told_how_many(suite, tmp_path):
    from msgspec import structs

    whole = scores(suite, [])
    fewer = dict(list(whole.tallies.cases.items())[3:])
    part = structs.replace(whole, tallies=structs.replace(whole.tallies, cases=fewer))
    with pytest.raises(UsageError, match="3 are only in the first, 0 only in the second") as caught:
        fcbench.compare(whole, part)
    assert "--limit" in caught.value.hint


def test_a_metric_that_is_moot_for_one_run_compares_nothing(suite):
    json_answers = {
        key: fcbench.render([fcbench.Call("show_map", {"query": "Oslo"})], "json")
        for key in outputs([])
    }
    other = fcbench.score(json_answers, suite=suite, format="json")
    for pair in ((scores(suite, []), other), (other, scores(suite, []))):
        found = fcbench.compare(*pair, "canonical_order")
        assert (found.n, found.n_left_out, found.n_errors, found.p_value) == (0, 20, 0, None)
        assert found.difference == (None, None, None, 0)
        assert (found.smallest_significant, found.detectable) == (None, None)


def test_a_flip_shows_the_first_answer_that_there_is(suite):
    def rows(texts):
        own = [{"id": "c0", "repeat": r, **sample} for r, sample in enumerate(texts)]
        return fcbench.score([*own, *({"id": f"c{i}", "text": RIGHT} for i in range(1, 20))], suite)

    a = rows([{"error": "timeout"}, {"text": WRONG}, {"text": RIGHT}])
    b = rows([{"text": "No."}, {"text": WRONG}, {"text": WRONG}])
    found = fcbench.compare(a, b)
    assert found.table is found.smallest_significant is found.detectable is None
    (flip,) = found.flips
    assert (flip.a.value, flip.a.text, flip.a.outcome) == (0.5, WRONG, "calls")
    assert (flip.b.value, flip.b.text, flip.b.outcome) == (0, "No.", "abstained")
    assert flip.b.reason == "no call was attempted"
