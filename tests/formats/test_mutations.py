"""Every failure kind by mutation: damage whose kind and offset are known by construction."""

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import get_args

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fcbench import parse, render
from fcbench.types import FailureKind
from tests.formats import test_functiongemma, test_json_failures
from tests.formats.mutations import MUTATIONS, Damage, Mutation, damages
from tests.formats.turns import FORMATS, turns

KINDS = get_args(FailureKind)
BY_LIMIT = ("repetition", "truncated")
START, END = "<start_function_call>", "<end_function_call>"

# Kind, text, offset, stop; what the tables of the other modules do not have twice
HAND = [
    ("wrong_dialect", '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>', 0, None),
    ("wrong_dialect", "<|tool_call>call:f{}<tool_call|>", 0, None),
    ("repetition", f"{START}call:f{{" + "a:1," * 20, 28, "limit"),
    ("repetition", f"{START}f\n" * 9 + START, 0, "limit"),
    ("repetition", f"{START}call:f{{a:[" + "1," * 30, 31, "limit"),
    ("truncated", f"{START}call:", 26, "limit"),
    ("truncated", f"{START}call:f{{a:", 30, "limit"),
    ("truncated", f"{START}call:f{{a:<escape>New Y", 43, "limit"),
    ("missing_call_prefix", f"{START}create_calendar_event\n<end_of_turn>", 21, None),
    ("missing_call_prefix", f"{START}<end_of_turn>", 21, None),
    ("empty_output", "\n<end_of_turn>call:f{}", 0, None),
    ("missing_start_token", f"{START}call:f{{}}{END}call:g{{}}{END}", 48, None),
    ("missing_name", f"{START}call:{END}", 26, None),
    ("quoted_string", f"{START}call:f{{a:['x']}}{END}", 31, None),
    ("json_arguments", f"{START}call:f{{a:1,'b':2}}{END}", 32, None),
    ("python_literal", f"{START}call:f{{a:[False]}}{END}", 31, None),
    ("text_before_call", f"**1.** {START}call:f{{}}{END}", 0, None),
    ("declaration_echo", "<start_function_declaration>", 0, None),
    ("declaration_echo", f"{START}call:f{{}}{END}<start_function_declaration>declaration:f{{", 48, None),
    ("too_deep", f"{START}call:f{{a:" + "{a:" * 64 + "1" + "}" * 65 + END, 30 + 63 * 3, None),
    ("too_deep", f"{START}call:f{{a:[1," + "[" * 63 + "2", 33 + 62, None),
    ("unexpected", f"{START}call:f{{}}{END}<start_of_turn>user", 48, None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "offset", "stop"), HAND, ids=[row[0] for row in HAND])
def test_a_failure_of_a_rarer_shape_has_its_kind_and_offset(kind, text, offset, stop):
    failure = parse(text, stop=stop).failure
    assert (failure.kind, failure.offset) == (kind, offset)


@pytest.mark.parametrize("format", FORMATS)
@given(st.data())
@settings(max_examples=15)
def test_the_pieces_of_a_turn_are_what_render_writes(format, data):
    turn = data.draw(turns(format))
    assert turn.text == render(turn.calls, format)


@pytest.mark.parametrize(
    "mutation", MUTATIONS, ids=[f"{m.kind}-{n}" for n, m in enumerate(MUTATIONS)]
)
@given(st.data())
@settings(max_examples=15, deadline=None)
def test_a_mutated_turn_fails_with_the_kind_and_at_the_offset_of_the_damage(mutation, data):
    turn, (text, offset) = data.draw(damages(mutation))
    stops = [None, "token"]
    # The limit excuses what it cut; here the wrong token is whole, and more follows. Brackets that
    # are nested too deep close until the limit, which is repetition.
    if len(text) - offset > 40 and mutation.kind != "too_deep":
        stops.append("limit")
    stop = "limit" if mutation.kind in BY_LIMIT else data.draw(st.sampled_from(stops))
    if stop == "token" and mutation.kind != "wrong_dialect" and turn.tokens.stop:
        text += turn.tokens.stop + "and more"
    failure = parse(text, turn.format, stop=stop).failure
    assert failure is not None
    assert (failure.kind, failure.offset) == (mutation.kind, offset)
    assert failure.byte_offset == len(text[:offset].encode("utf-8", "surrogatepass"))
    if not mutation.mendable and mutation.kind not in BY_LIMIT:
        assert parse(text, turn.format, "lenient", stop).failure == failure


# Three shapes of each kind

LEXEME = re.compile(r"<[^<>\s]*>|\[/?[A-Z_]{4,}\]|call:|\s+|\d+|[^\W\d]+|.", re.DOTALL)


def shape(text: str, offset: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the two lexemes on either side of a failure, words, numbers and blanks abstracted."""
    return tuple(map(abstract, LEXEME.findall(text[:offset])[-2:])), tuple(
        map(abstract, LEXEME.findall(text[offset:])[:2])
    )


def abstract(lexeme: str) -> str:
    if lexeme.isspace():
        return " "
    if lexeme.isdigit():
        return "0"
    return "w" if lexeme.isidentifier() or not lexeme.isascii() else lexeme


def shapes(rows: Iterable[tuple[str, str, int]]) -> dict[str, set]:
    """Return each kind's shapes, given rows of kind, text and offset."""
    found = defaultdict(set)
    for kind, text, offset in rows:
        found[kind].add(shape(text, offset))
    return found


def shapes_by_hand() -> dict[str, set]:
    return shapes(
        [
            *((kind, text, at) for text, kind, at in test_functiongemma.FAILURES),
            *((kind, text, at) for _, text, kind, at in test_json_failures.FAILURES),
            *((kind, text, at) for kind, text, at, _ in HAND),
        ]
    )


def some_damages(mutation: Mutation) -> list[Damage]:
    """Return a few of a mutation's examples, the same ones every time."""
    found = []

    @given(damages(mutation))
    @settings(max_examples=4, derandomize=True, database=None, phases=[Phase.generate])
    def collect(drawn):
        found.append(drawn[1])

    collect()
    return found


@cache
def shapes_by_mutation() -> dict[str, set]:
    return shapes((m.kind, *damage) for m in MUTATIONS for damage in some_damages(m))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "arguments_not_json"])
def test_a_kind_has_three_tests_of_different_shape_one_by_mutation(kind):
    # Of arguments_not_json no text is: a server says it, see tests/runs/test_native.py.
    by_hand, by_mutation = shapes_by_hand()[kind], shapes_by_mutation()[kind]
    assert by_mutation
    assert len(by_hand) >= 2
    assert len(by_hand | by_mutation) >= 3
