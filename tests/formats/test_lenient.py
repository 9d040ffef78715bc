"""Lenient mode mends exactly what it may: each repair alone, and several together."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fcbench import parse
from tests.formats.mutations import New, choose, written
from tests.formats.turns import (
    BRACES,
    FORMATS,
    JSON,
    Places,
    Turn,
    after,
    before,
    beginning,
    blanks,
    each,
    earlier,
    ending,
    everywhere,
    filled,
    last,
    later,
    only_if,
    prose,
    turns,
    whitespace,
    wider,
)


class Repair(NamedTuple):
    """Damage that lenient mode mends, and what it says of it."""

    says: str
    formats: tuple[str, ...]
    places: Places
    new: New


def literal(word: str) -> Places:
    return only_if(each("boolean"), lambda turn, i, _: turn.pieces[i].text == word)


def in_json(turn: Turn) -> list[tuple[int, int]]:
    roles = ("{", "}", "key", ":", "[", "]", "string", "number", "pair comma", "item comma")
    return before(each(*roles))(turn)


REPAIRS = [
    Repair("removed whitespace", BRACES, everywhere, whitespace),
    Repair("removed whitespace", ("hermes", "mistral", "llama3"), beginning, whitespace),
    Repair("removed whitespace", ("hermes", "mistral", "llama3"), ending, whitespace),
    Repair("removed whitespace", ("hermes",), after(each("start", "end", "body}")), blanks),
    Repair("removed whitespace", JSON, in_json, ["\u00a0", "\u2003"]),
    Repair("removed text", FORMATS, beginning, prose),
    Repair("removed text", FORMATS, ending, prose),
    Repair("removed text", BRACES, before(later(each("start"))), prose),
    Repair("removed text", ("hermes",), after(earlier(each("end"))), prose),
    Repair("added the missing end token", BRACES, last(each("end")), ""),
    Repair("added the missing end token", ("hermes",), last(wider(each("end"), 1, 0)), ""),
    Repair("read True as true", FORMATS, literal("true"), "True"),
    Repair("read False as false", FORMATS, literal("false"), "False"),
    Repair("removed a trailing comma", FORMATS, before(filled("}", "]")), ","),
]


def damaged(
    turn: Turn, draw: Callable, repairs: list[tuple[Repair, tuple[int, int]]]
) -> tuple[str, list[str]]:
    """Return the turn with every damage done, and what lenient mode has to say in order."""
    text, done, said = "", 0, []
    for repair, (i, j) in sorted(repairs, key=lambda repair: repair[1]):
        text += turn.between(done, i)
        said.append(f"{repair.says} at {len(text)}")
        text += written(draw, repair.new, turn.between(i, j))
        done = j
    return text + turn.between(done), said


def assert_mended(turn: Turn, text: str, said: list[str]) -> None:
    assert parse(text, turn.format).outcome == "malformed"
    lenient = parse(text, turn.format, "lenient")
    assert repr(lenient.calls) == repr(parse(turn.text, turn.format).calls)
    assert lenient.repairs == said


@pytest.mark.parametrize("repair", REPAIRS, ids=[f"{r.says}-{n}" for n, r in enumerate(REPAIRS)])
@given(st.data())
@settings(max_examples=15, deadline=None)
def test_each_repair_gives_the_calls_back_and_is_listed(repair, data):
    turn = data.draw(turns(data.draw(st.sampled_from(repair.formats))))
    text, said = damaged(turn, data.draw, [(repair, choose(data.draw, repair.places(turn)))])
    assert_mended(turn, text, said)


@pytest.mark.parametrize("format", FORMATS)
@given(st.data())
@settings(max_examples=30, deadline=None)
def test_several_repairs_go_together(format, data):
    turn = data.draw(turns(format))
    possible = [
        (repair, place)
        for repair in REPAIRS
        if format in repair.formats
        for place in repair.places(turn)
    ]
    chosen = data.draw(st.lists(st.sampled_from(possible), min_size=2, max_size=6))
    chosen = list({place[0]: (repair, place) for repair, place in chosen}.values())
    # An end token is missing only where the turn ends.
    missing = [place[0] for repair, place in chosen if "end token" in repair.says]
    chosen = [(repair, place) for repair, place in chosen if not missing or place[0] <= missing[0]]
    assume(len(chosen) > 1)
    text, said = damaged(turn, data.draw, chosen)
    assert_mended(turn, text, said)


@pytest.mark.parametrize("blanks", ["\n", "\n\n", "\n\x85", "\n \n", " \n"])
def test_blanks_after_a_turn_are_one_repair_at_their_first(blanks):
    turn = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    assert parse(turn + blanks, "hermes", "lenient").repairs == [
        f"removed whitespace at {len(turn)}"
    ]
