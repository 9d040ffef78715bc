"""Valid turns in pieces, what hypothesis makes them of, and the places where one may be damaged."""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from hypothesis import strategies as st

from fcbench import Call
from fcbench.formats import module_of

BRACES = ("functiongemma", "gemma4")
JSON = ("hermes", "mistral", "llama3", "json")
FORMATS = BRACES + JSON


class Tokens(NamedTuple):
    """A format's control tokens; `strays` are some that belong nowhere in a model's turn."""

    stop: str
    strays: tuple[str, ...]
    start: str = ""
    end: str = ""
    quote: str = '"'
    declaration: tuple[str, str] = ("", "")


TOKENS = {
    "functiongemma": Tokens(
        "<end_of_turn>",
        ("<bos>", "<start_of_turn>", "<end_function_response>"),
        "<start_function_call>",
        "<end_function_call>",
        "<escape>",
        ("<start_function_declaration>", "<end_function_declaration>"),
    ),
    "gemma4": Tokens(
        "<turn|>",
        ("<bos>", "<|turn>", "<tool_response|>"),
        "<|tool_call>",
        "<tool_call|>",
        '<|"|>',
        ("<|tool>", "<tool|>"),
    ),
    "hermes": Tokens("<|im_end|>", ("<|im_start|>",), "<tool_call>", "</tool_call>"),
    "mistral": Tokens("</s>", ("<s>", "[INST]"), "[TOOL_CALLS]"),
    "llama3": Tokens("<|eot_id|>", ("<|begin_of_text|>", "<|start_header_id|>")),
    "json": Tokens("", ()),
}
STOPPED = tuple(name for name in FORMATS if TOKENS[name].stop)


# A valid turn, in pieces


class Piece(NamedTuple):
    """One token. `depth` counts the brackets of the arguments around it, its own included."""

    role: str
    text: str
    depth: int = 0


@dataclass(frozen=True)
class Turn:
    """A valid turn of a format."""

    format: str
    calls: list[Call]

    @cached_property
    def pieces(self) -> list[Piece]:
        return list(_braces(self) if self.format in BRACES else _json(self))

    @property
    def tokens(self) -> Tokens:
        return TOKENS[self.format]

    @property
    def comma(self) -> str:
        return "," if self.format in BRACES else ", "

    @property
    def colon(self) -> str:
        return ":" if self.format in BRACES else ": "

    @property
    def text(self) -> str:
        return self.between(0)

    def between(self, begin: int, end: int | None = None) -> str:
        """Return the text of some pieces."""
        return "".join(piece.text for piece in self.pieces[begin:end])

    def at(self, index: int) -> int:
        """Return where a piece begins."""
        return len(self.between(0, index))

    def put(self, begin: int, end: int, new: str) -> str:
        """Return the text with something else instead of some pieces."""
        return self.between(0, begin) + new + self.between(end)

    def role(self, index: int) -> str:
        return self.pieces[index].role if 0 <= index < len(self.pieces) else ""

    def end_of_value(self, begin: int) -> int:
        """Return the index after the value that begins with a piece."""
        role, _, depth = self.pieces[begin]
        if role not in ("{", "["):
            return begin + 1
        closing = {"{": "}", "[": "]"}[role], depth
        after = range(begin, len(self.pieces))
        return 1 + next(i for i in after if (self.role(i), self.pieces[i].depth) == closing)


def _value(turn: Turn, value: object, depth: int = 0) -> Iterator[Piece]:
    braces, quote = turn.format in BRACES, turn.tokens.quote
    if isinstance(value, dict):
        yield Piece("{", "{", depth + 1)
        for n, key in enumerate(sorted(value, key=str.lower) if braces else value):
            if n:
                yield Piece("pair comma", turn.comma, depth + 1)
            yield Piece("key", key if braces else json.dumps(key, ensure_ascii=False), depth + 1)
            yield Piece(":", turn.colon, depth + 1)
            yield from _value(turn, value[key], depth + 1)
        yield Piece("}", "}", depth + 1)
    elif isinstance(value, list):
        yield Piece("[", "[", depth + 1)
        for n, item in enumerate(value):
            if n:
                yield Piece("item comma", turn.comma, depth + 1)
            yield from _value(turn, item, depth + 1)
        yield Piece("]", "]", depth + 1)
    elif isinstance(value, str):
        text = f"{quote}{value}{quote}" if braces else json.dumps(value, ensure_ascii=False)
        yield Piece("string", text, depth)
    elif value is None:
        yield Piece("null", "None" if braces else "null", depth)
    elif isinstance(value, bool):
        yield Piece("boolean", str(value).lower(), depth)
    else:
        yield Piece("number", repr(value), depth)


def _braces(turn: Turn) -> Iterator[Piece]:
    for call in turn.calls:
        yield from (Piece("start", turn.tokens.start), Piece("prefix", "call:"))
        yield Piece("name", call.name)
        yield from _value(turn, call.arguments)
        yield Piece("end", turn.tokens.end)


def _json(turn: Turn) -> Iterator[Piece]:
    start, end = turn.tokens.start, turn.tokens.end
    in_list = turn.format == "mistral" or (turn.format == "json" and len(turn.calls) > 1)
    if in_list and start:
        yield from (Piece("start", start), Piece("gap", " "))
    if in_list:
        yield Piece("list[", "[")
    for n, call in enumerate(turn.calls):
        if n:
            yield Piece("call comma", ", ") if in_list else Piece("call break", "\n")
        if end:
            yield from (Piece("start", start), Piece("break", "\n"))
        yield from (Piece("body{", "{"), Piece("label", '"name"'), Piece("label colon", ": "))
        yield from (Piece("name", json.dumps(call.name, ensure_ascii=False)), Piece("comma", ", "))
        yield Piece("label", '"parameters"' if turn.format == "llama3" else '"arguments"')
        yield Piece("label colon", ": ")
        yield from _value(turn, call.arguments)
        yield Piece("body}", "}")
        if end:
            yield from (Piece("break", "\n"), Piece("end", end))
    if in_list:
        yield Piece("list]", "]")


# What is generated

_letter = st.characters(categories=["Lu", "Ll", "Lo"])
_names = st.builds(str.__add__, _letter, st.text(_letter | st.sampled_from("_.-:/$7"), max_size=6))
names = _names.filter(lambda name: not name.startswith("call:"))
keys = names.map(lambda name: name.replace(":", "="))
_nasty = ["},", '{"a":1}', '"', "\\", "call:f{", "<escape", "\ud800", "שלום", "<b>\r\n", "🙂"]
_controls = {token for name in FORMATS for token in module_of(name).WIRE.controls}
_control = re.compile("|".join(map(re.escape, _controls)))
strings = st.sampled_from(_nasty) | st.text(max_size=8).filter(lambda s: not _control.search(s))
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=4,
)
some_calls = st.builds(Call, names, st.dictionaries(keys, values, max_size=3))
# A call in which every mutation finds a place.
full_calls = st.builds(
    Call,
    names,
    st.fixed_dictionaries(
        {
            "text": strings,
            "n": numbers,
            "yes": st.booleans(),
            "list": st.lists(values, min_size=2, max_size=3),
            "more": st.dictionaries(keys, values, min_size=1, max_size=2),
        }
    ),
)

WHITESPACE = "".join(c for c in map(chr, range(0x3001)) if c.isspace())
whitespace = st.text(WHITESPACE, min_size=1, max_size=3)
blanks = st.text(WHITESPACE.replace("\n", ""), min_size=1, max_size=3)
prose = st.builds(
    str.__add__,
    _letter | st.sampled_from("*#`…-1"),
    st.text(_letter | st.sampled_from(" \n.,;!?*`'\"7"), max_size=12),
)
spaced_prose = prose | st.builds(str.__add__, whitespace, prose)
JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
NUMBER_LIKE = re.compile(r"[0-9.eE+-]+")


def _is_bad_number(text: str) -> bool:
    good = JSON_NUMBER.fullmatch(text) and math.isfinite(float(text))
    return not good and any(c in "0123456789" for c in text)


bad_numbers = st.from_regex(r"\A[0-9.eE+-]{1,7}\Z").filter(_is_bad_number) | st.sampled_from(
    ["007", "-01", "1.", ".5", "+1", "1.2.3", "2026-01-02", "1e999", "-1.5e400"]
    + [sign + word for sign in ("", "-") for word in ("nan", "NaN", "inf", "Infinity")]
)
bare_words = st.builds(str.__add__, _letter, st.text(_letter | st.sampled_from("_7"), max_size=6))
bare_words = bare_words.filter(
    lambda word: (
        word.lower() not in ("true", "false", "null", "none", "nan", "inf", "infinity")
        and not NUMBER_LIKE.fullmatch(word)
    )
)


@st.composite
def turns(draw, format: str) -> Turn:
    """Return a turn of some calls, one of them rich; exactly one call where no more are allowed."""
    calls = [] if format == "llama3" else draw(st.lists(some_calls, max_size=2))
    calls.insert(draw(st.integers(0, len(calls))), draw(full_calls))
    return Turn(format, calls)


# Places: the spans of pieces that a mutation may take

Spans = list[tuple[int, int]]
Places = Callable[["Turn"], Spans]


def each(*roles: str) -> Places:
    return lambda turn: [(i, i + 1) for i, p in enumerate(turn.pieces) if p.role in roles]


def outermost(*roles: str) -> Places:
    return lambda turn: [(i, j) for i, j in each(*roles)(turn) if turn.pieces[i].depth == 1]


def nested(*roles: str) -> Places:
    return lambda turn: [(i, j) for i, j in each(*roles)(turn) if turn.pieces[i].depth > 1]


def before(places: Places) -> Places:
    return lambda turn: [(i, i) for i, _ in places(turn)]


def after(places: Places) -> Places:
    return lambda turn: [(j, j) for _, j in places(turn)]


def later(places: Places) -> Places:
    return lambda turn: places(turn)[1:]


def earlier(places: Places) -> Places:
    return lambda turn: places(turn)[:-1]


def first(places: Places) -> Places:
    return lambda turn: places(turn)[:1]


def last(places: Places) -> Places:
    return lambda turn: places(turn)[-1:]


def wider(places: Places, left: int, right: int) -> Places:
    return lambda turn: [(i - left, j + right) for i, j in places(turn)]


def to_the_end(places: Places) -> Places:
    return lambda turn: [(i, len(turn.pieces)) for i, _ in places(turn)]


def whole(turn: Turn) -> Spans:
    return [(0, len(turn.pieces))]


def beginning(_: Turn) -> Spans:
    return [(0, 0)]


def ending(turn: Turn) -> Spans:
    return [(len(turn.pieces), len(turn.pieces))]


def edges(turn: Turn) -> Spans:
    return beginning(turn) + ending(turn)


def everywhere(turn: Turn) -> Spans:
    return [(i, i) for i in range(len(turn.pieces) + 1)]


def valued(*before_it: str) -> Places:
    """Return the places of whole values inside the arguments that follow a piece of these roles."""
    return lambda turn: [
        (i, turn.end_of_value(i))
        for i in range(1, len(turn.pieces))
        if turn.role(i - 1) in before_it and turn.role(i) != "]"
    ]


value, pair_value = valued(":", "[", "item comma"), valued(":")


def item_before_comma(turn: Turn) -> Spans:
    items = valued("[", "item comma")(turn)
    return [(i, j) for i, j in items if turn.role(j) == "item comma"]


def arguments(turn: Turn) -> Spans:
    return [(i, turn.end_of_value(i)) for i, _ in outermost("{")(turn)]


def filled(*closers: str) -> Places:
    """Return the closers of these kinds that do not close an empty object or array."""
    return lambda turn: [
        (i, j) for i, j in each(*closers)(turn) if turn.role(i - 1) not in ("{", "[")
    ]


def closers_of_a_call(turn: Turn) -> Spans:
    """Return, after each value or opener, all that is left before the end of its call."""
    found = []
    for i in range(1, len(turn.pieces)):
        role, _, depth = turn.pieces[i - 1]
        open_still = role in ("[", "{", "string", "number", "boolean", "null") or (
            role in ("]", "}") and depth > 1
        )
        if open_still:
            rest = range(i, len(turn.pieces))
            found.append((i, next((k for k in rest if turn.role(k) == "end"), len(turn.pieces))))
    return found


def only_if(places: Places, holds: Callable[[Turn, int, int], bool]) -> Places:
    return lambda turn: [(i, j) for i, j in places(turn) if holds(turn, i, j)]


def starts_no_number(turn: Turn, _: int, after: int) -> bool:
    """Whether what stands before and after a comma are still two tokens without it."""
    if turn.role(after) in ("string", "[", "{"):
        return True
    if turn.role(after - 2) in ("string", "]", "}"):
        return True
    is_key = turn.role(after) == "key" and turn.pieces[after].text[:1] not in "eE"
    return is_key and turn.role(after - 2) == "number"
