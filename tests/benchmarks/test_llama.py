"""What llama.cpp's benchmark calls the same, what it shows where not, and when it fails."""

import pytest

from fcbench.types import Sample
from tests.benchmarks import llama


def sample(text, **fields):
    return Sample("case", **{"text": text, "stop": "token", **fields})


def test_answers_are_the_same_up_to_their_stop():
    assert llama.same(sample("a<end_of_turn>"), sample("a"))
    assert not llama.same(sample("a"), sample("b"))
    assert not llama.same(sample("a"), sample("a", stop="limit"))
    # Two failures agree in nothing.
    assert not llama.same(sample("", error="timeout"), sample("", error="timeout"))


@pytest.mark.parametrize(
    ("same", "ratio", "n_missed"), [(95, 0.9, 0), (94, 0.9, 1), (95, 0.89, 1), (0, 0.1, 2)]
)
def test_what_is_not_reached_is_said(same, ratio, n_missed):
    found = {"label": "a model", "n": 100, "same": same}
    result = {"answers": {"base": found}, "load": {"ratio": ratio}}
    assert len(llama.shortfalls(result)) == n_missed


def result_of(differences, errors=()):
    run = {"seconds": 2.0, "output_tokens": 100, "rate": 50.0}
    found = {
        "label": "a model",
        "n": 100,
        "same": 100 - len(differences) - len(errors),
        "other_prompts": 0,
        "other_tokens": 0,
        "errors": list(errors),
        "differences": differences,
    }
    return {
        "machine": {"versions": {"xllamacpp": "1"}, "processor": "p", "cpus": 2, "python": "3"},
        "max_new_tokens": 64,
        "answers": {"base": found},
        "load": {"n_requests": 24, "backend": [run], "client": [run], "ratio": 1.0},
    }


def test_every_differing_answer_is_shown_with_its_gap():
    parted = {
        "case": "eval-0007",
        "position": 3,
        "tokens": ["a", "b"],
        "gap": 0.0123,
        "largest_logit": 21.5,
        **llama.around("same|a\n", "same|b"),
    }
    unknown = {**parted, "case": "eval-0008", "position": None, "tokens": None, "gap": None}
    page = llama.as_markdown(result_of([parted, unknown]))
    (line,) = [line for line in page.splitlines() if "eval-0007" in line]
    assert [cell.strip() for cell in line.replace("\\|", "¦").split("|")[1:-1]] == [
        "eval-0007",
        "3",
        "`same¦`",
        "`a\\n`",
        "`b`",
        "0.01230",
        "21.5",
    ]
    assert "eval-0008" in page
    assert "GELU" in page


def test_a_page_without_differences_blames_nothing():
    page = llama.as_markdown(result_of([]))
    assert "No answer differs." in page
    assert "GELU" not in page
    assert "- error: case: timeout" in llama.as_markdown(result_of([], ["case: timeout"]))
