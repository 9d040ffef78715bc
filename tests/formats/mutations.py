"""Mutations: damage to one place of a valid turn, with the kind and the offset known beforehand.

What a mutation expects comes from the table of failure kinds, never from the parser.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

from hypothesis import assume
from hypothesis import strategies as st

from fcbench.types import FailureKind
from tests.formats.turns import (
    BRACES,
    FORMATS,
    JSON,
    STOPPED,
    Places,
    Turn,
    after,
    arguments,
    bad_numbers,
    bare_words,
    before,
    beginning,
    blanks,
    closers_of_a_call,
    each,
    earlier,
    edges,
    ending,
    everywhere,
    filled,
    item_before_comma,
    last,
    later,
    nested,
    only_if,
    outermost,
    pair_value,
    prose,
    spaced_prose,
    starts_no_number,
    to_the_end,
    turns,
    value,
    whitespace,
    whole,
    wider,
)


class Damage(NamedTuple):
    """A broken turn and the offset of the first token that cannot stand there."""

    text: str
    offset: int


Mutate = Callable[[Turn, Callable], Damage]
New = str | list[str] | st.SearchStrategy[str] | Callable[[str], str]


class Mutation(NamedTuple):
    """Damage of a kind; `mendable` is whether lenient mode may make calls of it."""

    kind: FailureKind
    formats: tuple[str, ...]
    mutate: Mutate
    mendable: bool = False


def choose(draw: Callable, places: list[tuple[int, int]]) -> tuple[int, int]:
    """Return one of the places; a turn without any is no example."""
    assume(places)
    return draw(st.sampled_from(places))


def written(draw: Callable, new: New, old: str) -> str:
    """Return what stands in the place of an old text."""
    if isinstance(new, st.SearchStrategy | list):
        return draw(st.sampled_from(new) if isinstance(new, list) else new)
    return new(old) if callable(new) else new


def put(places: Places, new: New, wrong: int | Callable[[str], int] = 0) -> Mutate:
    """Return the mutation that puts something in a place.

    `wrong` is where, counted from there, the first wrong token begins: a number, or `len` for
    behind what was put.
    """

    def mutate(turn: Turn, draw: Callable) -> Damage:
        i, j = choose(draw, places(turn))
        text = written(draw, new, turn.between(i, j))
        moved = wrong(text) if callable(wrong) else wrong
        return Damage(turn.put(i, j, text), turn.at(i) + moved)

    return mutate


def stray(places: Places) -> Mutate:
    """Return the mutation that puts a control token that belongs nowhere in a place."""
    return lambda turn, draw: put(places, list(turn.tokens.strays))(turn, draw)


# What cannot be said as one text in one place


def stopped(places: Places) -> Mutate:
    """Return the mutation that stops the turn at a place, whatever comes after."""

    def mutate(turn: Turn, draw: Callable) -> Damage:
        i, j = choose(draw, places(turn))
        return Damage(turn.put(i, j, turn.tokens.stop + draw(prose)), turn.at(i))

    return mutate


def in_string(new: Callable[[Turn], list[str]], *, cut: bool = False) -> Mutate:
    """Return the mutation that puts something inside a string, perhaps instead of all the rest."""

    def mutate(turn: Turn, draw: Callable) -> Damage:
        quote = len(turn.tokens.quote)
        in_json = turn.format in JSON
        strings = [s for s in each("string")(turn) if not (in_json and "\\" in turn.between(*s))]
        i, _ = choose(draw, strings)
        text = turn.pieces[i].text
        at = turn.at(i) + draw(st.integers(quote, len(text) - quote))
        rest = "" if cut else turn.text[at:]
        return Damage(turn.text[:at] + draw(st.sampled_from(new(turn))) + rest, at)

    return mutate


def cut_inside(places: Places) -> Mutate:
    """Return the mutation that ends the turn inside a piece of two characters or more."""

    def mutate(turn: Turn, draw: Callable) -> Damage:
        long = [(i, j) for i, j in places(turn) if len(turn.between(i, j)) > 1]
        i, j = choose(draw, long)
        at = turn.at(i) + draw(st.integers(1, len(turn.between(i, j)) - 1))
        return Damage(turn.text[:at], at)

    return mutate


def cut_at_a_boundary(turn: Turn, draw: Callable) -> Damage:
    """End the turn between two tokens, behind what makes it an attempt and before a call's end."""
    begun = next(i for i in range(1, len(turn.pieces)) if turn.role(i - 1) in ("start", "name"))
    i = draw(st.integers(begun, len(turn.pieces) - 1))
    assume(turn.role(i - 1) != "end")
    return Damage(turn.between(0, i), turn.at(i))


def last_quote_lost(turn: Turn, draw: Callable) -> Damage:
    """Drop the quote after the last string of a call, which then runs into the end token."""
    ends = [j for _, j in each("end")(turn)]
    calls = zip([0, *ends[:-1]], ends, strict=True)
    strings = each("string")(turn)
    inside = [([s for s in strings if i <= s[0] < j], j) for i, j in calls]
    found, end = draw(st.sampled_from([(s[-1], j) for s, j in inside if s]))
    quote = turn.tokens.quote
    text = turn.put(*found, turn.between(*found).removesuffix(quote))
    return Damage(text, turn.at(end - 1) - len(quote))


def string_for_arguments(turn: Turn, draw: Callable) -> Damage:
    quote = turn.tokens.quote
    return put(arguments, bare_words.map(lambda word: f"{quote}{word}{quote}"))(turn, draw)


def json_for_arguments(turn: Turn, draw: Callable) -> Damage:
    i, j = draw(st.sampled_from(arguments(turn)))
    text = json.dumps({draw(bare_words): turn.calls[0].arguments})
    return Damage(turn.put(i, j, text), turn.at(i) + len("{"))


def second_key(spell: Callable[[str], str] = str) -> Mutate:
    """Return the mutation that gives a key once more somewhere later in its object."""

    def mutate(turn: Turn, draw: Callable) -> Damage:
        i, _ = draw(st.sampled_from(each("key")(turn)))
        depth, ends = turn.pieces[i].depth, []
        for j in range(i, len(turn.pieces)):
            if turn.pieces[j].depth == depth and turn.role(j) in ("pair comma", "}"):
                ends.append(j)
                if turn.role(j) == "}":
                    break
        j = draw(st.sampled_from(ends))
        pair = f"{turn.comma}{spell(turn.pieces[i].text)}{turn.colon}1"
        return Damage(turn.put(j, j, pair), turn.at(j) + len(turn.comma))

    return mutate


def escaped(key: str) -> str:
    """Return a JSON string with every character as an escape."""
    units = json.loads(key).encode("utf-16-be")
    return '"' + "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2)) + '"'


def deep(opener: str, *, closed: bool = True) -> Mutate:
    """Return the mutation that nests a value one level or more too deep."""

    def mutate(turn: Turn, draw: Callable) -> Damage:
        i, j = draw(st.sampled_from(value(turn)))
        around = turn.pieces[i].depth - (turn.role(i) in ("{", "["))
        key = opener if turn.format in BRACES else opener.replace("k", '"k"')
        levels = 65 - around + draw(st.integers(0, 10))
        closers = ("}" if "{" in opener else "]") * levels if closed else ""
        text = turn.put(i, j, key * levels + "1" + closers)
        return Damage(text, turn.at(i) + len(key) * (64 - around))

    return mutate


def declared(places: Places) -> Mutate:
    """Return the mutation that repeats a function's declaration, whole or only begun."""

    def mutate(turn: Turn, draw: Callable) -> Damage:
        begin, end = turn.tokens.declaration
        name, quote = draw(bare_words), turn.tokens.quote
        text = f"{begin}declaration:{name}{{description:{quote}{name}{quote}}}"
        return put(places, [text + end, text])(turn, draw)

    return mutate


def rendered_in(format: str) -> Mutate:
    """Return the mutation that writes the calls in another format."""

    def mutate(turn: Turn, draw: Callable) -> Damage:
        calls = turn.calls[:1] if format == "llama3" else turn.calls
        stop = draw(st.sampled_from(["", Turn(format, calls).tokens.stop, turn.tokens.stop]))
        return Damage(Turn(format, calls).text + stop, 0)

    return mutate


def call_repeated(turn: Turn, draw: Callable) -> Damage:
    """Write one call over and over; the limit cuts the last one."""
    unit = Turn(turn.format, turn.calls[:1]).text + "\n" * (turn.format == "hermes")
    assume(len(unit) < 600)
    begun = draw(st.integers(1, len(turn.tokens.start)))
    return Damage(unit * draw(st.integers(4, 6)) + unit[:begun], 0)


def pair_repeated(turn: Turn, draw: Callable) -> Damage:
    """Write the first pair of an object over and over; the opener before it is not part of it."""
    i, j = choose(
        draw,
        [(i, turn.end_of_value(i + 2)) for i, _ in each("key")(turn) if turn.role(i - 1) == "{"],
    )
    unit = turn.between(i, j) + turn.comma
    return Damage(turn.between(0, i) + unit * (48 // len(unit) + 4), turn.at(i))


def repeated(places: Places, fragments: st.SearchStrategy[str]) -> Mutate:
    """Return the mutation that goes on with a fragment that does not end as the text before it."""

    def mutate(turn: Turn, draw: Callable) -> Damage:
        i, _ = choose(draw, places(turn))
        begun = turn.between(0, i) + (turn.tokens.quote if turn.role(i) == "string" else "")
        unit = draw(fragments)
        times = 48 // len(unit) + draw(st.integers(4, 9))
        return Damage(begun + unit * times, len(begun))

    return mutate


def nothing(pieces: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from([*pieces, "<pad>"]), max_size=5).map("".join)


def quoted(*quotes: str) -> st.SearchStrategy[str]:
    return st.builds(lambda q, word: q[0] + word + q[-1], st.sampled_from(quotes), bare_words)


def blanks_of_json(text: str) -> int:
    """Return how many characters of whitespace that JSON allows a text begins with."""
    return len(text) - len(text.lstrip(" \t\r\n"))


# Kind, formats, mutation

TAGGED = (*BRACES, "hermes")
MUTATIONS = [
    Mutation("empty_output", FORMATS, put(whole, nothing(" \n\t\u00a0"))),
    Mutation("empty_output", STOPPED, stopped(beginning)),
    *(
        Mutation("wrong_dialect", tuple(f for f in FORMATS if f != other), rendered_in(other))
        for other in FORMATS
    ),
    Mutation("repetition", TAGGED, call_repeated),
    Mutation("repetition", FORMATS, pair_repeated),
    Mutation("repetition", FORMATS, repeated(each("string"), st.text("ab c", min_size=1, max_size=6))),
    Mutation("repetition", FORMATS, repeated(pair_value, st.sampled_from(["[", "[[1],"]))),
    Mutation("truncated", FORMATS, cut_at_a_boundary),
    Mutation("truncated", FORMATS, in_string(lambda _: [""], cut=True)),
    Mutation("truncated", FORMATS, cut_inside(each("number", "boolean", "null"))),
    Mutation("missing_start_token", BRACES, put(each("start"), "")),
    Mutation("missing_start_token", ("hermes",), put(wider(each("start"), 0, 1), "")),
    Mutation("missing_end_token", BRACES, put(last(each("end")), ""), mendable=True),
    Mutation("missing_end_token", BRACES, stopped(last(each("end"))), mendable=True),
    Mutation("missing_end_token", BRACES, put(earlier(each("end")), "")),
    Mutation("missing_end_token", ("hermes",), put(last(wider(each("end"), 1, 0)), ""), mendable=True),
    Mutation("missing_end_token", ("hermes",), put(earlier(wider(each("end"), 1, 0)), "", 1)),
    Mutation("missing_call_prefix", BRACES, put(each("prefix"), ["", "Call:", "call", "function:"])),
    Mutation("missing_call_prefix", BRACES, stopped(each("prefix"))),
    Mutation("missing_name", BRACES, put(each("name"), "")),
    Mutation("missing_name", BRACES, put(to_the_end(each("name")), "")),
    Mutation("missing_name", JSON, put(each("name"), ["", '""'])),
    Mutation("missing_open_brace", BRACES, put(arguments, "")),
    Mutation("missing_open_brace", BRACES, put(to_the_end(arguments), "")),
    Mutation("missing_open_brace", BRACES, string_for_arguments),
    Mutation("missing_open_brace", JSON, put(arguments, ['"{}"', "1", "null", "true"])),
    Mutation("missing_close_brace", TAGGED, put(closers_of_a_call, "")),
    Mutation("missing_close_brace", BRACES, put(only_if(wider(closers_of_a_call, 0, 1), lambda t, _, j: t.role(j) == "start"), "")),
    Mutation("missing_close_brace", FORMATS, put(to_the_end(closers_of_a_call), "")),
    Mutation("missing_key", FORMATS, put(each("key"), "")),
    Mutation("missing_key", ("hermes", "mistral"), put(each("label"), "")),
    Mutation("missing_key", FORMATS, put(each("pair comma"), lambda comma: comma.strip() * 2, 1)),
    Mutation("missing_key", FORMATS, put(before(only_if(each("key"), lambda t, i, _: t.role(i - 1) == "{")), ",")),
    Mutation("missing_value", FORMATS, put(pair_value, "")),
    Mutation("missing_value", FORMATS, put(to_the_end(pair_value), "")),
    Mutation("missing_value", FORMATS, put(item_before_comma, "")),
    Mutation("missing_value", FORMATS, put(each("item comma"), lambda comma: comma.strip() * 2, 1)),
    Mutation("missing_separator", FORMATS, put(only_if(each("pair comma", "item comma"), starts_no_number), "")),
    Mutation("missing_separator", JSON, put(each("pair comma", "item comma"), " ", 1)),
    Mutation("missing_separator", BRACES, put(only_if(each(":"), lambda t, _, j: t.role(j) in ("string", "[", "{")), ["", "="], len)),
    Mutation("missing_separator", JSON, put(each(":"), ["", "="])),
    Mutation("missing_separator", BRACES, put(only_if(wider(each(":"), 0, 1), lambda t, i, _: t.role(i + 1) in ("number", "boolean", "null")), lambda old: "=" + old[1:], len)),
    Mutation("missing_separator", BRACES, put(lambda t: [(i - 1, j) for i, j in pair_value(t)], "")),
    Mutation("trailing_comma", FORMATS, put(before(filled("}", "]")), ",", len), mendable=True),
    Mutation("wrong_bracket", BRACES, put(outermost("{"), ["(", "["])),
    Mutation("wrong_bracket", FORMATS, put(nested("{", "["), "(")),
    Mutation("wrong_bracket", FORMATS, put(each("]"), ["}", ")"])),
    Mutation("wrong_bracket", FORMATS, put(each("}"), "]")),
    Mutation("wrong_bracket", FORMATS, put(filled("}"), ")")),
    Mutation("wrong_bracket", JSON, put(outermost("{"), ["(", "["])),
    Mutation("wrong_bracket", JSON, put(each("body}"), ["]", ")"])),
    Mutation("duplicate_key", FORMATS, second_key()),
    Mutation("duplicate_key", JSON, second_key(escaped)),
    Mutation("duplicate_key", JSON, put(before(only_if(each("label"), lambda t, i, _: t.role(i - 1) == "comma")), '"name": "f", ')),
    Mutation("unterminated_string", BRACES, last_quote_lost),
    Mutation("unterminated_string", BRACES, in_string(lambda t: [t.tokens.start, t.tokens.end, *t.tokens.strays])),
    Mutation("unterminated_string", STOPPED, in_string(lambda t: [t.tokens.stop])),
    Mutation("unterminated_string", JSON, in_string(lambda _: ["\n", "\t", "\x00", "\\x"])),
    Mutation("unterminated_string", FORMATS, in_string(lambda _: [""], cut=True)),
    Mutation("bare_string", FORMATS, put(value, bare_words)),
    Mutation("bare_string", FORMATS, put(value, st.builds("{} {}".format, bare_words, bare_words))),
    Mutation("quoted_string", BRACES, put(value, quoted('""'))),
    Mutation("quoted_string", FORMATS, put(value, quoted("''", "“”", "``"))),
    Mutation("json_arguments", BRACES, put(each("key"), '"{}"'.format)),
    Mutation("json_arguments", BRACES, put(each("key"), "'{}'".format)),
    Mutation("json_arguments", BRACES, json_for_arguments),
    Mutation("bad_number", FORMATS, put(value, bad_numbers)),
    Mutation("python_literal", FORMATS, put(each("boolean"), str.capitalize), mendable=True),
    Mutation("python_literal", FORMATS, put(value, ["True", "False"]), mendable=True),
    Mutation("stray_whitespace", BRACES, put(everywhere, whitespace), mendable=True),
    Mutation("stray_whitespace", ("hermes", "mistral", "llama3"), put(edges, whitespace), mendable=True),
    Mutation("stray_whitespace", ("hermes",), put(after(each("start", "end", "body}")), blanks), mendable=True),
    Mutation("stray_whitespace", JSON, put(before(each("{", "}", "key", ":", "[", "]", "string", "number", "pair comma", "item comma")), ["\u00a0", "\u2003"]), mendable=True),
    Mutation("stray_whitespace", ("mistral",), put(after(each("gap")), whitespace), mendable=True),
    Mutation("text_before_call", STOPPED, put(beginning, spaced_prose), mendable=True),
    Mutation("text_before_call", ("json",), put(beginning, prose), mendable=True),
    Mutation("text_before_call", ("json",), put(beginning, st.builds(str.__add__, st.text(" \t\r\n"), prose), blanks_of_json), mendable=True),
    Mutation("text_between_calls", BRACES, put(before(later(each("start"))), spaced_prose), mendable=True),
    Mutation("text_between_calls", ("hermes",), put(after(earlier(each("end"))), spaced_prose), mendable=True),
    Mutation("text_after_call", STOPPED, put(ending, spaced_prose), mendable=True),
    Mutation("text_after_call", ("json",), put(ending, st.builds(str.__add__, st.text(" \t\r\n"), prose), blanks_of_json), mendable=True),
    Mutation("declaration_echo", BRACES, declared(whole)),
    Mutation("declaration_echo", BRACES, declared(before(each("start")))),
    Mutation("declaration_echo", BRACES, declared(ending)),
    Mutation("too_deep", FORMATS, deep("[")),
    Mutation("too_deep", FORMATS, deep("{k:")),
    Mutation("too_deep", FORMATS, deep("[", closed=False)),
    Mutation("unexpected", (*BRACES, "hermes"), put(each("end"), lambda end: end * 2, lambda new: len(new) // 2)),
    Mutation("unexpected", STOPPED, stray(edges)),
    Mutation("unexpected", BRACES, stray(after(each("end")))),
]  # fmt: skip


@st.composite
def damages(draw: Callable, mutation: Mutation) -> tuple[Turn, Damage]:
    """Return a valid turn of one of the mutation's formats, and what the mutation makes of it."""
    turn = draw(turns(draw(st.sampled_from(mutation.formats))))
    return turn, mutation.mutate(turn, draw)
