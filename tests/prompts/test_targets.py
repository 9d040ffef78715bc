"""What a model has to write under a prompt, and which of that the strict grammar refuses."""

import pytest

from fcbench import load_suite, parse, prompts
from fcbench.suite import load_training
from fcbench.types import Call, Case, Tool

STYLE = prompts.Style()
TOOLS = [Tool("f", "Does f."), Tool("g", "Does g.")]


def case(*calls, reply="", **fields):
    messages = [{"role": "user", "content": "Please."}]
    return Case("c", messages, TOOLS, [list(calls)], reply=reply, **fields)


def the_target(*calls, mode="chat", style=STYLE, reply=""):
    (target,) = prompts.targets([case(*calls, reply=reply)], mode, style)
    return target


@pytest.mark.parametrize("mode", ["chat", "bare"])
def test_a_turn_of_calls_ends_where_responses_begin_and_a_turn_of_words_ends_the_turn(mode):
    calls = the_target(Call("f", {"b": 1, "a": "x"}), mode=mode)
    assert calls.text == (
        "<start_function_call>call:f{a:<escape>x<escape>,b:1}<end_function_call>"
        "<start_function_response>"
    )
    words = the_target(mode=mode, reply="I cannot.")
    assert words.text == "I cannot.<end_of_turn>"
    assert calls.fault is words.fault is None


def test_the_raw_target_is_the_original_experiments_and_refused():
    target = the_target(
        Call("f"), Call("g", {"title": "Meeting", "datetime": "2026-01-20T15:00:00"}), mode="raw"
    )
    assert target.text == (
        "<start_function_call>\ncall:f{}\n<end_function_call>\n"
        "<start_function_call>\ncall:g{title:<escape>Meeting<escape>, "
        "datetime:<escape>2026-01-20T15:00:00<escape>}\n<end_function_call><end_of_turn>"
    )
    assert (target.fault.kind, target.fault.offset) == ("stray_whitespace", 21)


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("hermes", '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call><|im_end|>'),
        ("mistral", '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}}]</s>'),
        ("llama3", '{"name": "f", "parameters": {"a": 1}}<|eot_id|>'),
        ("gemma4", "<|tool_call>call:f{a:1}<tool_call|><|tool_response>"),
        ("json", '{"name": "f", "arguments": {"a": 1}}'),
        ("pythonic", "[f(a=1)]"),
    ],
)
@pytest.mark.parametrize("mode", ["chat", "raw", "bare"])
def test_every_formats_targets_are_valid_in_it(format, text, mode):
    target = the_target(Call("f", {"a": 1}), mode=mode, style=prompts.Style(format))
    assert target.fault is None
    assert target.text == text


def test_an_empty_reply_teaches_silence_and_is_a_fault():
    assert the_target(reply=" ").fault.kind == "no_reply"


def test_a_reply_that_reads_as_a_call_is_a_fault():
    assert the_target(reply="Use <start_function_call> for that.").fault.kind == "attempts_call"


def test_what_the_format_cannot_write_is_a_fault_and_not_an_exception():
    target = the_target(Call("f", {"a": "<end_of_turn>"}))
    assert target.fault.kind == "inexpressible"
    assert "$[0].arguments.a" in target.fault.hint


def test_every_training_case_of_mobile_actions_is_valid_under_chat_and_each_call_not_under_raw():
    cases = load_training("mobile_actions")
    assert len(cases) == 900
    assert [t for t in prompts.targets(cases, "chat", STYLE) if t.fault] == []
    raw = prompts.targets(cases, "raw", STYLE)
    assert {t.fault and t.fault.kind for t in raw if t.case.expects_call} == {"stray_whitespace"}
    for target in raw:
        mended = parse(target.text, mode="lenient", stop="token")
        assert len(mended.calls) == len(target.case.expected[0])


def test_replies_are_read_from_rows_and_written_by_nobody_else():
    training = load_training("mobile_actions")
    assert all(c.reply for c in training if not c.expects_call)
    assert any(c.reply for c in load_suite("mobile_actions").cases)
