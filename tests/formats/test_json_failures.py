"""Failure kinds and repairs of the formats that carry JSON."""

import pytest

from fcbench import Call, parse, render
from fcbench.errors import FormatError
from fcbench.formats._json_wire import HINTS


def hermes(body: str) -> str:
    return f"<tool_call>\n{body}\n</tool_call>"


def inside(arguments: str) -> str:
    return hermes(f'{{"name": "f", "arguments": {{{arguments}}}}}')


AT = len('<tool_call>\n{"name": "f", "arguments": {')

# Format, text, kind, offset of the first token that cannot stand there
FAILURES = [
    ("hermes", '{"name": "f", "arguments": {}}</tool_call>', "missing_start_token", 0),
    ("hermes", '<tool_call>{"name": "f", "arguments": {}}', "missing_end_token", 41),
    ("hermes", "<tool_call>f()</tool_call>", "missing_open_brace", 11),
    ("hermes", "<tool_call>[]</tool_call>", "wrong_bracket", 11),
    ("hermes", "<tool_call>\n\n{}", "stray_whitespace", 12),
    ("hermes", "Sure! " + inside(""), "text_before_call", 0),
    ("hermes", inside("") + " Done.", "text_after_call", len(inside(""))),
    ("hermes", inside("") + "\n", "stray_whitespace", len(inside(""))),
    ("hermes", inside("") + "\nDone.", "text_after_call", len(inside(""))),
    ("hermes", inside("") + " and " + inside(""), "text_between_calls", len(inside(""))),
    ("hermes", inside("") + inside(""), "missing_separator", len(inside(""))),
    ("hermes", inside('"a": Paris'), "bare_string", AT + 5),
    ("hermes", inside('"a": \'x\''), "quoted_string", AT + 5),
    ("hermes", inside('"a": True'), "python_literal", AT + 5),
    ("hermes", inside('"a": 007'), "bad_number", AT + 5),
    ("hermes", inside('"a": NaN'), "bad_number", AT + 5),
    ("hermes", inside('"a": 1e999'), "bad_number", AT + 5),
    ("hermes", inside('"a": "x'), "unterminated_string", len(inside('"a": "x')) - len("\n</tool_call>")),
    ("hermes", inside('"a": "x\n"'), "unterminated_string", AT + 7),
    ("hermes", inside('"a": "\\x"'), "unterminated_string", AT + 6),
    ("hermes", inside('"a": '), "missing_value", AT + 5),
    ("hermes", inside('"a": 1,'), "trailing_comma", AT + 7),
    ("hermes", inside('"a": [1, ]'), "trailing_comma", AT + 9),
    ("hermes", inside('"a": 1,, "b": 2'), "missing_key", AT + 7),
    ("hermes", inside('"a": 1 "b": 2'), "missing_separator", AT + 7),
    ("hermes", inside('"a" 1'), "missing_separator", AT + 4),
    ("hermes", inside("a: 1"), "bare_string", AT),
    ("hermes", inside('"a": 1, "a": 2'), "duplicate_key", AT + 8),
    ("hermes", inside('"a": 1, "\\u0061": 2'), "duplicate_key", AT + 8),
    ("hermes", inside('"a": [1}'), "wrong_bracket", AT + 7),
    ("hermes", hermes('{"name": "", "arguments": {}}'), "missing_name", 21),
    ("hermes", hermes('{"name": "f"}'), "missing_key", 24),
    ("hermes", hermes('{"name": "f", "parameters": {}}'), "missing_key", 26),
    ("hermes", hermes('{"name": "f", "arguments": "{}"}'), "missing_open_brace", 39),
    ("hermes", '<tool_call>\n{"name": "f", "arguments": {"a": 1</tool_call>', "missing_close_brace", AT + 6),
    ("hermes", inside('"a": ' + "[" * 64 + "]" * 64), "too_deep", AT + 5 + 63),
    ("mistral", '[{"name": "f", "arguments": {}}]', "wrong_dialect", 0),
    ("mistral", '[TOOL_CALLS] {"name": "f", "arguments": {}}', "wrong_bracket", 13),
    ("mistral", '[TOOL_CALLS]\n[{"name": "f", "arguments": {}}]', "stray_whitespace", 12),
    ("mistral", '[TOOL_CALLS] [{"name": "f", "arguments": {}}', "missing_close_brace", 44),
    ("llama3", 'Sure! {"name": "f", "parameters": {}}', "text_before_call", 0),
    ("llama3", '{"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}', "text_between_calls", 31),
    ("json", '{"name": "f", "arguments": {}} ok', "text_after_call", 31),
    ("json", '{"name": "f", "arguments": {}', "missing_close_brace", 29),
    ("json", '{"name": "f", "arguments": {}}\n{"name": "g", "arguments": {}}', "missing_separator", 31),
    ("json", "", "empty_output", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "kind", "offset"), FAILURES)
def test_a_failure_has_the_kind_and_offset_of_the_first_wrong_token(name, text, kind, offset):
    failure = parse(text, name).failure
    assert (failure.kind, failure.offset) == (kind, offset)
    assert HINTS.get(kind, failure.hint) == failure.hint
    assert "``" not in failure.hint  # an empty prefix


def test_what_was_expected_is_named_also_after_whitespace():
    failure = parse(inside('"a": 1 "b": 2'), "hermes").failure
    assert (failure.expected, failure.found) == ("} or ,", '"')


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hermes", '<tool_call>\n{"name": "get_we'),
        ("hermes", '<tool_call>\n{"name": "f", "argu'),
        ("hermes", '<tool_call>\n{"name": "f", "arguments": {"a": "x\\u00'),
        ("hermes", '<tool_call>\n{"name": "f", "arguments": {"a": -1.5e'),
        ("hermes", '<tool_call>\n{"name": "f", "arguments": {"a": [tru'),
        ("hermes", '<tool_call>\n{"name": "f", "arguments": {}}\n'),
        ("mistral", '[TOOL_CALLS] [{"name": "f", "arguments": {}}, {"na'),
        ("llama3", '{"name": "f", "parameters": {"city": "Par'),
        ("json", '[{"name": "f", "arguments": {}},'),
    ],
)
def test_what_was_right_until_the_limit_is_truncated(name, text):
    failure = parse(text, name, stop="limit").failure
    assert (failure.kind, failure.offset) == ("truncated", len(text))
    assert parse(text, name, stop="token").failure.kind != "truncated"


@pytest.mark.parametrize(
    ("name", "text", "n_repairs"),
    [
        ("hermes", "Sure! " + inside('"a": 1') + " Done.", 3),
        ("hermes", inside('"a": 1, '), 1),
        ("hermes", inside('"a": 1')[: -len("\n</tool_call>")], 1),
        ("hermes", inside('"a": 1').replace("<tool_call>", "<tool_call>\n  "), 1),
        ("llama3", 'I call: {"name": "f", "parameters": {"a": 1}} now', 3),
        ("json", 'Here: [{"name": "f", "arguments": {"a": 1 , }}]', 2),
    ],
)
def test_lenient_mode_mends_what_it_says(name, text, n_repairs):
    assert parse(text, name).outcome == "malformed"
    lenient = parse(text, name, "lenient")
    assert lenient.outcome == "calls", lenient.failure
    assert lenient.calls == [Call("f", {"a": 1})]
    assert len(lenient.repairs) == n_repairs, lenient.repairs


def test_lenient_mode_takes_text_from_between_calls():
    for gap in (" ", "\n\n", " and ", "\n\nthen:\n"):
        lenient = parse(inside('"a": 1') + gap + inside('"b": 2'), "hermes", "lenient")
        assert lenient.calls == [Call("f", {"a": 1}), Call("f", {"b": 2})], gap
        assert lenient.repairs


def test_lenient_mode_reads_python_literals_and_never_guesses():
    assert parse(inside('"a": True'), "hermes", "lenient").calls == [Call("f", {"a": True})]
    for broken in ("'x'", "Paris", "007", '"x', "", "{"):
        assert parse(inside(f'"a": {broken}'), "hermes", "lenient").outcome == "malformed"


def test_calls_are_written_as_chat_templates_write_them():
    call = Call("f", {"b": [1, None], "a": "é\n"})
    body = '{"name": "f", "arguments": {"b": [1, null], "a": "é\\n"}}'
    assert (
        render([call, call], "hermes")
        == f"<tool_call>\n{body}\n</tool_call>\n<tool_call>\n{body}\n</tool_call>"
    )
    assert render([call, call], "mistral") == f"[TOOL_CALLS] [{body}, {body}]"
    assert render([call], "llama3") == body.replace("arguments", "parameters")
    assert render([call], "json") == body
    assert render([call, call], "json") == f"[{body}, {body}]"


@pytest.mark.parametrize(
    ("name", "calls", "message"),
    [
        ("llama3", [Call("f"), Call("g")], r"\$\[1\]: a turn holds one call"),
        (
            "hermes",
            [Call("f", {"a": ["<|im_end|>"]})],
            r"\$\[0\].arguments.a\[0\]: a string cannot hold the stop token",
        ),
        ("json", [Call("f", {1: 2})], r"\$\[0\].arguments: not an argument name"),
        ("json", [Call("f", {"a": float("nan")})], r"\$\[0\].arguments.a: not a finite number"),
        ("json", [Call("")], r"\$\[0\].name"),
        ("json", [], r"holds at least one call"),
    ],
)
def test_render_names_the_path_of_what_json_cannot_express(name, calls, message):
    with pytest.raises(FormatError, match=message):
        render(calls, name)


@pytest.mark.parametrize("name", ["hermes", "mistral", "llama3", "json"])
@pytest.mark.parametrize(
    "piece", ["[", '{"a":', '"', "\\", "1,", "<tool_call>", '{"name": ', " ", "\n", "[TOOL_CALLS]"]
)
def test_a_long_adversarial_text_is_judged(name, piece):
    text = hermes('{"name": "f", "arguments": {"a": ' + piece * 20_000)
    for mode in ("strict", "lenient"):
        assert parse(text, name, mode).outcome == "malformed"


def test_a_long_number_with_a_letter_is_judged_in_linear_time():
    failure = parse(inside(f'"a": {"1" * 100_000}x'), "hermes").failure
    assert (failure.kind, failure.offset) == ("bare_string", AT + 5)
