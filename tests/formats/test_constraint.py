"""A grammar as a constraint: what it lets through is valid, and a turn always comes to its end."""

import random

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from fcbench import Tool, parse, registry, render
from fcbench.errors import FormatError
from fcbench.formats import module_of
from fcbench.formats.constraint import Constraint
from fcbench.types import Call
from tests.conftest import build_tokenizer
from tests.formats.examples import example_lines
from tests.formats.schemas import SCHEMAS as SCHEMAS_OF_PEOPLE

FORMATS = registry.names("formats")
PLENTY = 10**6
WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", 'a "b" {c}']},
        "days": {"type": "integer"},
        "exact": {"type": "boolean"},
        "limits": {
            "type": "object",
            "properties": {
                "from_hour": {"type": ["integer", "null"]},
                "levels": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3},
            },
            "required": ["levels"],
        },
        "mode": {"anyOf": [{"const": 1}, {"type": "array", "items": {"enum": ["x", "y"]}}]},
    },
    "required": ["days", "city"],
}  # fmt: skip
TOOLS = [
    Tool("get_weather", "", WEATHER),
    Tool("turn_on", "", {}),
    Tool("log", "", {"type": "object", "properties": {"entry": {"type": "object"}, "any": {}}}),
]
SCHEMAS = {
    tool.name: {"type": "object", "additionalProperties": False, **tool.parameters}
    for tool in TOOLS
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A byte-level tokenizer to which the control tokens of every format are special tokens."""
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(folder, None)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    controls = {token for name in FORMATS for token in module_of(name).WIRE.controls}
    tokenizer.add_special_tokens({"additional_special_tokens": sorted(controls)})
    return tokenizer


@pytest.fixture(scope="module")
def constraint_of(tokenizer):
    """Return a function that makes each constraint once."""
    made = {}

    def build(name, *, or_text=False):
        if (name, or_text) not in made:
            stops = [tokenizer.eos_token_id]
            made[name, or_text] = Constraint(name, tokenizer, stops, or_text=or_text)
        return made[name, or_text]

    return build


def text_of(tokenizer, ids):
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def draw(session, rng, limit, *, stop=0.3):
    """Write a turn of random tokens under a constraint, as a model of random weights would."""
    ids = session.forced(limit)
    while len(ids) < limit and not session.must_end:
        remaining = limit - len(ids)
        if session.is_urgent(remaining):
            return ids + session.ending()
        if session.may_end and rng.random() < stop:
            break
        bits = np.frombuffer(session.mask(), dtype=np.uint8)
        allowed = np.nonzero(np.unpackbits(bits, bitorder="little"))[0]
        tried = rng.choices(allowed, k=64) if len(allowed) else []
        token = next((int(t) for t in tried if session.take(int(t), remaining)), None)
        if token is None:
            token = (session.ending() or [None])[0]
            if token is None:
                assert session.may_end
                break
            assert session.take(token, remaining)
        ids += [token, *session.forced(remaining - 1)]
    assert session.may_end
    return ids


def feed(session, tokenizer, text):
    """Whether a whole text can be written, token by token."""
    taken = all(session.take(t, PLENTY) for t in tokenizer.encode(text, add_special_tokens=False))
    return taken and session.may_end


# The constraint is a subset of the strict language, and within its bounds all of it


@pytest.mark.parametrize("name", FORMATS)
def test_a_thousand_strings_sampled_from_the_constraint_parse_strictly(
    name, constraint_of, tokenizer
):
    rng = random.Random(name)
    lengths = set()
    for number in range(1000):
        session = constraint_of(name).session(TOOLS if number % 2 else None)
        ids = draw(session, rng, rng.choice([30, 60, 150]))
        text = text_of(tokenizer, ids)
        parsed = parse(text, name)
        assert parsed.outcome == "calls", (text, parsed.failure)
        lengths.add(len(parsed.calls))
    assert len(lengths) > 1 or getattr(module_of(name), "MAX_CALLS", None) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_every_example_within_the_bounds_can_be_written(name, constraint_of, tokenizer):
    for line in example_lines(name, "+", within_bounds=True):
        assert feed(constraint_of(name).session(), tokenizer, line), line


@pytest.mark.parametrize("name", FORMATS)
def test_no_counterexample_can_be_written(name, constraint_of, tokenizer):
    for line in example_lines(name, "-"):
        assert not feed(constraint_of(name).session(), tokenizer, line), line
        assert not feed(constraint_of(name).session(TOOLS), tokenizer, line), line


@pytest.mark.parametrize("name", FORMATS)
def test_the_mask_holds_every_token_that_is_taken(name, constraint_of, tokenizer):
    for line in example_lines(name, "+", within_bounds=True):
        session = constraint_of(name).session()
        for token in tokenizer.encode(line, add_special_tokens=False):
            bits = np.frombuffer(session.mask(), dtype=np.uint8)
            assert np.unpackbits(bits, bitorder="little")[token], (line, token)
            assert session.take(token, PLENTY)


def test_no_ordinary_tokens_spell_a_control_token(constraint_of, tokenizer):
    session = constraint_of("functiongemma").session()
    start = "<start_function_call>call:f{a:<escape>"
    for token in tokenizer.encode(start, add_special_tokens=False):
        assert session.take(token, PLENTY)
    spelled = [tokenizer.encode(char, add_special_tokens=False)[0] for char in "<escape>"]
    assert all(session.take(token, PLENTY) for token in spelled[:-1])
    assert not session.take(spelled[-1], PLENTY)
    assert session.take(tokenizer.convert_tokens_to_ids("<escape>"), PLENTY)


@pytest.mark.parametrize("name", FORMATS)
def test_no_key_stands_twice_in_one_object(name, constraint_of, tokenizer):
    call = Call("f", {"abc": 1, "abd": {"abc": 2}})
    text = render([call], name)
    assert feed(constraint_of(name).session(), tokenizer, text)
    assert not feed(constraint_of(name).session(), tokenizer, text.replace("abd", "abc"))


# Narrowed to tools


@pytest.mark.parametrize("name", FORMATS)
def test_calls_narrowed_to_tools_follow_their_schemas(name, constraint_of, tokenizer):
    rng = random.Random(name)
    seen, orders = set(), set()
    for _ in range(300):
        ids = draw(constraint_of(name).session(TOOLS), rng, 200, stop=0.9)
        for call in parse(text_of(tokenizer, ids), name).calls:
            jsonschema.validate(call.arguments, SCHEMAS[call.name])
            seen |= {call.name, *call.arguments}
            orders.add(tuple(key for key in call.arguments if key in ("days", "city")))
    assert seen >= {*SCHEMAS, *WEATHER["properties"], "entry"}
    assert orders >= {("days", "city"), ("city", "days")}


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({"days": 1, "city": "x"}, True),
        ({"city": "x", "unit": 'a "b" {c}', "days": 1}, True),
        ({"days": 1, "city": "x", "limits": {"levels": [1, 2.5]}}, True),
        ({"days": 1, "city": "x", "mode": 1, "exact": False}, True),
        ({"days": 1, "city": "x", "mode": ["x", "x"]}, True),
        ({"days": 1}, False),
        ({"days": 1.5, "city": "x"}, False),
        ({"days": "1", "city": "x"}, False),
        ({"days": 1, "city": "x", "unit": "kelvin"}, False),
        ({"days": 1, "city": "x", "other": 1}, False),
        ({"days": 1, "city": "x", "exact": None}, False),
        ({"days": 1, "city": "x", "limits": {"levels": [1]}}, False),
        ({"days": 1, "city": "x", "limits": {"levels": [1, 2, 3, 4]}}, False),
        ({"days": 1, "city": "x", "limits": {}}, False),
        ({"days": 1, "city": "x", "mode": ["z"]}, False),
    ],
)
def test_arguments_are_held_to_their_schema(arguments, fits, constraint_of, tokenizer):
    for name in FORMATS:
        text = render([Call("get_weather", arguments)], name)
        assert feed(constraint_of(name).session(TOOLS), tokenizer, text) is fits, (name, text)


def test_a_function_that_is_no_tool_cannot_be_called(constraint_of, tokenizer):
    for name in FORMATS:
        text = render([Call("get_news", {})], name)
        assert feed(constraint_of(name).session(), tokenizer, text)
        assert not feed(constraint_of(name).session(TOOLS), tokenizer, text)


def test_a_case_without_tools_has_no_constraint(constraint_of):
    with pytest.raises(FormatError, match="no tools"):
        constraint_of("hermes").session([])
    with pytest.raises(FormatError, match="not a function name"):
        constraint_of("functiongemma").session([Tool("a b")])


def test_without_tools_words_are_all_that_is_left(constraint_of, tokenizer):
    for name in FORMATS:
        ids = draw(constraint_of(name, or_text=True).session([]), random.Random(0), 20)
        assert parse(text_of(tokenizer, ids), name).outcome == "abstained"
        call = render([Call("f", {})], name)
        assert not feed(constraint_of(name, or_text=True).session([]), tokenizer, call)


def test_an_argument_that_the_format_cannot_name_is_left_out_or_refused(constraint_of, tokenizer):
    schema = {"type": "object", "properties": {"a:b": {}, "c": {"type": "null"}}}
    session = constraint_of("functiongemma").session([Tool("f", "", schema)])
    assert feed(session, tokenizer, render([Call("f", {"c": None})]))
    with pytest.raises(FormatError, match="a:b"):
        constraint_of("functiongemma").session([Tool("f", "", {**schema, "required": ["a:b"]})])


def test_a_function_of_very_many_arguments_is_not_narrowed(constraint_of, tokenizer):
    schema = {"type": "object", "properties": {f"p{i}": {} for i in range(61)}}
    session = constraint_of("functiongemma").session([Tool("f", "", schema)])
    assert feed(session, tokenizer, render([Call("f", {"other": 1})]))


# The end is always in reach


@pytest.mark.parametrize("name", FORMATS)
@given(st.tuples(st.integers(0, 25), st.integers(0, 1000), st.booleans()))
@settings(max_examples=60)
def test_a_turn_is_complete_under_any_limit_that_fits_one_call(
    name, constraint_of, tokenizer, drawn
):
    extra, seed, narrowed = drawn
    session = constraint_of(name).session(TOOLS if narrowed else None)
    limit = len(session.ending()) + extra
    ids = draw(session, random.Random(seed), limit, stop=0)
    assert len(ids) <= limit
    assert parse(text_of(tokenizer, ids), name, stop="limit").outcome == "calls"


@pytest.mark.parametrize("name", FORMATS)
def test_the_way_out_is_taken_from_anywhere_and_is_never_longer_than_any_other(
    name, constraint_of, tokenizer
):
    rng = random.Random(name)
    for number in range(40):
        ids = draw(constraint_of(name).session(TOOLS if number % 2 else None), rng, 60)
        session = constraint_of(name).session(TOOLS if number % 2 else None)
        for at, token in enumerate(ids):
            ending = session.ending()
            if ending is not None:  # None in the middle of a character
                written = text_of(tokenizer, ids[:at] + ending)
                assert parse(written, name).outcome == "calls", written
                rest = len(text_of(tokenizer, ids[at:]).encode())
                assert len(text_of(tokenizer, ending).encode()) <= rest
            assert session.take(token, PLENTY)


def test_the_shortest_turns_are_these(constraint_of, tokenizer):
    shortest = {
        name: text_of(tokenizer, constraint_of(name).session(TOOLS[:1]).ending())
        for name in ("functiongemma", "hermes")
    }
    assert shortest == {
        "functiongemma": "<start_function_call>call:get_weather"
        "{days:0,city:<escape>a<escape>}<end_function_call>".replace(">a<", "><"),
        "hermes": '<tool_call>{"name":"get_weather","arguments":{"days":0,"city":""}}</tool_call>',
    }


# Or an answer in words


@pytest.mark.parametrize("name", FORMATS)
def test_a_turn_of_calls_or_words_is_one_or_the_other(name, constraint_of, tokenizer):
    rng = random.Random(name)
    outcomes = set()
    for number in range(300):
        session = constraint_of(name, or_text=True).session(TOOLS if number % 2 else None)
        if number % 3 == 0:  # words begin far more often by chance
            opener = tokenizer.encode(render([Call("turn_on", {})], name)[:1])[-1:]
            start = module_of(name).WIRE.start
            ids = [tokenizer.convert_tokens_to_ids(start)] if start else opener
            assert all(session.take(token, 60) for token in ids)
            ids += draw(session, rng, 59)
        else:
            ids = draw(session, rng, 60)
        parsed = parse(text_of(tokenizer, ids), name)
        assert parsed.outcome in ("calls", "abstained"), (text_of(tokenizer, ids), parsed.failure)
        outcomes.add(parsed.outcome)
    assert outcomes == {"calls", "abstained"}


@pytest.mark.parametrize("text", ["I cannot do that.", "Ça va? x = {1: 2}", "See [link](url)."])
def test_prose_can_be_written_where_words_are_allowed(text, constraint_of, tokenizer):
    for name in FORMATS:
        assert feed(constraint_of(name, or_text=True).session(), tokenizer, text)
        assert not feed(constraint_of(name).session(), tokenizer, text)


@pytest.mark.parametrize(
    "text", ["", " ", "call:f{", '{"name": 1', "Sure! <tool_call>", "x <end_function_call>"]
)
def test_an_attempt_at_a_call_is_no_prose(text, constraint_of, tokenizer):
    for name in FORMATS:
        assert not feed(constraint_of(name, or_text=True).session(), tokenizer, text), name


@pytest.mark.parametrize("name", FORMATS)
def test_a_key_that_stands_already_can_only_be_gone_on_with(name, constraint_of, tokenizer):
    text = render([Call("f", {"d": {"ab": 1, "abc": 2}})], name)
    session = constraint_of(name).session()
    before = text[: text.index("abc") + 2]
    for token in tokenizer.encode(before, add_special_tokens=False):
        assert session.take(token, PLENTY)
    closing = text[text.index("abc") + 3]  # a quote, or the colon after a bare key
    assert not session.take(tokenizer.encode(closing, add_special_tokens=False)[0], PLENTY)
    assert parse(before + text_of(tokenizer, session.ending()), name).outcome == "calls"


@pytest.mark.parametrize("schema", SCHEMAS_OF_PEOPLE.values(), ids=SCHEMAS_OF_PEOPLE)
def test_whatever_a_tools_schema_says_turns_are_valid(schema, constraint_of, tokenizer):
    rng = random.Random(0)
    tools = [Tool("get", "", schema), Tool("get_all")]
    for name in FORMATS:
        session = constraint_of(name).session(tools)
        limit = max(len(session.ending()), rng.choice([60, 120, 250]))
        text = text_of(tokenizer, draw(session, rng, limit))
        assert parse(text, name).outcome == "calls", text


@pytest.mark.parametrize("name", FORMATS)
def test_text_beyond_ascii_can_be_written_byte_by_byte(name, constraint_of, tokenizer):
    tools = [Tool("f", "", {"properties": {"größe": {"enum": ["東京 🗼"]}}, "required": ["größe"]})]
    text = render([Call("f", {"größe": "東京 🗼"})], name)
    session = constraint_of(name).session(tools)
    for token in tokenizer.encode(text, add_special_tokens=False):
        assert session.take(token, PLENTY)
    assert session.may_end


def test_alternatives_that_match_the_same_text_do_not_multiply(constraint_of, tokenizer):
    either = {"type": "array", "items": {"anyOf": [{"type": ["integer", "number"]}, {"enum": [5]}]}}
    properties = {f"k{i}": either for i in range(8)}
    session = constraint_of("functiongemma").session([Tool("f", "", {"properties": properties})])
    text = render([Call("f", {f"k{i}": [5] * 12 for i in range(8)})])
    for token in tokenizer.encode(text, add_special_tokens=False):
        assert session.take(token, PLENTY)
        assert len(session._places) < 10


@pytest.mark.parametrize("levels", [0, 70])
def test_a_schema_that_no_turn_can_follow_is_one_clear_error(levels, constraint_of):
    key = "a" if levels else "\ud800"
    value = {"type": "null"}
    for _ in range(levels):
        value = {"type": "array", "items": value, "minItems": 1}
    tools = [Tool("f", "", {"properties": {key: value}, "required": [key]})]
    with pytest.raises(FormatError):
        constraint_of("hermes").session(tools)


def test_a_tokenizer_without_the_quote_token_cannot_be_constrained(tmp_path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    plain = Tokenizer(models.BPE({c: i for i, c in enumerate(sorted(alphabet))}, []))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<eos>")
    with pytest.raises(FormatError, match="no special token <escape>"):
        Constraint("functiongemma", fast, [fast.eos_token_id]).session()
    assert Constraint("json", fast, [fast.eos_token_id]).session().ending()


def test_padding_is_no_answer_in_words(constraint_of, tokenizer):
    for name in FORMATS:
        assert not feed(constraint_of(name, or_text=True).session(), tokenizer, "<unk>"), name
