"""What holds for every format: its grammar's own examples, the round trip, and its neighbours."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcbench import Call, parse, registry, render
from fcbench.formats import detect_format, grammar_sha256, module_of
from fcbench.formats._diagnosis import start_of_repetition
from fcbench.formats._jinja import OwnTemplate
from fcbench.formats._python_text import is_identifier
from fcbench.paths import data_folder
from tests.formats.examples import example_lines

FORMATS = registry.names("formats")


def valid_formats(text: str) -> list[str]:
    return [name for name in FORMATS if parse(text, name).outcome == "calls"]


ACCEPTED = [(name, line) for name in FORMATS for line in example_lines(name, "+")]
REFUSED = [(name, line) for name in FORMATS for line in example_lines(name, "-")]


@pytest.mark.parametrize("name", FORMATS)
def test_a_grammar_carries_its_examples_and_its_source(name):
    assert len(example_lines(name, "+")) >= 5
    assert len(example_lines(name, "-")) >= 10
    text = (data_folder("grammars") / f"{name}.lark").read_text(encoding="utf-8")
    assert "// Source: " in text


@pytest.mark.parametrize(("name", "line"), ACCEPTED)
def test_examples_in_a_grammar_are_in_the_language(name, line):
    parsed = parse(line, name)
    assert parsed.outcome == "calls", parsed.failure
    assert module_of(name).WIRE.attempts_call(line)  # which wrong_dialect relies on
    assert name in valid_formats(line)
    assert parse(line, name, "lenient").repairs == []


@pytest.mark.parametrize(("name", "line"), REFUSED)
def test_counterexamples_in_a_grammar_are_not(name, line):
    assert parse(line, name).outcome == "malformed"


CONTROLS = {token for name in FORMATS for token in module_of(name).WIRE.controls}
words = st.text(max_size=8).filter(lambda s: not any(token in s for token in CONTROLS))
keys = st.from_regex(r"[\w.$-]{1,6}", fullmatch=True)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
identifiers = st.from_regex(r"[^\W\d]\w{0,5}", fullmatch=True).filter(is_identifier)
names = {"pythonic": identifiers}  # of functions and arguments


def calls_of(name):
    arguments = st.dictionaries(names.get(name, keys), values, max_size=3)
    return st.lists(st.builds(Call, names.get(name, keys), arguments), min_size=1, max_size=3)


@pytest.mark.parametrize("name", FORMATS)
@given(st.data())
@settings(max_examples=150)
def test_parse_after_render_is_the_identity_in_every_format(name, data):
    given_calls = data.draw(calls_of(name))[: getattr(module_of(name), "MAX_CALLS", 3)]
    text = render(given_calls, name)
    assert module_of(name).WIRE.attempts_call(text)
    parsed = parse(text, name)
    assert parsed.outcome == "calls", parsed.failure
    assert repr(sorted_keys(parsed.calls)) == repr(sorted_keys(given_calls))


def sorted_keys(value):
    if isinstance(value, Call):
        return value.name, sorted_keys(value.arguments)
    if isinstance(value, list):
        return [sorted_keys(item) for item in value]
    return {k: sorted_keys(value[k]) for k in sorted(value)} if isinstance(value, dict) else value


@pytest.mark.parametrize(("name", "line"), ACCEPTED)
def test_a_valid_turn_of_another_format_is_a_wrong_dialect_that_names_it(name, line):
    for other in FORMATS:
        if other in valid_formats(line):
            continue
        for mode in ("strict", "lenient"):
            failure = parse(line, other, mode).failure
            assert (failure.kind, failure.offset) == ("wrong_dialect", 0)
            assert name in failure.hint


@pytest.mark.parametrize("name", FORMATS)
def test_an_attempt_in_another_format_is_never_an_abstention(name):
    for other in FORMATS:
        for opener in module_of(other).WIRE.openers:
            assert parse(f"Well, {opener}", name).outcome == "malformed"


@pytest.mark.parametrize("name", FORMATS)
@given(st.data())
@settings(max_examples=150)
def test_no_text_raises_in_any_format(name, data):
    wire = module_of(name).WIRE
    pieces = [
        *wire.controls,
        wire.prefix,
        "f",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "=",
        "[f(",
        ":",
        ",",
        "1",
        "-",
        "true",
        "True",
        " ",
        "\n",
        '"',
        "'",
        "a",
    ]
    text = "".join(data.draw(st.lists(st.sampled_from(pieces), max_size=30))) + data.draw(words)
    for mode in ("strict", "lenient"):
        for stop in (None, "token", "limit"):
            failure = parse(text, name, mode, stop).failure
            if failure is not None:
                assert 0 <= failure.offset <= len(text)
                assert failure.expected
                assert failure.found
                assert failure.hint


# Repetition

ONE = "<start_function_call>call:f{a:1}<end_function_call>"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (ONE * 5 + ONE[:30], 0),
        ("<start_function_call>call:f{a:<escape>" + "la " * 40, 38),
        ("<start_function_call>call:f{x:" + "a" * 60, 30),
        ("<start_function_call>" * 9, 0),
    ],
)
def test_the_same_fragment_until_the_limit_is_repetition(text, start):
    failure = parse(text, stop="limit").failure
    assert (failure.kind, failure.offset) == ("repetition", start)
    assert parse(text, stop="token").failure.kind != "repetition"


@pytest.mark.parametrize(
    "text",
    [
        ONE * 2 + ONE[:28],
        ONE[:28] + "a:<escape>abcabc",
        ONE[:28] + "a:<escape>the quick brown fox",
        ONE[:28] + "day:1,day",  # perhaps of the key day_end
    ],
)
def test_what_merely_recurs_is_truncated_not_repetition(text):
    assert parse(text, stop="limit").failure.kind == "truncated"


@given(st.text(alphabet="ab", max_size=60))
def test_repetition_is_found_as_by_trying_every_period(text):
    best = None
    for start in range(len(text)):
        tail = text[start:]
        periods = [
            p for p in range(1, len(tail) // 4 + 1) if tail == (tail[-p:] * len(tail))[-len(tail) :]
        ]
        if periods and len(tail) >= 48:
            best = start
            break
    assert start_of_repetition(text) == best


# Finding the format


def test_a_format_is_found_from_a_chat_template():
    assert detect_format(OwnTemplate("").source) == "functiongemma"
    assert detect_format("{{ '<|tool_call>call:' + name }}") == "gemma4"
    assert detect_format("{{ '<tool_call>' }}") == "hermes"
    assert detect_format("{{ '[TOOL_CALLS] [' }}") == "mistral"
    assert detect_format('<|start_header_id|> {"name": x, "parameters": y}') == "llama3"
    assert detect_format("Use [func_name1(params_name1=params_value1), …]") == "pythonic"
    assert detect_format("Use exact format: [func_name1(param1=value1), …]") == "pythonic"
    assert detect_format("Use <TOOLCALL>[func_name1(params_name1=params_value1)]") is None
    assert detect_format("{{ messages[0].content }}") is None


def test_the_recorded_hash_covers_what_a_grammar_imports():
    hashes = {grammar_sha256(name) for name in FORMATS}
    assert len(hashes) == len(FORMATS)
    assert all(re.fullmatch(r"[0-9a-f]{64}", sha) for sha in hashes)
