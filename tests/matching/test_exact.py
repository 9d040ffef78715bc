"""Exact matching: JSON equality, accepted values, order, and optimal pairing."""

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcbench import Call, Case, Parse, Sample, Tool
from fcbench.errors import UsageError
from fcbench.matching import judge
from fcbench.matching._assignment import align, assign
from fcbench.matching._values import equal
from fcbench.types import Matching


def verdict(expected, called, *, ordered=False):
    names = {call.name for answer in expected for call in answer}
    case = Case(
        "a", [{"role": "user", "content": "x"}], [Tool(n) for n in names], expected, ordered
    )
    return judge(case, Sample("a", text="…"), Parse("calls", called))


def outcome(expected, called, **options):
    found = verdict(expected, called, **options)
    return found.name, found.arguments


f1, f2, g = Call("f", {"x": 1}), Call("f", {"x": 2}), Call("g", {})


@pytest.mark.parametrize(
    ("expected", "called", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        (None, None, True),
        (None, False, False),
        ("1", 1, False),
        ("a", "a ", False),
        ("é", "e\u0301", False),
        (2**53 + 1, float(2**53), False),
        ([1, 2], [2, 1], False),
        ([1, 2], [1], False),
        ([], "", False),
        ([1], {"0": 1}, False),
        ({}, [], False),
        ({}, None, False),
        (None, 0, False),
        ("a", ["a"], False),
        (1, "1", False),
        ([1, [True]], [1.0, [True]], True),
        ([1, [True]], [1.0, [1]], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ({"a": {"$any": [1, "x"]}}, {"a": "x"}, True),
        ({"a": {"$any": [1], "$optional": True}}, {}, True),
        ({"a": {"$any": [1], "$optional": True}}, {"a": 2}, False),
        ([{"$any": [[1], [2]]}], [[2]], True),
        ({"$any": [{"$any": [1]}, 2]}, 1, True),
    ],
)
def test_values_are_equal_as_json(expected, called, same):
    assert equal(expected, called) is same


def test_an_answer_is_right_only_as_a_whole():
    assert outcome([[f1]], [f1]) == (True, True)
    assert outcome([[f1]], [f2]) == (True, False)
    assert outcome([[f1]], [g]) == (False, False)
    assert outcome([[f1]], [f1, f1]) == (False, False)
    assert outcome([[f1, g]], [f1]) == (False, False)
    assert outcome([[f1]], []) == (False, False)


def test_any_accepted_answer_will_do():
    assert outcome([[g], [f1]], [f1]) == (True, True)
    assert outcome([[g], [f1]], [f2]) == (True, False)


def test_order_counts_only_where_the_case_says_so():
    assert outcome([[f1, g]], [g, f1]) == (True, True)
    assert outcome([[f1, g]], [g, f1], ordered=True) == (False, False)
    assert outcome([[f1, f2]], [f2, f1], ordered=True) == (True, False)
    assert outcome([[f1, f2]], [f1], ordered=True) == (False, False)
    assert outcome([[f1]], [f1, f2], ordered=True) == (False, False)
    assert outcome([[f1, f2]], [f1, f2], ordered=True) == (True, True)


def test_pairing_is_optimal_where_greedy_pairing_fails():
    either, one = Call("f", {"x": {"$any": [1, 2]}}), Call("f", {"x": 1})
    # A greedy matcher gives the first expected call the first called one and strands the second.
    assert outcome([[either, one]], [one, f2]) == (True, True)


@given(st.permutations([f1, f2, g, Call("f", {"x": 3, "y": [1]}), g]))
def test_the_order_of_unordered_calls_changes_nothing(called):
    assert outcome([[f1, f2, g, Call("f", {"x": 3, "y": [1]}), g]], called) == (True, True)


some_calls = st.lists(
    st.builds(lambda name, x, y: Call(name, {"x": x, "y": y}), *map(st.sampled_from, ("fg", [1, 2], [1, 2]))),
    max_size=4,
)  # fmt: skip


@given(some_calls.filter(bool), some_calls)
def test_equal_calls_are_paired_first_then_those_of_one_function(expected, called):
    pairs = verdict([expected], called).pairs
    assert sorted(p.expected for p in pairs if p.expected is not None) == [*range(len(expected))]
    assert sorted(p.called for p in pairs if p.called is not None) == [*range(len(called))]

    def n_shared(key):
        return (Counter(map(key, expected)) & Counter(map(key, called))).total()

    n_equal = sum(
        p.expected_name == p.called_name and all(a.result == "equal" for a in p.arguments)
        for p in pairs
    )
    assert n_equal == n_shared(lambda c: (c.name, c.arguments["x"], c.arguments["y"]))
    assert sum(p.expected_name == p.called_name for p in pairs) == n_shared(lambda c: c.name)


def test_of_one_functions_calls_those_with_the_most_equal_arguments_are_paired():
    wanted = [Call("f", {"x": 1, "y": 1, "z": 1}), Call("f", {"x": 2, "y": 2, "z": 2})]
    made = [Call("f", {"x": 2, "y": 2, "z": 0}), Call("f", {"x": 1, "y": 1, "z": 0})]
    assert [(p.expected, p.called) for p in verdict([wanted], made).pairs] == [(0, 1), (1, 0)]
    in_order = verdict([wanted], made, ordered=True).pairs
    assert [(p.expected, p.called) for p in in_order] == [(0, 0), (1, 1)]


@pytest.mark.parametrize(
    ("answers", "called", "paired"),
    [
        # The one with more equal arguments, wherever it stands.
        ([[Call("f", {"x": 1, "y": 1})], [Call("f", {"x": 2, "y": 2})]], [Call("f", {"x": 2, "y": 3})], ["different", "equal"]),
        ([[Call("f", {"x": 2, "y": 2})], [Call("f", {"x": 1, "y": 1})]], [Call("f", {"x": 2, "y": 3})], ["different", "equal"]),
        # The one of the right names, then the one that leaves no call over.
        ([[g], [f1]], [f2], ["different"]),
        ([[f1], [f1, f1]], [f1, f2], ["different", "equal"]),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_told_against_the_accepted_one_that_it_is_nearest_to(
    answers, called, paired
):
    found = verdict(answers, called)
    assert found.arguments is False
    assert sorted(a.result for p in found.pairs for a in p.arguments) == paired


def test_calls_that_are_too_few_or_too_many_have_no_partner():
    (first, second) = verdict([[f1, f2]], [f2]).pairs
    assert (first.expected, first.called, first.called_name) == (0, None, None)
    assert [(a.path, a.result, a.expected) for a in first.arguments] == [("x", "missing", 1)]
    assert (second.expected, second.called) == (1, 0)
    (first, second) = verdict([[f2]], [f1, f2]).pairs
    assert (first.expected, first.called) == (0, 1)
    assert (second.expected, second.called, second.expected_name) == (None, 0, None)
    assert [(a.path, a.result, a.called) for a in second.arguments] == [("x", "extra", 1)]


def test_every_argument_has_a_reason():
    found = verdict(
        [[Call("f", {"a": 1, "b": 2, "c": {"$any": [3], "$optional": True}})]],
        [Call("f", {"a": 1, "d": 4})],
    )
    (pair,) = found.pairs
    results = {argument.path: argument.result for argument in pair.arguments}
    assert results == {"a": "equal", "b": "missing", "c": "equal", "d": "extra"}


def test_malformed_turns_fail_all_three_and_errors_none():
    case = Case("a", [{"role": "user", "content": "x"}], [Tool("f")], [[f1]])
    wrong = judge(case, Sample("a", text="call:f{"), Parse("malformed"))
    assert (wrong.syntax, wrong.name, wrong.arguments) == (False, False, False)
    broken = judge(case, Sample("a", error="timeout"), Parse("malformed"))
    assert (broken.syntax, broken.name, broken.arguments) == (None, None, None)


def test_native_calls_say_nothing_about_syntax():
    case = Case("a", [{"role": "user", "content": "x"}], [Tool("f")], [[f1]])
    found = judge(case, Sample("a", native_calls=[f1]), Parse("calls", [f1]))
    assert (found.syntax, found.name, found.arguments) == (None, True, True)
    # With a text beside them there is something to judge.
    written = Sample("a", text="…", native_calls=[f1])
    found = judge(case, written, Parse("calls", [f1]), own=Parse("calls", [f1]))
    assert (found.syntax, found.server_parser) == (True, False)
    found = judge(case, written, Parse("calls", [f1]), own=Parse("malformed"))
    assert (found.syntax, found.arguments, found.server_parser) == (False, True, True)


def test_an_unknown_matcher_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean exact"):
        judge(Case("a", [], [], [[f1]]), Sample("a"), Parse("abstained"), Matching("exakt"))


sizes = st.tuples(st.integers(0, 5), st.integers(0, 5))
matrices = sizes.flatmap(
    lambda s: st.lists(
        st.lists(st.integers(0, 9), min_size=s[1], max_size=s[1]), min_size=s[0], max_size=s[0]
    )
)


@given(matrices)
def test_the_assignment_is_the_best_of_all(gains):
    chosen = assign(gains)
    n_rows, n_columns = len(gains), len(gains[0]) if gains else 0
    taken = [column for column in chosen if column is not None]
    assert len(chosen) == n_rows
    assert len(set(taken)) == len(taken) == min(n_rows, n_columns)
    gained = sum(gains[row][column] for row, column in enumerate(chosen) if column is not None)
    columns = [*range(n_columns), *[None] * max(0, n_rows - n_columns)]
    best = max(
        sum(gains[row][column] for row, column in enumerate(order) if column is not None)
        for order in itertools.permutations(columns, n_rows)
    )
    assert math.isclose(gained, best)


@given(matrices)
def test_the_alignment_is_the_best_of_all_that_keep_the_order(gains):
    chosen = align(gains)
    n_rows, n_columns = len(gains), len(gains[0]) if gains else 0
    taken = [column for column in chosen if column is not None]
    assert taken == sorted(set(taken))
    assert len(chosen) == n_rows

    def gained(rows, columns):
        return sum(gains[r][c] for r, c in zip(rows, columns, strict=True))

    found = gained([r for r, c in enumerate(chosen) if c is not None], taken)
    n_most = min(n_rows, n_columns)
    assert found == max(
        gained(rows, columns)
        for k in range(n_most + 1)
        for rows in itertools.combinations(range(n_rows), k)
        for columns in itertools.combinations(range(n_columns), k)
    )


def test_a_call_left_out_of_ordered_ones_costs_its_own_arguments_alone():
    found = verdict([[f1, Call("h", {"y": 2})]], [Call("h", {"y": 2})], ordered=True)
    assert (found.name, found.arguments) == (False, False)
    assert [(pair.expected_name, pair.called_name) for pair in found.pairs] == [
        ("f", None),
        ("h", "h"),
    ]
    too_many = verdict([[f1]], [g, f1], ordered=True)
    assert [(pair.expected_name, pair.called_name) for pair in too_many.pairs] == [
        ("f", "f"),
        (None, "g"),
    ]
