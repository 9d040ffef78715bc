"""The format of calls as Python writes them; Python itself says what its texts mean."""

import ast
import keyword
import math
import re
import warnings

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fcbench import Call, parse, registry, render
from fcbench.errors import FormatError
from fcbench.formats import attempt_patterns, format_of
from fcbench.formats._language import language_of
from fcbench.formats._python_text import is_identifier
from fcbench.formats._pythonic_wire import HINTS
from fcbench.formats._tracker import Tracker
from fcbench.paths import data_folder
from tests.formats.examples import typed

FORMATS = registry.names("formats")


def ours(text: str) -> list[tuple] | None:
    """The calls that we read, so that 1, 1.0 and True differ; None where we refuse."""
    parsed = parse(text, "pythonic")
    return typed_calls(parsed.calls) if parsed.outcome == "calls" else None


def typed_calls(calls: list[Call]) -> list[tuple]:
    return [(call.name, typed(call.arguments)) for call in calls]


def pythons(text: str) -> list[tuple] | None:
    """The calls that Python reads, likewise; None where it refuses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unknown escapes, which keep their backslash
            tree = ast.parse(text.strip(" \t\f\n\r"), mode="eval").body
            if any(node.args for node in tree.elts):
                return None
            return typed_calls(
                [
                    Call(
                        ast.unparse(node.func),
                        {word.arg: ast.literal_eval(word.value) for word in node.keywords},
                    )
                    for node in tree.elts
                ]
            )
    except (SyntaxError, ValueError, TypeError, AttributeError):
        return None


# The round trip

words = st.from_regex(r"[^\W\d]\w{0,6}", fullmatch=True).filter(is_identifier)
dotted = st.lists(words, min_size=1, max_size=3).map(".".join)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.text(alphabet="\x00\x7f\x85\u2028\ud800\udc00\\\"'\n\r\t\fxuN0{}", max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
calls = st.lists(
    st.builds(Call, dotted, st.dictionaries(words, values, max_size=4)), min_size=1, max_size=3
)


@given(calls)
@settings(max_examples=300)
def test_parse_after_render_is_the_identity_for_us_and_for_python(given_calls):
    text = render(given_calls, "pythonic")
    assert ours(text) == typed_calls(given_calls)
    assert pythons(text) == typed_calls(given_calls)
    assert parse(text, "pythonic", "lenient").repairs == []


def test_calls_are_written_in_one_line_with_double_quotes():
    arguments = {"b": True, "a": [None, False, 1.5, {"k": 'it\'s "x"\n\0\ud800\\é'}], "c": {}}
    assert render([Call("ns.f", arguments), Call("g")], "pythonic") == (
        r"""[ns.f(b=True, a=[None, False, 1.5, {"k": "it's \"x\"\n\x00\ud800\\é"}], c={}), g()]"""
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (Call("f", {"a-b": 1}), "$[0].arguments: not an argument name in this format: 'a-b'"),
        (Call("f", {"from": 1}), "$[0].arguments: not an argument name in this format: 'from'"),
        (Call("f", {"": 1}), "$[0].arguments: not an argument name in this format: ''"),
        (Call("f", {"a.b": 1}), "$[0].arguments: not an argument name in this format: 'a.b'"),
        # Python reads the micro sign as the Greek letter.
        (Call("f", {"\xb5": 1}), "$[0].arguments: not an argument name in this format: '\xb5'"),
        (Call("f", {1: 1}), "$[0].arguments: not an argument name in this format: 1"),
        (Call("f", {"a": {1: 1}}), "$[0].arguments.a: not a key in this format: 1"),
        (Call("get-f"), "$[0].name: not a function name in this format: 'get-f'"),
        (Call("a..b"), "$[0].name: not a function name in this format: 'a..b'"),
        (Call("import.f"), "$[0].name: not a function name in this format: 'import.f'"),
        (Call("f", {"a": [1e999]}), "$[0].arguments.a[0]: not a finite number: inf"),
        (Call("f", {"a": (1,)}), "$[0].arguments.a: not a JSON value: tuple"),
    ],
)
def test_render_names_the_path_of_what_python_cannot_express(call, message):
    with pytest.raises(FormatError) as caught:
        render([call], "pythonic")
    assert caught.value.message == message


def test_integers_of_any_size_stay_exact():
    for digits in (19, 400, 5000, 200_001):
        for sign in (1, -1):
            huge = sign * (10**digits + 7)
            assert parse(render([Call("f", {"n": huge})], "pythonic"), "pythonic").calls == [
                Call("f", {"n": huge})
            ]
            in_hex = parse(f"[f(n={huge:#x})]", "pythonic").calls
            assert in_hex == [Call("f", {"n": huge})]


def test_sixty_four_levels_are_accepted_and_sixty_five_are_not():
    deepest: object = 1
    for _ in range(63):
        deepest = [deepest]
    call = Call("f", {"a": deepest})
    text = render([call, call], "pythonic")
    assert parse(text, "pythonic").calls == [call, call]
    with pytest.raises(FormatError, match="deeper than 64"):
        render([Call("f", {"a": [deepest]})], "pythonic")
    failure = parse(text.replace("1", "{}"), "pythonic").failure
    assert (failure.kind, failure.offset) == ("too_deep", text.index("1"))


# Agreement with Python


@given(st.text(alphabet="0123456789_.eE+-xXoObBaAfFjJ", min_size=1, max_size=8))
@settings(max_examples=300)
@example("00")
@example("-0x_1F")
@example("0xe")
@example("1_0.5e-1_0")
@example("1._5")
def test_a_number_is_what_python_reads_as_one(text):
    python = pythons(f"[f(a={text})]")
    if python is not None:
        ((_, arguments),) = python
        kind, shown = arguments["a"]
        # Decided otherwise: no plus before a number, no complex number, none that overflows.
        if text[0] == "+" or kind == "complex" or "inf" in shown:
            python = None
    assert ours(f"[f(a={text})]") == python


STRING_PIECES = [
    *(f"\\{rest}" for rest in ("", "'", '"', *"abdfnrtvxu078", "U00")),
    *("0", "1", "4", "f", "F", "10", "0041", "00110000", "n", "x", "u", "é", "\U0001f600", "{"),
    *("\n", "\r", "\0", "\ud800", "\f", "\x1a", "\x85", "\u2028", " "),
]


@given(st.sampled_from("\"'"), st.lists(st.sampled_from(STRING_PIECES), max_size=8).map("".join))
@settings(max_examples=300)
def test_a_string_is_what_python_reads_as_one(quote, body):
    other = {'"': "'", "'": '"'}[quote]
    # The quote itself only escaped: Python joins strings that follow each other. A line may not
    # go on after a backslash.
    body = re.sub(rf"(?<!\\){quote}", other, body)
    assume(not re.search(r"\\[\n\r]", body))
    text = f"[f(a={quote}{body}{quote})]"
    assert ours(text) == pythons(text)
    in_dict = f"[f(a={{{quote}{body}{quote}: 1}})]"
    assert ours(in_dict) == pythons(in_dict)


@given(
    st.text(alphabet=st.characters(exclude_characters="!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~"))
    | st.sampled_from(keyword.kwlist + keyword.softkwlist)
)
@settings(max_examples=200)
@example("x\xb2")
@example("\xb5")
@example("न\u093eम")
@example("nonef")
def test_a_name_is_what_python_reads_as_the_same_name(word):
    def is_read(calls):
        return calls is not None and word in calls[0][1]

    text = f"[f({word}=1)]"
    assert is_read(ours(text)) == is_read(pythons(text))
    text = f"[ns.{word}()]"
    assert (ours(text) == [(f"ns.{word}", {})]) == (pythons(text) == [(f"ns.{word}", {})])


def test_the_grammar_knows_pythons_keywords():
    source = (data_folder("grammars") / "pythonic.lark").read_text(encoding="utf-8")
    (listed,) = re.findall(r"\(\?!\(\?:(False\|[\w|]+)\)", source)
    assert listed.split("|") == keyword.kwlist


blanks = st.sampled_from(["", "", " ", "\n", "\t", "\r\n", " \f "])


@st.composite
def spelled(draw, value, blank=blanks):
    """A value as Python, spelled in one of many ways."""
    match value:
        case bool() | None:
            return repr(value)
        case int():
            digits = draw(st.sampled_from(["{}", "{:_}", "{:#x}", "{:#o}", "{:#_b}", "{:#X}"]))
            return digits.format(value)
        case float():
            text = draw(st.sampled_from([repr(value), f"{value:.20e}", f"{value:.3E}"]))
            return text if math.isfinite(float(text)) else repr(value)  # rounded up
        case str():
            quote = draw(st.sampled_from("\"'"))
            shown = ascii(value)
            body = shown[1:-1].replace("\\'", "'").replace(quote, f"\\{quote}")
            return f"{quote}{body}{quote}"
        case list():
            return joined(draw, "[]", [draw(spelled(item)) for item in value])
        case dict():
            return joined(
                draw,
                "{}",
                [
                    f"{draw(spelled(key))}{draw(blank)}:{draw(blank)}{draw(spelled(item))}"
                    for key, item in value.items()
                ],
            )
    raise AssertionError(value)


def joined(draw, brackets, items):
    comma = draw(st.sampled_from(["", ","])) if items else ""
    between = f"{draw(blanks)},{draw(blanks)}"
    opener, closer = brackets
    return f"{opener}{draw(blanks)}{between.join(items)}{draw(blanks)}{comma}{draw(blanks)}{closer}"


@st.composite
def sources(draw):
    """A list of calls in Python, spelled in one of many ways."""
    texts = []
    for call in draw(calls):
        arguments = [
            f"{key}{draw(blanks)}={draw(blanks)}{draw(spelled(value))}"
            for key, value in call.arguments.items()
        ]
        texts.append(f"{call.name}{draw(blanks)}{joined(draw, '()', arguments)}")
    return f"{draw(blanks)}{joined(draw, '[]', texts)}{draw(blanks)}"


@given(sources())
@settings(max_examples=300)
def test_a_list_of_calls_that_python_accepts_is_accepted_with_its_values(text):
    python = pythons(text)
    assume(python is not None)
    assert ours(text) == python, parse(text, "pythonic").failure
    # What another format must know to call it a wrong dialect: all of it, so none of its stops.
    if not any(stop in text for stop in format_of("hermes").wire.stops):
        assert parse(text, "hermes").failure.kind == "wrong_dialect"


EDITS = [
    *("[", "]", "(", ")", "{", "}", ",", ":", "=", "==", ".", "-", "+", "*", "**", '"', "'", "\\"),
    *(" ", "\n", "\t", "\f", "\xa0", "#", "f", "a", "1", "0", "_", "0x", "1e5", "True", "None"),
    *("f(", "a=", "b=1", "if", "from", "lambda: 1", '"x"', "'''", "“", "é", "\x00", "r", "b", "j"),
]


@st.composite
def broken(draw):
    text = draw(sources())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at] + draw(st.sampled_from(["", *EDITS])) + text[at + draw(st.integers(0, 2)) :]
        )
    return text


@given(
    broken()
    | st.lists(st.sampled_from(EDITS), max_size=12).map(lambda pieces: f"[f({''.join(pieces)})]")
)
@settings(max_examples=300)
def test_what_we_accept_python_accepts_with_the_same_values(text):
    for mode in ("strict", "lenient"):
        parsed = parse(text, "pythonic", mode)
        if parsed.outcome == "calls" and not parsed.repairs:
            assert typed_calls(parsed.calls) == pythons(text)


# Attempts

PROSE = [
    "I would call f(x) for you.",
    "See [the manual](https://example.org/f(x)) for more.",
    "See [f()](https://example.org) and [`f(a=1)`](https://example.org).",
    "As shown in [1] and [2], x[i] == y[f(i)] holds.",
    "[laughs] Paris (France) is fine.",
    "[see (a)]",
    "Assert [f(a==1)] holds.",
    "[Your name]",
    "The list [] is empty.",
    "Prices: [a, b(1), c].",
]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", PROSE)
def test_prose_with_brackets_is_an_abstention_in_every_format(format, text):
    assert parse(text, format).outcome == "abstained"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        "Sure: [f()]",
        "[f(a=1",
        "I call [ ns.f( 'x')",
        'Well, [f("x")',
        "[f(a =1",
        "[f(größe=1",
        "[f(\n)",
        "[f (a=1) g()]",
    ],
)
def test_a_list_of_calls_is_an_attempt_in_every_format(format, text):
    assert parse(text, format).outcome == "malformed"


@pytest.mark.parametrize(
    "text", ["f(a=1)", "f(1)", "\n ns.f(", "[f(1)]", "[f(", "[f]", "[]", "[ f{", "[get-f(1)]"]
)
def test_only_this_format_takes_a_turn_that_begins_as_a_call_for_an_attempt(text):
    assert parse(text, "pythonic").outcome == "malformed"
    assert parse(text, "hermes").outcome == "abstained"
    assert parse(f"Well, {text}", "pythonic").outcome == "abstained"


# Failure kinds: text, kind, offset of the first token that cannot stand there

FAILURES = [
    ("", "empty_output", 0),
    (" \n<pad>", "empty_output", 0),
    ('{"name": "f", "arguments": {}}', "wrong_dialect", 0),
    ("f(a=1)", "missing_start_token", 0),
    ("\nf(a=1), g()]", "missing_start_token", 1),
    ("[f(a=1)", "missing_end_token", 7),
    ("[f(a=1),", "missing_end_token", 8),
    ("[f(a=1) \n", "missing_end_token", 9),
    ("[f(a=1)\n[g()]", "missing_end_token", 8),
    ("[]", "missing_name", 1),
    ("[(a=1)]", "missing_name", 1),
    ("[f(), (a=1)]", "missing_name", 6),
    ("[f(),,g()]", "missing_name", 5),
    ("[import.f()]", "missing_name", 1),
    ("[ns.from()]", "missing_name", 3),
    ("[get-weather(city='x')]", "missing_name", 4),
    ("[x²(a=1)]", "missing_name", 1),
    ("[f]", "missing_open_brace", 2),
    ("[f(), g, h()]", "missing_open_brace", 7),
    ("[f(), g", "missing_open_brace", 7),
    ("[f(), g a=1]", "missing_open_brace", 8),
    ("[f{a:1}]", "wrong_bracket", 2),
    ("[f[1]]", "wrong_bracket", 2),
    ("[[f(a=1)]]", "wrong_bracket", 1),
    ("[f(a=1))]", "wrong_bracket", 7),
    ("[f(a=1]", "wrong_bracket", 6),
    ("[f(a=1}]", "wrong_bracket", 6),
    ("[f(a=[1)]", "wrong_bracket", 7),
    ("[f(a=[1, )]", "wrong_bracket", 9),
    ("[f(a={'b': 1])]", "wrong_bracket", 12),
    ("[f(a=(1, 2))]", "wrong_bracket", 5),
    ("[f(a=1", "missing_close_brace", 6),
    ("[f(a=1, ", "missing_close_brace", 8),
    ("[f(", "missing_close_brace", 3),
    ("[f(a", "missing_close_brace", 4),
    ("[f(a=[1, ", "missing_close_brace", 9),
    ("[f(a={'b'", "missing_close_brace", 9),
    ("[f(1)]", "missing_key", 3),
    ('[f("x")]', "missing_key", 3),
    ("[f(=1)]", "missing_key", 3),
    ("[f(a=1,,b=2)]", "missing_key", 7),
    ("[f(,)]", "missing_key", 3),
    ("[f(True)]", "missing_key", 3),
    ("[f(from='x')]", "missing_key", 3),
    ("[f(a-b=1)]", "missing_key", 4),
    ("[f(x²=1)]", "missing_key", 3),
    ("[f(\xb5=1)]", "missing_key", 3),
    ("[f(**{'a': 1})]", "missing_key", 3),
    ("[f({'a': 1})]", "missing_key", 3),
    ("[f(a={'b': 1,, 'c': 2})]", "missing_key", 13),
    ("[f(a={**b})]", "missing_key", 6),
    ('[f("a": 1)]', "json_arguments", 3),
    ('[f("a"=1)]', "json_arguments", 3),
    ("[f(a:1)]", "missing_separator", 4),
    ("[f(a 1)]", "missing_separator", 5),
    ("[f(a)]", "missing_separator", 4),
    ("[f(a=1 b=2)]", "missing_separator", 7),
    ("[f(a=1b=2)]", "missing_separator", 6),
    ("[f(a='x'b=2)]", "missing_separator", 8),
    ("[f(a='x' 'y')]", "missing_separator", 9),
    ("[f(a='x' + 'y')]", "missing_separator", 9),
    ("[f(a=[1 2])]", "missing_separator", 8),
    ("[f(a={'b'= 1})]", "missing_separator", 9),
    ("[f(a={'b', 'c'})]", "missing_separator", 9),
    ("[f() g()]", "missing_separator", 5),
    ("[f(a=)]", "missing_value", 5),
    ("[f(a=", "missing_value", 5),
    ("[f(a=, b=1)]", "missing_value", 5),
    ("[f(a==1)]", "missing_value", 5),
    ("[f(a={'b': })]", "missing_value", 11),
    ("[f(a=[1,,2])]", "missing_value", 8),
    ("[f(a=Paris)]", "bare_string", 5),
    ("[f(a=true)]", "bare_string", 5),
    ("[f(a=Trueish)]", "bare_string", 5),
    ("[f(a=2026-01-02T10)]", "bare_string", 5),
    ("[f(a=5km)]", "bare_string", 5),
    ("[f(a=e5)]", "bare_string", 5),
    ("[f(a=g(b=1))]", "bare_string", 5),
    ("[f(a={b: 1})]", "bare_string", 6),
    ("[f(a={1: 2})]", "bare_string", 6),
    ("[f(a=007)]", "bad_number", 5),
    ("[f(a=1e999)]", "bad_number", 5),
    ("[f(a=[-nan])]", "bad_number", 6),
    ("[f(a=+1)]", "bad_number", 5),
    ("[f(a=--1)]", "bad_number", 5),
    ("[f(a=1_)]", "bad_number", 5),
    ("[f(a=0x)]", "bad_number", 5),
    ("[f(a=0b12)]", "bad_number", 5),
    ("[f(a=2j)]", "bad_number", 5),
    ("[f(a=1.2.3)]", "bad_number", 5),
    ('[f(a="abc', "unterminated_string", 9),
    ("[f(a='abc\")]", "unterminated_string", 12),
    ('[f(a="ab\nc")]', "unterminated_string", 8),
    ('[f(a="ab\\\nc")]', "unterminated_string", 8),
    ('[f(a="a\0")]', "unterminated_string", 7),
    ('[f(a={"b)]', "unterminated_string", 10),
    ('[f(a="\\u12")]', "unterminated_string", 6),
    ('[f(a="\\N{DASH}")]', "unterminated_string", 6),
    ("[f(a=“x”)]", "quoted_string", 5),
    ("[f(a=`x`)]", "quoted_string", 5),
    ("[f(a={“x”: 1})]", "quoted_string", 6),
    ('[f(a="""x""")]', "quoted_string", 5),
    ("[f(a={''''x''': 1})]", "quoted_string", 6),
    ('[f(a=rb"x")]', "quoted_string", 5),
    ("[f(a=1, b=2, a=3)]", "duplicate_key", 13),
    ("[f(a={'b': 1, 'b': 2})]", "duplicate_key", 14),
    (r"""[f(a={"a": 1, '\x61': 2})]""", "duplicate_key", 14),
    ("[f(a=\xa01)]", "stray_whitespace", 5),
    ("\xa0[f(a=1)]", "stray_whitespace", 0),
    ("[f(a=1)]\u3000", "stray_whitespace", 8),
    ("Sure! [f(a=1)]", "text_before_call", 0),
    ("```python\n[f(a=1)]\n```", "text_before_call", 0),
    ("[f(a=1)] Done.", "text_after_call", 9),
    ("[f(a=1)] # done", "text_after_call", 9),
    # A second list is text after the first: both calls belong in one.
    ("[f(a=1)][g()]", "text_after_call", 8),
    ("[f(a=1)]\n[g()]", "text_after_call", 9),
    ("[f(a=1)], [g()]", "text_after_call", 8),
    ("[f(a=" + "[" * 64 + "1" + "]" * 64 + ")]", "too_deep", 68),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "offset"), FAILURES)
def test_a_failure_has_the_kind_and_offset_of_the_first_wrong_token(text, kind, offset):
    failure = parse(text, "pythonic").failure
    assert (failure.kind, failure.offset) == (kind, offset)
    assert HINTS.get(kind, failure.hint) == failure.hint


def test_one_call_after_another_needs_a_comma_and_says_what_was_expected():
    failure = parse("[f(a=1 b=2)]", "pythonic").failure
    assert (failure.expected, failure.found) == (") or ,", "b=2")
    failure = parse("[f(a=tru)]", "pythonic").failure
    assert (failure.expected, failure.found) == ("a value", "tru")


def test_no_hint_of_this_format_speaks_of_another():
    kinds = {kind for _, kind, _ in FAILURES}
    assert set(HINTS) <= kinds
    for text, *_ in FAILURES:
        hint = parse(text, "pythonic").failure.hint
        assert "``" not in hint
        assert "JSON" not in hint
        assert "{{" not in hint


@pytest.mark.parametrize(
    "text",
    [
        "[f(",
        "[ns.f(a",
        "[f(a=1), ns.",
        "[f(a=1), ns.from",
        "[f(a=1), imp",
        "[f(a=1), import",
        "[f(from",
        "[f(day=1, day",
        "[f(a=1,",
        "[f(a=1)",
        "[f(a=Tru",
        "[f(a=[None, Fa",
        "[f(a=-",
        "[f(a=1_",
        "[f(a=1.5e",
        "[f(a=.",
        "[f(a=0x",
        "[f(a=0b1_",
        "[f(a=00",
        "[f(a=007",
        '[f(a="x',
        "[f(a={'x",
        '[f(a="\\',
        '[f(a="\\x4',
        "[f(a='\\u00e",
        "[f(a='\\U0010fff",
        '[f(a={"b": [1, {',
    ],
)
def test_what_was_right_until_the_limit_is_truncated(text):
    failure = parse(text, "pythonic", stop="limit").failure
    assert (failure.kind, failure.offset) == ("truncated", len(text))
    assert parse(text, "pythonic", stop="token").failure.kind != "truncated"


@given(sources(), st.data())
@settings(max_examples=300)
def test_a_valid_turn_cut_anywhere_by_the_limit_is_truncated_or_no_attempt_yet(text, data):
    assume(pythons(text) is not None)
    cut = text[: data.draw(st.integers(0, len(text)))]
    parsed = parse(cut, "pythonic", stop="limit")
    if parsed.outcome == "malformed" and parsed.failure.kind not in ("empty_output", "repetition"):
        assert (parsed.failure.kind, parsed.failure.offset) == ("truncated", len(cut))


@pytest.mark.parametrize(
    "text",
    [
        "[f(a=tru",
        "[f(a=0x1G",
        '[f(a="\\y\\x4g',
        "[f(a='\\U0011",
        "[f(a=1_000_,",
        "[f(a.",
        "[f(a=1, a=",
        "[f(from=",
        "Sure! [f(a=",
    ],
)
def test_the_limit_excuses_nothing_that_was_wrong_before(text):
    assert parse(text, "pythonic", stop="limit").failure.kind != "truncated"


# Lenient mode

MENDED = [
    ("Sure! [f(a=1)]", 1),
    ("[f(a=1)] Done.", 1),
    ("```python\n[f(a=1)]\n```", 2),
    ("As in [1]: [f(a=1)]", 1),
    ("[f(a=1)", 1),
    ("[f(a=1)\n", 2),
    ("Sure! [f(a=1)", 2),
    ("[f(\xa0a=\u30001)]", 2),
    ("\xa0[f(a=1)]\xa0", 2),
]


@pytest.mark.parametrize(("text", "n_repairs"), MENDED)
def test_lenient_mode_mends_what_it_says_and_lists_it(text, n_repairs):
    assert parse(text, "pythonic").outcome == "malformed"
    lenient = parse(text, "pythonic", "lenient")
    assert lenient.calls == [Call("f", {"a": 1})], lenient.failure
    assert len(lenient.repairs) == n_repairs, lenient.repairs


@pytest.mark.parametrize(
    "text",
    [
        "f(a=1)",
        "[f(a=1",
        "[f(a=1]",
        "[f(a=1),",
        "[f(a=[1",
        "[f(a=1,,)]",
        "[f(a=true)]",
        "[f(a=Paris)]",
        "[f(a=007)]",
        "[f(a='x)]",
        "[f(a=- 1)]",
        "[f(a='x' 'y')]",
        "[f(a=1 2)]",
        "[f(a=1, a=1)]",
        "[f(1)]",
        "[f(a=1)] [g()]",
        "[f(a=1)], g()",
        "f(a=1) [g()]",
        "[f(a=1)] g(b=1)",
    ],
)
def test_lenient_mode_never_guesses(text):
    assert parse(text, "pythonic", "lenient").outcome == "malformed"


# The decoding constraint


@pytest.fixture(scope="module")
def constraint():
    return Tracker(language_of(format_of("pythonic"), []))


@pytest.fixture(scope="module")
def constraint_or_words():
    return Tracker(language_of(format_of("pythonic"), [], attempts=attempt_patterns()))


def takes(tracker, text):
    places = tracker.start
    for char in text:
        places = tracker.after_char(places, char)
    return bool(places) and tracker.may_end(places)


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ("[f()]", True),
        ("[f(a=1, b='x', c=[True, None], d={\"k\": -0.5e9}), g()]", True),
        ("[ns.from_(nonef=1)]", True),
        ("[ns.from.f(a=1)]", False),
        ("[from(a=1)]", False),
        ("[f(None=1)]", False),
        ("[1f(a=1)]", False),
        ("[f(x²=1)]", False),
        ("[f(a=1e999)]", False),
        # Two spellings of one key would need reading: only the plain one is written.
        ("[f(a={'b': 1})]", False),
        (r'[f(a={"\x62": 1})]', False),
    ],
)
def test_a_constrained_model_writes_names_and_keys_that_need_no_check(constraint, text, is_taken):
    assert takes(constraint, text) == is_taken
    assert not is_taken or parse(text, "pythonic").outcome == "calls"


@given(broken() | st.lists(st.sampled_from(EDITS), max_size=6).map("".join))
@settings(max_examples=200)
def test_a_constrained_model_writes_calls_or_an_abstention(constraint, constraint_or_words, text):
    if takes(constraint, text):
        assert parse(text, "pythonic").outcome == "calls"
    if takes(constraint_or_words, text):
        assert parse(text, "pythonic").outcome != "malformed"


# Long texts


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "[",
            "[f(",
            "[f(a=[",
            "{'a':",
            "f(",
            "(",
            "f.",
            "1,",
            "1",
            "1_",
            "-",
            ".",
            "e",
            "0x",
            "\\",
        ),
        *(
            '"',
            "'",
            "\\x",
            " ",
            "\n",
            "\xa0",
            "a",
            "é",
            "a=",
            "a=1,",
            "[ f",
            "[f( a ",
            "\u0301\u0316",
        ),
    ],
)
def test_a_long_adversarial_text_is_judged_in_linear_time(piece):
    for before in ("", "[f(", "[f(a=", '[f(a="'):
        text = before + piece * (100_000 // len(piece)) + "²"
        for mode in ("strict", "lenient"):
            for stop in (None, "limit"):
                parse(text, "pythonic", mode, stop)
