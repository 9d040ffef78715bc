"""Native prompts: a server that renders the same template asks what the chat prompt asks."""

import json

import pytest

from fcbench import Call, Case, Tool, load_suite
from fcbench.backends import ModelOptions, check_model
from fcbench.errors import UsageError
from fcbench.formats._jinja import OwnTemplate
from fcbench.prompts import Style, few_shot, is_native, requests
from fcbench.suite import suite_names


def sent(case, examples=(), format="functiongemma"):
    (request,) = requests([case], "native", Style(format), examples)
    assert request.native
    return json.loads(request.prompt)


def rendered(body, format="functiongemma"):
    """Return what a server makes of a request: arguments are objects again, then the template."""
    for message in body["messages"]:
        for call in message.get("tool_calls") or []:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        # Templates are given a result as the text that it is; ours are given its JSON.
        if message["role"] == "tool" and message["content"][:1] in ("{", "["):
            message["content"] = json.loads(message["content"])
    return OwnTemplate("<bos>", format)(body["messages"], body.get("tools", []))


@pytest.mark.parametrize("suite", suite_names())
def test_what_a_server_renders_is_the_chat_prompt(suite):
    loaded = load_suite(suite)
    for request in requests(loaded.cases, "chat", Style()):
        assert rendered(sent(request.case)) == request.prompt


def test_solved_examples_are_sent_as_turns():
    loaded = load_suite("mobile_actions")
    case = loaded.cases[0]
    examples = few_shot(loaded.training_cases(), loaded.cases, 2, 0)
    (chat,) = requests([case], "chat", Style(), examples)
    assert rendered(sent(case, examples)) == chat.prompt


def test_messages_are_in_the_shape_of_the_endpoint():
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call, call]},
        {"role": "tool", "name": "f", "content": '{"a": 1}'},
        {"role": "tool", "content": "done"},
    ]
    body = sent(Case("a", messages, [Tool("f", "F.", {"type": "object"})], [[Call("f")]]))
    _, _, assistant, first, second = body["messages"]
    assert assistant["content"] is None
    ids = [each["id"] for each in assistant["tool_calls"]]
    assert ids == [first["tool_call_id"], second["tool_call_id"]]
    assert len(set(ids)) == 2
    assert all(len(id) == 9 and id.isalnum() for id in ids)
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"x": 1}
    assert json.loads(first["content"]) == {"a": 1}
    assert second["content"] == "done"
    assert body["tools"][0]["function"]["name"] == "f"


def test_tools_are_left_out_where_there_are_none():
    assert "tools" not in sent(Case("a", [{"role": "user", "content": "x"}], [], [[]]))


def test_other_formats_have_no_developer_turn():
    case = load_suite("mobile_actions").cases[0]
    assert {m["role"] for m in sent(case, format="hermes")["messages"]} <= {"system", "user"}


def test_the_mode_alone_is_native_and_transformers_refuses_it():
    assert is_native("native")
    assert not is_native("chat")
    assert not is_native("native", "mine.jinja")
    with pytest.raises(UsageError, match="no chat endpoint"):
        check_model("gemma3-270m", ModelOptions(native=True))
