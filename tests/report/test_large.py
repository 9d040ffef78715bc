"""A report of more answers than a page can hold: the same numbers, and those cases that fail."""

import pytest

import fcbench
from fcbench.cli import main
from fcbench.report.html import _gather, gather, report
from tests.report.test_report import RIGHT, WRONG, Page

N_CASES, N_REPEATS = 12, 4
FAILING = {"c03", "c07", "c08"}


def answer(case_id, repeat, failing=FAILING):
    if case_id in failing and repeat == 2:
        return WRONG if case_id != "c08" else "call:show_map{"
    return RIGHT


@pytest.fixture
def runs(tmp_path, write_lines, case_row, monkeypatch):
    """Two stored runs over the same cases; the second fails in another of them."""
    monkeypatch.chdir(tmp_path)
    answers = [[{"name": "show_map", "arguments": {"query": "Oslo"}}]]
    ids = [f"c{i:02d}" for i in range(N_CASES)]
    suite = str(write_lines(*(case_row(id=i, expected=answers, tags=["t"]) for i in ids)))
    made = []
    for number, failing in enumerate((FAILING, {"c10", "c03"})):
        rows = [
            {"id": i, "repeat": r, "text": answer(i, r, failing), "seconds": r + 0.5}
            for i in ids
            for r in range(N_REPEATS)
        ]
        model = f"replay:{write_lines(*rows, name=f'o{number}.jsonl')}"
        made.append(fcbench.run(model, suite, repeats=N_REPEATS, results="r").folder)
    return made


def page_of(paths):
    return Page(report(paths, [gather(path, None, None) for path in paths]))


def shown_ids(page):
    return [case["id"] for group in page.data["groups"] for case in group["cases"]]


def without_cases(page):
    """The page without the browser's data, its note, and links into it."""
    return [w for w in page.text.split() if not w.startswith("#")]


def test_what_few_answers_make_is_what_is_made_of_kept_verdicts(runs):
    kept = report(runs, [fcbench.score(path) for path in runs])
    assert page_of(runs).html == kept
    assert "answers are shown" not in kept


def test_of_many_answers_the_failing_cases_are_shown_and_all_are_counted(runs, monkeypatch):
    whole = page_of(runs[:1])
    assert len(shown_ids(whole)) == N_CASES
    monkeypatch.setattr(_gather, "MOST_ANSWERS", 5 * N_REPEATS)
    page = page_of(runs[:1])
    assert shown_ids(page) == ["c00", "c01", *sorted(FAILING)]
    said = "20 of 48 answers are shown, to 5 of 12 cases; those first in which something is wrong."
    assert said in page.text
    at = page.text.index("cases: 20 of 48")
    rest = page.text[:at] + page.text[at + len(f"cases: {said} ") :]
    assert rest == whole.text, "a number is another"


def test_cases_that_fail_in_any_run_of_a_group_are_shown_for_all(runs, monkeypatch):
    monkeypatch.setattr(_gather, "MOST_ANSWERS", 5 * N_REPEATS * 2)
    page = page_of(runs)
    assert shown_ids(page) == ["c00", *sorted(FAILING | {"c10"})]
    (group,) = page.data["groups"]
    for case in group["cases"]:
        assert [len(found) for found in case["runs"]] == [N_REPEATS] * 2
        assert all("prompt" not in answer for found in case["runs"] for answer in found), "replayed"
    for comparison in ("argument exact match", "name match"):
        assert comparison in page.text


def test_of_many_repeats_the_wrong_ones_are_shown(runs, monkeypatch):
    monkeypatch.setattr(_gather, "MOST_REPEATS", 2)
    page = page_of(runs[:1])
    cases = {case["id"]: case["runs"][0] for case in page.data["groups"][0]["cases"]}
    assert {len(found) for found in cases.values()} == {2}
    for case_id, found in cases.items():
        wrong = [answer for answer in found if not answer.get("right")]
        assert len(wrong) == (case_id in FAILING)
    assert "24 of 48 answers are shown, to 12 of 12 cases" in page.text


def test_prompts_of_cases_that_are_not_shown_are_left_out(
    tmp_path, monkeypatch, write_lines, case_row
):
    monkeypatch.chdir(tmp_path)
    rows = [
        case_row(id=f"c{i}", messages=[{"role": "user", "content": f"word{i}"}]) for i in range(9)
    ]
    suite = str(write_lines(*rows))
    folder = fcbench.run(lambda prompts: ["no"] * len(prompts), suite, results="r").folder
    monkeypatch.setattr(_gather, "MOST_ANSWERS", 2)
    page = page_of([folder])
    assert shown_ids(page) == ["c0", "c1"]
    assert "word1" in page.html
    assert "word2" not in page.html
    assert page.data["groups"][0]["cases"][0]["runs"][0][0]["prompt"]


def test_names_that_a_model_makes_up_do_not_pile_up(monkeypatch, write_lines, case_row):
    monkeypatch.setattr(_gather, "MOST_PAIRS", 3)
    suite = str(write_lines(*(case_row(id=f"c{i}") for i in range(9))))
    rows = [{"id": f"c{i}", "text": RIGHT.replace("show_map", f"made_up_{i}")} for i in range(9)]
    found = gather(str(write_lines(*rows, name="o.jsonl")), suite, None)
    assert len(found.pairs) == 4
    assert sum(found.pairs.values()) == 9
    assert {called for _, called in found.pairs} >= {_gather.OTHERS}


def test_outputs_made_elsewhere_are_reported_the_same_way(
    tmp_path, monkeypatch, write_lines, case_row, capsys
):
    suite = str(write_lines(*(case_row(id=f"c{i}") for i in range(9))))
    rows = [{"id": f"c{i}", "text": "no" if i == 5 else RIGHT} for i in range(8)]
    outputs = str(write_lines(*rows, name="o.jsonl"))
    monkeypatch.setattr(_gather, "MOST_ANSWERS", 3)
    target = tmp_path / "report.html"
    assert main(["report", outputs, "--suite", suite, "-o", str(target)]) == 3
    page = Page(target.read_text("utf-8"))
    assert len(shown_ids(page)) == 3
    assert {"c5", "c8"} <= set(shown_ids(page)), "the wrong one, and the one without an answer"
