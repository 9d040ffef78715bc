"""Training rows made on demand; test_mobile_actions_data.py tests them as the committed ones."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from fcbench import prompts
from fcbench.suite import load_training
from suites.mobile_actions.more import FUNCTIONS, SCENE, SHAPES, main, more
from suites.mobile_actions.varied import Variety, script_of, words_in

N_ROWS = 400


@pytest.fixture(scope="module")
def rows():
    return more(N_ROWS)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("more") / "more.jsonl"
    assert main([str(N_ROWS), "--out", str(path)]) == 0
    return path


def texts(rows):
    return [row["messages"][1]["content"] for row in rows]


def test_the_same_number_gives_the_same_bytes_and_a_smaller_one_their_beginning(file, rows):
    lines = file.read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert [json.dumps(row, ensure_ascii=False) for row in more(21)] == lines[:21]


def test_rows_of_a_scene_differ_only_in_what_is_asked_and_scenes_differ(rows):
    scenes = [rows[i : i + SCENE] for i in range(0, N_ROWS, SCENE)]
    shared = [{json.dumps([row["messages"][0], row["tools"]]) for row in scene} for scene in scenes]
    assert {len(alike) for alike in shared} == {1}
    assert len(set.union(*shared)) == len(scenes)
    assert all(len(set(texts(scene))) == SCENE for scene in scenes)


def test_rows_are_numbered(rows):
    assert [row["id"] for row in rows] == [f"more-{n:05}" for n in range(1, N_ROWS + 1)]


def test_rows_come_in_the_shares_that_are_told(rows):
    counts = Counter(tag for row in rows for tag in row["tags"])
    tags = {"single": "single", "two": "parallel_2", "three": "parallel_3", "no_call": "no_call"}
    assert {shape: counts[tags[shape]] for shape in SHAPES} == {
        shape: share * N_ROWS // 100 for shape, share in SHAPES.items()
    }
    kinds = [counts[tag] for tag in counts if tag.startswith("no_call_")]
    assert len(kinds) == 3
    assert max(kinds) - min(kinds) <= 1
    often = {name for name, weight in FUNCTIONS.items() if weight > 20}
    assert {name for name in FUNCTIONS if counts[name] > 0.2 * N_ROWS} == often
    assert counts["relative_date"] > 3 * counts["absolute_date"]


def test_rows_for_dates_are_other_rows_and_mostly_hold_one(rows):
    dated = more(80, dates=True)
    assert more(80, dates=True) == dated
    assert dated[0]["id"] == "dates-00001"
    called = [row for row in dated if row["messages"][2].get("tool_calls")]
    assert not {*texts(called)} & {*texts(rows)}
    counts = Counter(tag for row in dated for tag in row["tags"])
    assert counts["relative_date"] > len(dated) / 2


def test_contacts_come_with_every_combination_of_what_is_optional(rows):
    found = {
        frozenset(call["function"]["arguments"]) - {"first_name", "last_name"}
        for row in rows
        for call in row["messages"][2].get("tool_calls", ())
        if call["function"]["name"] == "create_contact"
    }
    phone, email = "phone_number", "email"
    assert found == {
        frozenset(), frozenset([phone]), frozenset([email]), frozenset([phone, email])
    }  # fmt: skip


def test_a_file_is_read_as_training_data_whose_targets_the_strict_grammar_accepts(file):
    cases = load_training(file)
    assert len(cases) == N_ROWS
    targets = prompts.targets(cases, "chat", prompts.Style())
    assert [target.fault for target in targets] == [None] * N_ROWS


def test_most_values_come_once_so_that_they_can_only_be_copied():
    values = [
        value
        for row in more(2 * N_ROWS)
        for call in row["messages"][2].get("tool_calls", ())
        for name, value in call["function"]["arguments"].items()
        if name != "datetime"
    ]
    counts = Counter(values)
    assert sum(count == 1 for count in counts.values()) > 0.75 * len(values)


def test_what_is_varied_keeps_its_shape():
    variety = Variety(random.Random(1), ["Oslo Station", "γιορτή σχολείου", "हवा महल", "red lamp"])
    for value in ("Oslo [lamp]: 'red' Station", "γιορτή, 2 σχολείου!", "हवा (महल)"):
        found = {variety.value(value) for _ in range(20)}
        assert len(found) > 1
        for other in found:
            assert shape(other) == shape(value)
            assert [script_of(w) for w in words_in(other)] == [
                script_of(w) for w in words_in(value)
            ]


def shape(text):
    """What stands around a text's words, and which of these are capital."""
    words = words_in(text)
    for word in words:
        text = text.replace(word, "w", 1)
    return text, [word[0].isupper() for word in words]
