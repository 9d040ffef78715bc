"""The project's Hermes template: what it shows of tools, and the round trip through the grammar."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fcbench import parse, render
from fcbench.formats import detect_format
from fcbench.formats._jinja import OwnTemplate, compile_template
from fcbench.prompts import Style, own_template, requests
from fcbench.types import Call, Case, Tool

TOOLS = [
    Tool("show_map", "Shows <a> place & more.", {"type": "object", "properties": {}}),
    Tool("turn_on_flashlight"),
]


def asked(messages, tools=TOOLS):
    (request,) = requests([Case("c", messages, tools, [[]])], "chat", Style("hermes", bos=""))
    return request.prompt


def test_it_is_taken_for_the_hermes_format():
    assert detect_format(own_template("hermes")) == "hermes"


def test_a_format_without_a_template_of_ours_has_functiongemmas():
    assert own_template("llama3") == own_template()


def test_tools_stand_as_json_in_the_system_turn_after_what_the_developer_told():
    prompt = asked([
        {"role": "developer", "content": "Today is Monday.\n"},
        {"role": "user", "content": "Where is Oslo?"},
    ])  # fmt: skip
    system, user, model = prompt.split("<|im_start|>")[1:]
    assert system.startswith("system\nToday is Monday.\n\nYou may call")
    between = system.partition("<tools>\n")[2].partition("\n</tools>")[0]
    shown = [json.loads(line)["function"]["name"] for line in between.splitlines()]
    assert shown == ["show_map", "turn_on_flashlight"]
    assert "Shows <a> place & more." in between
    assert (user, model) == ("user\nWhere is Oslo?<|im_end|>\n", "assistant\n")


def test_without_tools_and_without_words_there_is_no_system_turn():
    prompt = asked([{"role": "user", "content": "Hi."}], tools=[])
    assert prompt == "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\n"


def test_a_tools_result_goes_back_between_tags():
    call = {"type": "function", "function": {"name": "show_map", "arguments": {"query": "Oslo"}}}
    prompt = asked([
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "name": "show_map", "content": '{"shown": true}'},
    ])  # fmt: skip
    turns = [turn.removesuffix("<|im_end|>\n") for turn in prompt.split("<|im_start|>")]
    assert turns[-3] == f"assistant\n{render([Call('show_map', {'query': 'Oslo'})], 'hermes')}"
    assert turns[-2] == 'tool\n<tool_response>\n{"shown": true}\n</tool_response>'


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda text: "<|" not in text
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=5,
)
calls = st.lists(
    st.builds(Call, words.filter(bool), st.dictionaries(words, values, max_size=3)),
    min_size=1,
    max_size=3,
)


@given(calls)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_calls_that_it_renders_are_those_that_the_format_renders(some):
    """And so the strict grammar reads them back."""
    messages = [
        {"role": "user", "content": "Go."},
        {
            "role": "assistant",
            "tool_calls": [
                {"type": "function", "function": {"name": c.name, "arguments": c.arguments}}
                for c in some
            ],
        },
    ]
    whole = compile_template(OwnTemplate("", "hermes").source, "hermes.jinja").render(
        messages=messages, tools=[], bos_token="", add_generation_prompt=False
    )
    turn = whole.rpartition("<|im_start|>assistant\n")[2].removesuffix("\n")
    assert turn == f"{render(some, 'hermes')}<|im_end|>"
    assert parse(turn, "hermes", stop="token").calls == some
