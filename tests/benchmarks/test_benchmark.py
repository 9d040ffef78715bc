"""The benchmark's workload says the same in both notations, and its report holds what it measured."""

import ast
import json
import random
import sys

import pytest

from fcbench import Call, parse
from fcbench.matching import judge
from fcbench.suite._bfcl_wheel import WHEEL
from tests.benchmarks import bfcl, parse_and_match
from tests.benchmarks.notations import (
    FUNCTIONGEMMA,
    MISTAKES,
    PYTHON,
    TRUNCATED,
    broken,
    tokens_of,
    written,
)
from tests.benchmarks.workload import SHAPES, STATES, outputs

CALLS = [Call("f", {"a": [1, "x"], "b": {"c": True}}), Call("g", {"d": "ü", "e": 2.5})]


def test_both_notations_of_a_valid_turn_say_the_same_calls():
    tokens = tokens_of(CALLS)
    assert parse(written(tokens, FUNCTIONGEMMA)).calls == CALLS
    read = [
        Call(call.func.id, {k.arg: ast.literal_eval(k.value) for k in call.keywords})
        for call in ast.parse(written(tokens, PYTHON), mode="eval").body.elts
    ]
    assert read == CALLS


def test_every_mistake_breaks_a_turn():
    choose, seen = random.Random(0), set()
    for _ in range(300):
        name, text, python = broken(choose, CALLS)
        seen.add(name)
        assert text
        assert python
        # A turn of two calls that is cut just between them is valid and short of one.
        parsed = parse(text)
        assert parsed.outcome != "calls" or (name == TRUNCATED and parsed.calls == CALLS[:1])
    assert seen == {*MISTAKES, TRUNCATED}


def test_outputs_follow_from_their_seed_and_are_of_every_kind():
    made = outputs(200, seed=1)
    assert made == outputs(200, seed=1) != outputs(200, seed=2)
    assert {(o.shape, o.state) for o in made} == {(s, t) for s in SHAPES for t in STATES}
    for output in made:
        parsed = parse(output.sample.text)
        assert (parsed.outcome == "calls") == (output.state == "valid")
    verdicts = [judge(o.case, o.sample, parse(o.sample.text)).arguments for o in made]
    assert 0.5 < sum(verdicts) / len(verdicts) < 0.8  # of 80 % valid ones, one in five is wrong


def test_the_report_is_written_from_what_was_measured(tmp_path, monkeypatch, capsys):
    def unavailable():
        raise bfcl.Unavailable("not here")

    monkeypatch.setattr(bfcl, "load", unavailable)
    monkeypatch.setattr(parse_and_match, "stay_on_one_core", lambda: None)
    arguments = ["--outputs", "60", "--rounds", "2", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["parse_and_match", *arguments])
    parse_and_match.main()
    result = json.loads((tmp_path / "parse.json").read_text("utf-8"))
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "parse.md").read_text("utf-8")
    assert "bfcl-eval: not here" in printed
    (everything,) = [g for g in result["groups"] if (g["shape"], g["state"]) == ("all", "mixed")]
    assert everything["outputs"] == 60
    assert everything["accepted"]["fcbench: parse"] == everything["accepted"]["Lark"]
    speed = everything["outputs_per_second"]["fcbench: parse"]
    assert 0 < speed["low"] <= speed["median"] <= speed["high"]
    assert str(tmp_path) not in json.dumps(result)


def test_a_wheel_that_is_not_the_published_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("FCBENCH_CACHE", str(tmp_path))
    (tmp_path / "bfcl-eval").mkdir()
    (tmp_path / "bfcl-eval" / WHEEL).write_bytes(b"not a wheel")
    with pytest.raises(bfcl.Unavailable, match="SHA-256"):
        bfcl.load()
