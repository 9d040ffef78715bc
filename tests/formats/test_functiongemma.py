"""parse and render of the FunctionGemma format."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcbench import Call, parse, render
from fcbench.errors import FormatError, UsageError
from fcbench.formats.functiongemma import CONTROL_TOKEN_IDS
from fcbench.paths import data_folder
from tests.formats.examples import typed

START, END = "<start_function_call>", "<end_function_call>"
GRAMMAR = data_folder("grammars") / "functiongemma.lark"


def inside(arguments: str) -> str:
    return f"{START}call:f{{{arguments}}}{END}"


# What the grammar can express

no_control = st.text().filter(lambda s: not any(token in s for token in CONTROL_TOKEN_IDS))
keys = st.text(min_size=1, max_size=8).filter(lambda s: re.fullmatch(r"""[^\s{}\[\]<>,:"']+""", s))
names = st.text(min_size=1, max_size=8).filter(
    lambda s: re.fullmatch(r"""[^\s{}\[\]()<>,"']+""", s)
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | no_control
    | st.sampled_from(
        ['{"a":1}', "},", "<escape", "call:f{", "\u202eabc", "\x00", "\ud800", "ab\r\n"]
    )
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
calls = st.lists(
    st.builds(Call, names, st.dictionaries(keys, values, max_size=4)), min_size=1, max_size=3
)


@given(calls)
@settings(max_examples=500)
def test_parse_after_render_is_the_identity_types_included(given_calls):
    parsed = parse(render(given_calls))
    assert parsed.outcome == "calls", parsed.failure
    assert [c.name for c in parsed.calls] == [c.name for c in given_calls]
    assert typed([c.arguments for c in parsed.calls]) == typed([c.arguments for c in given_calls])


@given(calls)
def test_lenient_mode_repairs_nothing_in_a_valid_turn(given_calls):
    assert parse(render(given_calls), mode="lenient").repairs == []


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            [
                *CONTROL_TOKEN_IDS,
                "call:",
                "f",
                "{",
                "}",
                "[",
                "]",
                ":",
                ",",
                "1",
                "true",
                " ",
                '"',
                "a",
            ]
        )
    ).map("".join)
)
@settings(max_examples=500)
def test_no_text_raises_and_every_failure_has_a_place(text):
    for mode in ("strict", "lenient"):
        for stop in (None, "token", "limit"):
            parsed = parse(text, mode=mode, stop=stop)
            assert (parsed.failure is not None) == (parsed.outcome == "malformed")
            if parsed.failure is not None:
                assert 0 <= parsed.failure.offset <= len(text)
                assert parsed.failure.byte_offset == len(
                    text[: parsed.failure.offset].encode("utf-8", "surrogatepass")
                )
                assert parsed.failure.expected


@given(st.data())
def test_a_valid_turn_cut_anywhere_by_the_limit_is_truncated_or_complete(data):
    text = render(data.draw(calls))
    # Control tokens are single ids: no limit cuts one in half, and none cuts before the first.
    cuts = [
        m.end()
        for m in re.finditer("|".join([*map(re.escape, CONTROL_TOKEN_IDS), "."]), text, re.DOTALL)
    ]
    cut = data.draw(st.sampled_from(cuts))
    parsed = parse(text[:cut], stop="limit")
    if parsed.outcome != "calls":
        assert parsed.failure.kind == "truncated", (text[:cut], parsed.failure)
        assert parsed.failure.offset == cut


# What it cannot express

UNSAYABLE = {
    "$[0].arguments: not an argument name in this format: 'a:b'": {"a:b": 1},
    "$[0].arguments.x: not an argument name in this format: 'a b'": {"x": {"a b": 1}},
    "$[0].arguments: not an argument name in this format: ''": {"": 1},
    "$[0].arguments: not an argument name in this format: 1": {1: 1},
    "$[0].arguments.x[1].y: a string cannot hold the control token <escape>": {
        "x": [0, {"y": "a<escape>b"}]
    },
    "$[0].arguments.x: a string cannot hold the control token <pad>": {"x": "<pad>"},
    "$[0].arguments.x: not a finite number: inf": {"x": math.inf},
    "$[0].arguments.x[0]: not a finite number: nan": {"x": [math.nan]},
    "$[0].arguments.x: not a JSON value: set": {"x": set()},
    "$[0].arguments.x: not a JSON value: tuple": {"x": (1,)},
}


@pytest.mark.parametrize(("message", "arguments"), UNSAYABLE.items(), ids=list(UNSAYABLE))
def test_render_names_the_path_of_what_it_cannot_express(message, arguments):
    with pytest.raises(FormatError) as caught:
        render([Call("f", arguments)])
    assert caught.value.message == message


@pytest.mark.parametrize("name", ["", "a b", "f{", "f(", 'f"', "f,g", "<f>"])
def test_render_refuses_names_that_the_grammar_does_not_have(name):
    with pytest.raises(FormatError, match=re.escape("$[0].name")):
        render([Call(name, {})])


def test_render_refuses_an_empty_list_because_a_turn_holds_a_call():
    with pytest.raises(FormatError):
        render([])


@given(st.text(max_size=6))
def test_render_refuses_exactly_the_keys_that_would_not_come_back(key):
    text = inside(f"{key}:1")
    comes_back = parse(text).calls == [Call("f", {key: 1})]
    try:
        assert render([Call("f", {key: 1})]) == text
        assert comes_back
    except FormatError:
        assert not comes_back


# Nesting


def nested(levels: int) -> dict:
    value: object = 1
    for _ in range(levels - 1):
        value = [value]
    return {"a": value}


def test_sixty_four_levels_are_accepted_and_sixty_five_are_not():
    text = render([Call("f", nested(64))])
    assert parse(text).calls == [Call("f", nested(64))]
    with pytest.raises(FormatError, match="deeper than 64"):
        render([Call("f", nested(65))])
    too_deep = parse(text.replace("1", "[1]"))
    assert too_deep.failure.kind == "too_deep"
    assert too_deep.failure.offset == text.index("1")


def test_brackets_inside_strings_are_no_nesting():
    assert parse(inside(f"a:<escape>{'[' * 100}<escape>")).outcome == "calls"


def test_integers_of_any_size_stay_exact():
    for digits in (19, 400, 5000, 20_001):
        for sign in (1, -1):
            huge = sign * (10**digits + 7)
            text = render([Call("f", {"n": huge})])
            assert parse(text).calls == [Call("f", {"n": huge})]


# The wire format's own examples


def test_calls_are_written_as_the_template_writes_them():
    call = Call(
        "create_calendar_event",
        {"title": "Meeting with Mr. Dubois", "datetime": "2026-01-20T15:00:00"},
    )
    assert render([call]) == (
        "<start_function_call>call:create_calendar_event{datetime:<escape>2026-01-20T15:00:00<escape>,"
        "title:<escape>Meeting with Mr. Dubois<escape>}<end_function_call>"
    )
    mixed = Call("f", {"B": 1, "a": [{"k": "v", "n": 1.5}, None, False]})
    assert render([mixed]) == inside("a:[{k:<escape>v<escape>,n:1.5},None,false],B:1")
    assert render([Call("f", {"x": 1e-05, "y": 1e16, "z": 1.0})]) == inside("x:1e-05,y:1e+16,z:1.0")


def test_parallel_calls_follow_each_other_with_nothing_between():
    text = render([Call("f", {}), Call("g", {})])
    assert text == f"{START}call:f{{}}{END}{START}call:g{{}}{END}"
    assert [c.name for c in parse(text).calls] == ["f", "g"]


@pytest.mark.parametrize("stop", ["<eos>", "<end_of_turn>", "<start_function_response>"])
def test_what_follows_the_first_stop_token_is_not_judged(stop):
    assert parse(f"{inside('')}{stop}anything {START}").outcome == "calls"
    assert parse(f"Hello.{stop}{inside('')}").outcome == "abstained"


# The three texts of the original experiment

EXPECTED_OUTPUT = (
    f"{START}\ncall:turn_on_flashlight{{}}\n{END}\n"
    f"{START}\ncall:create_calendar_event{{title:<escape>Meeting with Mr. Dubois<escape>, "
    f"datetime:<escape>2026-01-20T15:00:00<escape>}}\n{END}"
)


def test_the_experiments_expected_output_is_malformed_and_two_calls_when_mended():
    strict = parse(EXPECTED_OUTPUT)
    assert (strict.outcome, strict.failure.kind, strict.failure.offset) == (
        "malformed",
        "stray_whitespace",
        21,
    )
    lenient = parse(EXPECTED_OUTPUT, mode="lenient")
    assert [c.name for c in lenient.calls] == ["turn_on_flashlight", "create_calendar_event"]
    assert lenient.calls[1].arguments["title"] == "Meeting with Mr. Dubois"
    assert len(lenient.repairs) == 6


@pytest.mark.parametrize(
    "text",
    [
        "<start_function_call>create_calendar_event\n<end_of_turn>",
        "<start_function_call>turn_on_flashlight<escape>turn_off_flashlight<escape><start_function_call>send_email",
    ],
)
def test_the_experiments_other_outputs_lack_the_call_prefix(text):
    for mode in ("strict", "lenient"):
        parsed = parse(text, mode=mode)
        assert (parsed.outcome, parsed.failure.kind, parsed.failure.offset) == (
            "malformed",
            "missing_call_prefix",
            21,
        )


# Failure kinds: text, kind, offset of the first token that cannot stand there

FAILURES = [
    ("", "empty_output", 0),
    (" \n<pad><end_of_turn>", "empty_output", 0),
    ("call:f{}" + END, "missing_start_token", 0),
    (f"{START}call:f{{}}", "missing_end_token", 29),
    (f"{START}call:f{{}}<end_of_turn>", "missing_end_token", 29),
    (f"{START}call:f{{}}{START}call:g{{}}{END}", "missing_end_token", 29),
    (f"{START}f{{}}{END}", "missing_call_prefix", 21),
    (f"{START}call:{{}}{END}", "missing_name", 26),
    (f"{START}call:f{END}", "missing_open_brace", 27),
    (f"{START}call:f{{a:1{END}", "missing_close_brace", 31),
    (f"{START}call:f(a:1){END}", "wrong_bracket", 27),
    (inside("a:[1}"), "wrong_bracket", 32),
    (f"{START}call:f{{a:<escape>abc}}{END}", "unterminated_string", 42),
    (f"{START}call:f{{a:<escape>abc", "unterminated_string", 41),
    (inside("city:Paris"), "bare_string", 33),
    (inside('city:"Paris"'), "quoted_string", 33),
    (inside('"a":"x"'), "json_arguments", 28),
    (inside('a:{"b":1}'), "json_arguments", 31),
    (inside("a:007"), "bad_number", 30),
    (inside("a:1."), "bad_number", 30),
    (inside("a:1e999"), "bad_number", 30),
    (inside("a:nan"), "bad_number", 30),
    (inside("a:2026-01-02T10:00:00"), "bare_string", 30),
    (inside("a:True"), "python_literal", 30),
    (inside("a:1b:2"), "missing_separator", 31),
    (inside("a"), "missing_separator", 29),
    (inside("a=1"), "missing_separator", 31),
    (inside("a:1,"), "trailing_comma", 32),
    (inside("a:[1,]"), "trailing_comma", 33),
    (inside("a:"), "missing_value", 30),
    (inside("a:,b:1"), "missing_value", 30),
    (inside(":1"), "missing_key", 28),
    (inside("a:1,,b:2"), "missing_key", 32),
    (inside("a:1,a:2"), "duplicate_key", 32),
    (inside("a:[{b:1,b:2}]"), "duplicate_key", 36),
    (f"{START}\ncall:f{{}}{END}", "stray_whitespace", 21),
    (inside("a:1, b:2"), "stray_whitespace", 32),
    (inside("") + "\n", "stray_whitespace", 48),
    (inside("") + " " + inside(""), "stray_whitespace", 48),
    ("\u00a0" + inside(""), "stray_whitespace", 0),
    ("Sure! " + inside(""), "text_before_call", 0),
    (inside("") + " and " + inside(""), "text_between_calls", 48),
    (inside("") + " Done.", "text_after_call", 48),
    ("<start_function_declaration>declaration:f{", "declaration_echo", 0),
    ("x call:f{}" + END, "text_before_call", 0),
    ("<bos>" + inside(""), "unexpected", 0),
    (inside("") + END, "unexpected", 48),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "offset"), FAILURES)
def test_a_failure_has_the_kind_and_offset_of_the_first_wrong_token(text, kind, offset):
    failure = parse(text).failure
    assert (failure.kind, failure.offset) == (kind, offset)


@pytest.mark.parametrize(
    "text", ["Hello, how can I help?", "I would call f(x) for you.", "call: me", "<start_of_turn>"]
)
def test_prose_that_attempts_no_call_is_an_abstention(text):
    assert parse(text).outcome == "abstained"


@pytest.mark.parametrize(
    "text", ["call:f{}", "I will call:f(1) now", END, "<escape>", "ok <start_function_declaration>"]
)
def test_an_attempt_is_never_an_abstention(text):
    assert parse(text).outcome == "malformed"


def test_byte_offsets_count_utf8():
    failure = parse(inside("a:<escape>שלום<escape>,b:True")).failure
    assert failure.byte_offset - failure.offset == 4  # four letters of two bytes each


def test_the_token_limit_excuses_only_what_was_right_so_far():
    cut = f"{START}call:f{{a:tru"
    assert parse(cut, stop="limit").failure.kind == "truncated"
    assert parse(cut, stop="token").failure.kind == "bare_string"
    assert parse(f"{START}call:f{{a:Tru", stop="limit").failure.kind == "bare_string"
    assert parse(cut + "<eos>", stop="limit").failure.kind == "bare_string"


MENDED = [
    (inside("a:1, b:2"), {"a": 1, "b": 2}),
    ("Sure! " + inside("a:1") + " Done.", {"a": 1}),
    (f"{START}call:f{{a:1}}", {"a": 1}),
    (inside("a:True,b:[False]"), {"a": True, "b": [False]}),
    (inside("a:[1,],"), {"a": [1]}),
]


@pytest.mark.parametrize(("text", "arguments"), MENDED)
def test_lenient_mode_mends_what_it_says_and_lists_it(text, arguments):
    assert parse(text).outcome == "malformed"
    lenient = parse(text, mode="lenient")
    assert lenient.calls == [Call("f", arguments)]
    assert lenient.repairs


@pytest.mark.parametrize(
    "text",
    [
        inside("a:Paris"),
        inside('a:"x"'),
        inside("a:007"),
        inside("a:1,,"),
        inside("a:1,a:2"),
        inside("a:<escape>x").replace("}", ""),
        f"{START}call:f{{a:1",
        f"{START}f{{}}{END}",
        "Sure! call:f{}",
    ],
)
def test_lenient_mode_never_guesses_a_value(text):
    assert parse(text, mode="lenient").outcome == "malformed"


# Formats by name and by file


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(UsageError, match="functiongemma"):
        parse("", format="functiongema")
    with pytest.raises(UsageError, match="lenient"):
        parse("", mode="linient")


def test_a_grammar_variant_of_ones_own_judges_instead(tmp_path: Path):
    variant = tmp_path / "functiongemma-capitals.lark"
    source = GRAMMAR.read_text(encoding="utf-8")
    variant.write_text(source.replace(" TRUE,", "") + '\nTRUE: "True" | "true"\n', encoding="utf-8")
    assert parse(inside("a:True"), format=str(variant)).calls == [Call("f", {"a": True})]
    assert parse(inside("a:True")).outcome == "malformed"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("_CALL NAME object", "_CALL NAME"),
        ("value: string", "value: BARE | string"),
        ("// Terminals", "%ignore /\\s+/\n//"),
    ],
)
def test_a_variant_that_builds_no_calls_is_refused(tmp_path, old, new):
    variant = tmp_path / "functiongemma-other.lark"
    source = GRAMMAR.read_text(encoding="utf-8").replace(old, new) + "\nBARE: /[A-Z]+/\n" * (
        "BARE" in new
    )
    variant.write_text(source, encoding="utf-8")
    with pytest.raises(FormatError, match="does not build calls"):
        parse(f"{START}call:f{END}", format=str(variant))


def test_judging_an_attempt_takes_linear_time():
    for text in ("call:" * 200_000, "call:f" * 200_000 + "{", "x" * 10**6):
        parse(text)


def test_a_grammar_with_an_lalr_conflict_is_one_clear_error(tmp_path: Path):
    conflict = tmp_path / "functiongemma-conflict.lark"
    conflict.write_text('turn: a | b\na: "x"\nb: "x"\n', encoding="utf-8")
    with pytest.raises(FormatError) as caught:
        parse("x", format=str(conflict))
    assert str(conflict) in caught.value.message
    assert "\n" not in caught.value.message
