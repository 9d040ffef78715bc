"""Models that are at hand: functions, and backends of one's own."""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fcbench
from fcbench.errors import ModelError, RunError, UsageError

RIGHT = fcbench.render([fcbench.Call("show_map", {"query": "Oslo"})])


def answer(prompts):
    return [RIGHT] * len(prompts)


class Echo:
    """A backend in as few lines as there can be."""

    template, bos, has_answered = None, "", False
    manifest = {"name": "echo-1", "backend": "echo"}  # noqa: RUF012  as short as a user would write it

    def answer(self, requests, decoding):
        for r in requests:
            yield fcbench.Sample(r.case.id, r.repeat, RIGHT, prompt_sha256=r.prompt_sha256)

    def answer_all(self, prompts):
        return answer(prompts)


@pytest.fixture
def suite(write_lines, case_row):
    return write_lines(*(case_row(id=f"c{i}") for i in range(3)))


def test_a_function_is_a_model_under_the_name_that_the_command_line_has_for_it(
    suite, tmp_path, monkeypatch
):
    (tmp_path / "given_model.py").write_text(
        f"def answer(prompts): return [{RIGHT!r}] * len(prompts)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import given_model

    given = fcbench.run(given_model.answer, suite, results=tmp_path / "results")
    assert fcbench.score(given).metrics["argument_exact_match"].value == 1
    named = fcbench.run("python:given_model:answer", suite)
    assert given.manifest["model"] == named.manifest["model"]
    resumed = fcbench.run(
        "python:given_model:answer", suite, results=tmp_path / "results", resume=True
    )
    assert resumed.folder == given.folder


def test_a_function_may_return_calls_and_be_asked_several_times(suite):
    calls = iter(range(99))
    run = fcbench.run(
        lambda prompts: [
            [fcbench.Call("show_map", {"query": "Oslo" if next(calls) % 2 else "Rome"})]
            for _ in prompts
        ],
        suite,
        repeats=2,
    )
    assert len(run.samples) == 6
    assert fcbench.score(run).metrics["argument_exact_match"].value == 0.5


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (lambda prompts: [RIGHT] * len(prompts), "<lambda>"),
        (functools.partial(answer), "partial"),
        (Echo().answer_all, "Echo.answer_all"),
    ],
)
def test_whatever_can_be_called_has_a_name_in_the_manifest_and_is_not_resumed(
    suite, tmp_path, model, name
):
    made = fcbench.run(model, suite, results=tmp_path)
    assert made.manifest["model"]["name"].endswith(name)
    with pytest.raises(UsageError, match="cannot be known again"):
        fcbench.run(model, suite, results=tmp_path, resume=True)


def test_a_function_inside_another_is_not_resumed(suite, tmp_path):
    def inner(prompts):
        return answer(prompts)

    with pytest.raises(UsageError, match="cannot be known again"):
        fcbench.run(inner, suite, results=tmp_path, resume=True)


SCRIPT = """
import fcbench, sys

def answer(prompts):
    return [{text!r}] * len(prompts)

run = fcbench.run(answer, {suite!r}, results="results", resume=True)
print(run.manifest["model"]["name"], len(run.samples))
"""


def test_a_function_of_a_script_is_resumed_while_its_text_is_the_same(suite, tmp_path):
    def start(text):
        (tmp_path / "script.py").write_text(SCRIPT.format(text=text, suite=str(suite)))
        command = [sys.executable, "script.py"]
        env = os.environ | {"PYTHONPATH": str(Path(fcbench.__file__).parents[1])}
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )

    for _ in range(2):
        assert start(RIGHT).stdout == "python:script:answer 3\n"
    assert len(list((tmp_path / "results").iterdir())) == 1
    changed = start("No.")
    assert changed.returncode != 0
    assert "model.source_sha256 differs" in changed.stderr


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda prompts: RIGHT, "TypeError: expected a list of 3 answers, got one str"),
        (lambda prompts: [RIGHT], "3 prompts went in, 1 answers came out"),
        (lambda prompts: None, "TypeError: 'NoneType' object is not iterable"),
        (lambda: None, "TypeError: "),
        (lambda prompts: [1, 2, 3], "expected str or a list of Call, got int"),
    ],
)
def test_what_a_function_does_wrong_is_an_error_and_no_answer(suite, model, said):
    scores = fcbench.score(fcbench.run(model, suite))
    assert scores.n_errors == 3
    assert said in scores.verdicts[0].sample.error


def test_one_text_for_one_prompt_is_no_list_either(suite):
    scores = fcbench.score(fcbench.run(lambda prompts: "x", suite, limit=1))
    assert scores.n_errors == 1


def test_an_async_function_and_options_that_it_cannot_follow_are_refused(suite):
    async def later(prompts):
        return answer(prompts)

    with pytest.raises(UsageError, match="async"):
        fcbench.run(later, suite)
    for options in ({"adapter": "lora"}, {"temperature": 0.7}, {"decode": "constrained"}):
        with pytest.raises(UsageError, match="a function"):
            fcbench.run(answer, suite, **options)


def test_a_backend_of_ones_own_is_a_model_and_is_resumed_by_its_manifest(suite, tmp_path):
    made = fcbench.run(Echo(), suite, "bare", results=tmp_path)
    assert made.folder.endswith("cases--echo-1--bare")
    assert fcbench.score(made).metrics["argument_exact_match"].n == 3
    assert fcbench.run(Echo(), suite, "bare", results=tmp_path, resume=True).folder == made.folder
    other = Echo()
    other.manifest = {"name": "echo-1", "backend": "echo", "sha256": "2"}
    with pytest.raises(RunError, match=r"model\.sha256 differs"):
        fcbench.run(other, suite, "bare", results=tmp_path, resume=True)


class Nameless(Echo):
    manifest = {"backend": "echo"}  # noqa: RUF012


class Unwritable(Echo):
    manifest = {"name": "echo", "model": object()}  # noqa: RUF012


class Lone(Echo):
    manifest = {"name": "\ud800"}  # noqa: RUF012


class Listed(Echo):
    manifest = ["echo"]  # noqa: RUF012


class Bare:
    bos = ""

    def answer(self, requests, decoding):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Bare(), "Bare is no Backend: it has no template, manifest, has_answered"),
        (Nameless(), "Nameless.manifest has no name"),
        (Unwritable(), "Unwritable.manifest is no JSON object"),
        (Lone(), "Lone.manifest is no JSON object"),
        (Listed(), "Listed.manifest is no JSON object"),
        (Echo, "a model is an object, Echo is its class: Echo()"),
        (3, "a model is a name, a function or a Backend, got 3"),
    ],
)
def test_an_object_that_is_no_backend_is_told_what_it_lacks(suite, model, said):
    with pytest.raises(UsageError) as raised:
        fcbench.run(model, suite)
    assert said in str(raised.value)


def test_what_a_loaded_model_can_no_longer_do_is_refused(suite):
    with pytest.raises(
        UsageError, match="Echo is loaded already: it comes too late for adapter, dtype"
    ):
        fcbench.run(Echo(), suite, adapter="lora", dtype="bfloat16")


class Wrong(Echo):
    def __init__(self, *ids):
        self.ids = ids

    def answer(self, requests, decoding):
        for case_id in self.ids:
            yield fcbench.Sample(case_id, 0, RIGHT)


@pytest.mark.parametrize("ids", [["c0", "c0"], ["nothing"]])
def test_a_backend_that_answers_what_was_not_asked_is_told_so(suite, ids):
    with pytest.raises(fcbench.FcbenchError, match=f"not asked, or twice: repeat 0 of {ids[-1]}"):
        fcbench.run(Wrong(*ids), suite)


def test_what_a_backend_does_not_answer_is_an_error(suite):
    scores = fcbench.score(fcbench.run(Wrong("c1"), suite))
    assert (scores.n_errors, scores.metrics["argument_exact_match"].n) == (2, 1)


def test_the_name_of_a_function_is_no_path(suite, tmp_path):
    def wicked(prompts):
        return answer(prompts)

    wicked.__qualname__ = "../../../evil/\x1b[2J"
    made = fcbench.run(wicked, suite, results=tmp_path / "results")
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["results"]
    assert "\x1b" not in made.folder


def raises(error):
    def fails(prompts):
        raise error

    return fails


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (raises(RuntimeError("boom")), r"RuntimeError: boom \(test_given_models\.py:\d+\)"),
        (raises(SystemExit(7)), r"SystemExit: 7 \(test_given_models\.py:\d+\)"),
        (lambda p: [[{"name": "f"}]] * len(p), r"TypeError: .*, got a list of dict"),
        (lambda p: "one", r"TypeError: expected a list of 3 answers, got one str"),
    ],
)
def test_what_a_function_does_wrong_is_said_with_its_place(suite, function, error):
    samples = fcbench.run(function, suite).samples
    assert len(samples) == 3
    for sample in samples:
        assert re.fullmatch(error, sample.error)


def test_a_model_name_without_a_function_says_so():
    with pytest.raises(ModelError, match="names no function"):
        fcbench.run("python:json", "original_experiment")
