"""What holds of every generated suite that comes with fcbench."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fcbench
from fcbench import load_suite
from fcbench.formats.functiongemma import CONTROL_TOKEN_IDS
from fcbench.prompts._case_text import one_answer
from fcbench.suite import suite_names

SUITES = Path(__file__).resolve().parents[2] / "suites"
GENERATED = sorted(path.parent.name for path in SUITES.glob("*/generate.py"))


def test_generating_again_gives_the_committed_bytes():
    done = subprocess.run(
        [sys.executable, "-m", "suites.build", "--check"],
        cwd=SUITES.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def words(case):
    return "\n".join(str(message.get("content")) for message in case.messages)


@pytest.mark.parametrize("name", GENERATED)
def test_a_suite_is_large_enough_and_says_what_its_tags_mean(name):
    suite = load_suite(name)
    assert name in suite_names()
    assert len(suite.cases) >= 100
    assert suite.licence == "MIT"
    assert suite.description
    card = (SUITES / name / "README.md").read_text("utf-8")
    tags = {tag for case in suite.cases for tag in case.tags}
    assert tags
    assert all(f"| `{tag}` |" in card for tag in tags)


@pytest.mark.parametrize("name", GENERATED)
def test_no_two_cases_ask_the_same_in_evaluation_or_training(name):
    suite = load_suite(name)
    cases = [*suite.cases, *suite.training_cases()]
    assert len(suite.training_cases()) >= 24
    assert len({(words(case), tuple(tool.name for tool in case.tools)) for case in cases}) == len(
        cases
    )


# The control tokens of every format, and what only looks like one.
CONTROLS = re.compile(
    r"<((start|end)_(function_(call|response|declaration)|of_turn)|escape|bos|eos|pad|unused\d+)>"
    r"|</s>|<\|(im_start|im_end|eot_id|eom_id|python_tag|tool_call|tool_response|\")\|?>|<tool_call\|>"
)
LIKE_CONTROLS = re.compile(r"<(/?(start|end)_\w+|escape|bos|eos|pad|unused\d+|\|.*?\|)>")


@pytest.mark.parametrize("file", ["cases.jsonl", "train.jsonl"])
@pytest.mark.parametrize("name", GENERATED)
def test_no_text_holds_a_control_token(name, file):
    text = (SUITES / name / file).read_text("utf-8").replace('\\"', '"')
    assert text
    assert "\ufffd" not in text
    assert [token for token in CONTROL_TOKEN_IDS if token in text] == []
    assert not CONTROLS.search(text)
    if name != "syntax_stress":  # which is made of look-alikes
        assert not LIKE_CONTROLS.search(text)


@pytest.mark.parametrize("name", GENERATED)
def test_every_first_answer_can_be_written_read_and_is_judged_right(name):
    suite = load_suite(name)
    answers = {case.id: written(case) for case in suite.cases}
    assert all(verdict.is_right for verdict in fcbench.score(answers, suite=suite).verdicts)
    for case in suite.training_cases():
        assert fcbench.parse(written(case)).calls == one_answer(case)


def written(case):
    calls = one_answer(case)
    return fcbench.render(calls) if calls else "There is nothing to call."
