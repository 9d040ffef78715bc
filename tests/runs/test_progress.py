"""The line on stderr: never another number than the scores of the whole run."""

import random

import pytest

import fcbench
from fcbench.runs import execute, plan, score
from fcbench.runs._progress import Live
from fcbench.suite import load_suite
from fcbench.types import Run, Sample

RIGHT = "<start_function_call>call:show_map{query:<escape>Coit Tower<escape>}<end_function_call>"
TEXTS = [RIGHT, "No.", "<start_function_call>call:f{", ""]


def planned(suite="original_experiment", **options):
    return plan("python:x:y", suite, "chat", None, options.pop("decode", None), None, **options)


def samples_of(made, seed):
    """Answers to every case and repeat, shuffled; some fail, and some of these come again."""
    draw = random.Random(seed)
    found = []
    for case in made.cases:
        for repeat in range(made.repeats):
            if draw.random() < 0.3:
                found.append(Sample(case.id, repeat, error="timeout"))
            if draw.random() < 0.8:
                found.append(Sample(case.id, repeat, draw.choice(TEXTS)))
    return found


def scored(made, samples):
    last = {(s.case_id, s.repeat): s for s in samples}
    manifest = {
        "suite": {"name": made.suite.name, "sha256": made.suite.sha256},
        "format": {"name": made.format},
        "decoding": {"mode": made.decode, "repeats": made.repeats},
    }
    # Only what was answered: the rest are no errors of a run that has not ended.
    return score(Run(manifest, made.cases, list(last.values())))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("repeats", [1, 3])
def test_the_live_value_is_that_of_the_scores(seed, repeats):
    made = planned(repeats=repeats)
    samples = samples_of(made, seed)
    live = Live(made)
    for sample in samples:
        live.add(sample)
    scores = scored(made, samples)
    found = scores.metrics["argument_exact_match"]
    assert live.value == (None if found.value is None else pytest.approx(found.value))
    assert live.n_cases == found.n
    unanswered = len(made.cases) * repeats - len({(s.case_id, s.repeat) for s in samples})
    assert live.n_errors == scores.n_errors - unanswered


def test_a_case_that_is_asked_again_counts_once():
    made = planned()
    live = Live(made)
    live.add(Sample("map", error="timeout"))
    assert (live.value, live.n_errors, str(live)) == (None, 1, "1 error")
    live.add(Sample("map", text=RIGHT))
    assert (live.value, live.n_cases, live.n_errors) == (1.0, 1, 0)
    live.add(Sample("map", text="No."))
    assert (live.value, live.n_cases) == (0.0, 1)
    assert str(live) == "argument exact match 0.0 % of 1"


def test_a_suite_without_calls_shows_another_metric(write_lines, case_row):
    path = write_lines(case_row(expected=[[]]))
    live = Live(planned(str(path)))
    live.add(Sample("a", text="No."))
    assert str(live) == "abstention 100.0 % of 1"
    live = Live(planned(str(path), decode="constrained"))
    live.add(Sample("a", text="No."))
    assert live.value is None  # who could not abstain is not measured by it


def test_a_resumed_run_shows_all_answers_from_its_first_line(tmp_path, monkeypatch, capsys):
    model = tmp_path / "halting.py"
    model.write_text(
        "n = 0\n"
        "def answer(prompts):\n"
        "    global n\n"
        "    n += 1\n"
        f"    if n > 3: raise KeyboardInterrupt\n    return [{RIGHT!r}] * len(prompts)\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    options = {"results": "results", "batch_size": 1, "resume": True, "progress": True}
    with pytest.raises(KeyboardInterrupt):
        fcbench.run("python:halting:answer", "original_experiment", **options)
    assert "argument exact match 33.3 % of 3" in capsys.readouterr().err
    import halting

    halting.n = -100
    made = fcbench.run("python:halting:answer", "original_experiment", **options)
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    shown = [line for line in lines if "exact match" in line]
    assert "3/5" in shown[0]
    assert "33.3 % of 3" in shown[0]
    assert "5/5" in shown[-1]
    value = score(made).metrics["argument_exact_match"].value
    assert f"argument exact match {100 * value:.1f} % of 5" in shown[-1]


def test_what_was_answered_before_is_not_counted_as_speed(monkeypatch, tmp_path):
    from fcbench.runs import _progress

    made = planned(progress=True)
    before = [Sample(case.id, text=RIGHT) for case in made.cases[:4]]
    with _progress.Progress(made, 5, before) as progress:
        assert progress._bar.initial == progress._bar.n == 4
        progress.add(Sample(made.cases[4].id, text=RIGHT))
        assert progress._bar.n == 5


def test_without_progress_nothing_is_judged_and_nothing_printed(monkeypatch, capsys):
    from fcbench.backends.python import PythonBackend
    from fcbench.runs import _progress

    monkeypatch.setattr(_progress, "judge_sample", None)  # would fail if it were called
    backend = PythonBackend(lambda prompts: [RIGHT] * len(prompts), "x:y", 2)
    execute(planned(), backend)
    assert capsys.readouterr().err == ""


def test_a_model_that_is_named_to_move_the_cursor_moves_none(capsys):
    from fcbench.runs._progress import Progress

    made = plan("python:x:\x1b[2Jy", "original_experiment", "chat", None, None, None, progress=True)
    with Progress(made, 5, []):
        pass
    assert "\x1b[2J" not in capsys.readouterr().err


def test_a_thousand_answers_are_judged_in_a_moment():
    import time

    suite = load_suite("mobile_actions")
    live = Live(planned("mobile_actions"))
    samples = [Sample(case.id, text=text) for case in suite.cases for text in [*TEXTS, RIGHT]]
    live.add(samples[0])  # the grammar is read once
    began = time.perf_counter()
    for sample in samples:
        live.add(sample)
    assert len(samples) == 1000
    assert time.perf_counter() - began < 5
