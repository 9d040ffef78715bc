"""Prompts: the template equals the wire format id for id, and no prompt begins with two <bos>."""

import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fcbench import Call, Case, Tool, load_suite
from fcbench.backends import ModelOptions, open_model
from fcbench.errors import SuiteError, UsageError
from fcbench.formats import functiongemma, parse
from fcbench.formats._jinja import OwnTemplate
from fcbench.formats.functiongemma import CONTROL_TOKEN_IDS, TRIGGER
from fcbench.prompts import Style, few_shot, requests
from fcbench.prompts._case_text import example_text, last_user_text, one_answer, openai_tools

words = st.text(max_size=12).filter(lambda s: not any(token in s for token in CONTROL_TOKEN_IDS))
keys = st.from_regex(r"[A-Za-z_$][\w.-]{0,6}", fullmatch=True)
leaf_schemas = st.builds(
    lambda kind, extra: {"type": kind, **extra},
    st.sampled_from(["string", "integer", "number", "boolean", ["string", "null"], ["null", "integer"], "null"]),
    st.fixed_dictionaries(
        {},
        optional={
            "description": words,
            "enum": st.lists(words, min_size=1, max_size=3),
            "default": st.none() | words,
            "nullable": st.booleans(),
        },
    ),
)  # fmt: skip
schemas = st.recursive(
    leaf_schemas | st.just({}),
    lambda inner: (
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(keys, inner, max_size=3)},
            optional={"description": words, "required": st.lists(keys, max_size=2)},
        )
        | st.fixed_dictionaries(
            {"type": st.just("array")}, optional={"items": inner, "description": words}
        )
    ),
    max_leaves=8,
)
parameters = st.fixed_dictionaries(
    {},
    optional={
        "type": st.just("object"),
        "properties": st.dictionaries(keys, schemas, max_size=4),
        "required": st.lists(keys, max_size=3),
    },
)
tools = st.lists(st.builds(Tool, keys, words, parameters), max_size=3)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2),
    max_leaves=5,
)
calls = st.lists(
    st.builds(
        lambda name, arguments: {
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        },
        keys,
        st.dictionaries(keys, values, max_size=3),
    ),
    min_size=1,
    max_size=2,
)
user = st.builds(lambda text: {"role": "user", "content": text}, words)
answer = st.builds(lambda text: {"role": "assistant", "content": text}, words)


@st.composite
def exchanges(draw):
    """A user's words, the model's calls with their results, and perhaps an answer in words."""
    called = draw(calls)
    results = draw(st.lists(values, min_size=len(called), max_size=len(called)))
    tool_turns = [
        {"role": "tool", "name": c["function"]["name"], "content": json.dumps(r)}
        for c, r in zip(called, results, strict=True)
    ]
    return [
        draw(user),
        {"role": "assistant", "tool_calls": called},
        *draw(st.sampled_from([tool_turns, []])),
        *draw(st.lists(answer, max_size=1)),
    ]


messages = st.builds(
    lambda opening, history, last: [*opening, *(m for exchange in history for m in exchange), *last],
    st.lists(st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["system", "developer"]), words), max_size=1),
    st.lists(exchanges() | st.tuples(user, answer), max_size=2),
    st.lists(user, min_size=1, max_size=1),
)  # fmt: skip

SHAPES = {
    "no parameters": Tool("turn_off_flashlight", "Turns the flashlight off."),
    "strings": Tool(
        "show_map",
        "Shows a place.",
        {"type": "object", "properties": {"query": {"type": "string", "description": "Where."}}, "required": ["query"]},
    ),
    "enum": Tool("f", "", {"type": "object", "properties": {"u": {"type": "string", "enum": ["c", "f"]}, "n": {"type": "integer", "enum": [1, 2]}}}),
    "object": Tool("f", "", {"type": "object", "properties": {"o": {"type": "object", "properties": {"b": {"type": "boolean"}, "A": {"type": "null"}}, "required": ["b"]}}}),
    "array": Tool("f", "", {"type": "object", "properties": {"l": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}}}),
    "array of objects": Tool("f", "", {"type": "object", "properties": {"l": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}}}}}),
    "quotes": Tool("f", 'Say "hi" & <b>{x}</b>\nagain', {"type": "object", "properties": {"q": {"type": "string", "description": "it's"}}}),
}  # fmt: skip


def case_of(tool_list, message_list=None):
    message_list = message_list or [{"role": "user", "content": "Go."}]
    return Case("a", message_list, tool_list, [[]])


def chat_prompt(case, style):
    (request,) = requests([case], "chat", style)
    return request.prompt


def assembled(case):
    return functiongemma.render_prompt(functiongemma.prepare_messages(case.messages), case.tools)


@pytest.fixture(scope="module")
def own_style():
    return Style(template=OwnTemplate("<bos>"))


@pytest.fixture(scope="module")
def tokenizer_style(tmp_path_factory):
    """The project's template inside a tokenizer, rendered by transformers; and that tokenizer."""
    from transformers import AutoTokenizer

    from fcbench.backends.transformers._load import TokenizerTemplate
    from tests.conftest import build_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(folder, OwnTemplate("").source)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return Style(template=TokenizerTemplate(tokenizer)), tokenizer


@pytest.mark.parametrize("shape", SHAPES)
def test_the_template_equals_the_wire_format_id_for_id(shape, own_style, tokenizer_style):
    style, tokenizer = tokenizer_style
    case = case_of([SHAPES[shape]])
    expected = tokenizer.encode(assembled(case), add_special_tokens=False)
    for given_style in (own_style, style):
        assert (
            tokenizer.encode(chat_prompt(case, given_style), add_special_tokens=False) == expected
        )
    assert expected.count(tokenizer.bos_token_id) == 1


@given(tools, messages)
@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_the_template_equals_the_wire_format_for_any_tools_and_messages(
    own_style, tokenizer_style, tool_list, message_list
):
    case = case_of(tool_list, message_list)
    assert chat_prompt(case, own_style) == assembled(case)
    assert chat_prompt(case, tokenizer_style[0]) == assembled(case)


def test_declarations_are_written_as_the_format_says():
    assert functiongemma.render_declaration(SHAPES["no parameters"]) == (
        "<start_function_declaration>declaration:turn_off_flashlight{description:<escape>Turns the "
        "flashlight off.<escape>,parameters:{type:<escape>OBJECT<escape>}}<end_function_declaration>"
    )
    assert functiongemma.render_declaration(SHAPES["strings"]) == (
        "<start_function_declaration>declaration:show_map{description:<escape>Shows a place.<escape>,"
        "parameters:{properties:{query:{description:<escape>Where.<escape>,type:<escape>STRING<escape>}},"
        "required:[<escape>query<escape>],type:<escape>OBJECT<escape>}}<end_function_declaration>"
    )


def test_declarations_of_nested_schemas_are_written_as_the_format_says():
    def inner(shape):
        text = functiongemma.render_declaration(SHAPES[shape])
        return text.partition(",parameters:")[2].partition("<end_function_declaration>")[0]

    empty = "{description:<escape><escape>,"
    assert inner("enum") == (
        "{properties:{n:"
        + empty
        + "type:<escape>INTEGER<escape>},u:"
        + empty
        + "enum:[<escape>c<escape>,<escape>f<escape>],type:<escape>STRING<escape>}},type:<escape>OBJECT<escape>}}"
    )
    assert inner("object") == (
        "{properties:{o:"
        + empty
        + "properties:{A:"
        + empty
        + "type:<escape>NULL<escape>},b:"
        + empty
        + "type:<escape>BOOLEAN<escape>}},required:[<escape>b<escape>],type:<escape>OBJECT<escape>}},type:<escape>OBJECT<escape>}}"
    )
    assert inner("array") == (
        "{properties:{l:"
        + empty
        + "items:{items:{type:<escape>NUMBER<escape>},type:<escape>ARRAY<escape>},"
        "type:<escape>ARRAY<escape>}},type:<escape>OBJECT<escape>}}"
    )


def test_the_developer_turn_always_holds_the_trigger_once(own_style):
    for opening in (
        [],
        [{"role": "system", "content": "Be brief."}],
        [{"role": "developer", "content": f"x\n{TRIGGER}\n"}],
    ):
        prompt = chat_prompt(case_of([], [*opening, {"role": "user", "content": "hi"}]), own_style)
        assert prompt.startswith("<bos><start_of_turn>developer\n")
        assert prompt.count(TRIGGER) == 1


def test_a_conversation_that_ends_with_results_goes_on_in_the_same_turn(own_style):
    called = {
        "role": "assistant",
        "tool_calls": [
            {"id": "1", "function": {"name": "g", "arguments": {}}},
            {"id": "2", "function": {"name": "f", "arguments": {}}},
        ],
    }
    results = [{"role": "tool", "tool_call_id": "2", "content": '{"x": 1}'}, {"role": "tool", "tool_call_id": "1", "content": "5"}]  # fmt: skip
    prompt = chat_prompt(
        case_of([], [{"role": "user", "content": "hi"}, called, *results]), own_style
    )
    assert prompt.endswith(
        "<start_function_call>call:g{}<end_function_call><start_function_call>call:f{}<end_function_call>"
        "<start_function_response>response:f{x:1}<end_function_response>"
        "<start_function_response>response:g{value:<escape>5<escape>}<end_function_response>"
    )


@pytest.mark.parametrize("mode", ["chat", "raw", "bare", "raw+2"])
def test_no_prompt_begins_with_two_bos(mode, tiny_model, tmp_path):
    backend = open_model(str(tiny_model), ModelOptions())
    suite = load_suite("original_experiment")
    mode, _, k = mode.partition("+")
    examples = few_shot(suite.training_cases(), suite.cases, int(k or 0), seed=0)
    doubled = tmp_path / "doubled.jinja"
    doubled.write_text("{{ bos }}{{ bos }}{{ user }}", encoding="utf-8")
    for file in (None, str(doubled)):
        style = Style(template=backend.template, bos=backend.bos, prompt_file=file)
        for request in requests(suite.cases, mode, style, examples):
            ids = backend._encode(request)
            assert ids[0] == 2
            assert ids.count(2) == 1


def test_the_repeats_of_a_case_stand_together_and_share_its_prompt(own_style):
    cases = load_suite("original_experiment").cases[:2]
    once = requests(cases, "chat", own_style)
    made = requests(cases, "chat", own_style, repeats=3)
    assert [(r.case.id, r.repeat) for r in made] == [(c.id, n) for c in cases for n in range(3)]
    assert all(r.prompt is made[i - r.repeat].prompt for i, r in enumerate(made))
    assert [r.prompt_sha256 for r in made[::3]] == [r.prompt_sha256 for r in once]


def test_raw_has_tools_as_lines_of_json_and_no_declarations(own_style):
    case = load_suite("original_experiment").cases[1]
    (request,) = requests([case], "raw", own_style)
    lines = request.prompt.split("\n")
    declared = [json.loads(line)["name"] for line in lines if line.startswith("{")]
    assert declared == [tool.name for tool in case.tools]
    assert "<start_function_declaration>" not in request.prompt
    assert "developer" not in request.prompt
    assert request.prompt.startswith("<bos><start_of_turn>user\n")
    assert request.prompt.endswith("<end_of_turn>\n<start_of_turn>model\n")


def test_bare_is_the_users_words_only(own_style):
    case = load_suite("original_experiment").cases[1]
    (request,) = requests([case], "bare", own_style)
    words = case.messages[-1]["content"]
    assert (
        request.prompt == f"<bos><start_of_turn>user\n{words}<end_of_turn>\n<start_of_turn>model\n"
    )


CALLED = {"role": "assistant", "content": "Wait.", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}  # fmt: skip
TALK = [
    {"role": "developer", "content": f" Today is Friday.\n{TRIGGER} \n"},
    {"role": "user", "content": "One."},
    CALLED,
    {"role": "tool", "content": "5"},
    {"role": "assistant", "content": "Five."},
    {"role": "user", "content": "Two."},
]
WROTE = "<start_function_call>call:f{x:1}<end_function_call>"


def turns(*pairs):
    return "".join(f"<start_of_turn>{role}\n{words}<end_of_turn>\n" for role, words in pairs)


def only(mode, case, style, examples=()):
    (request,) = requests([case], mode, style, examples)
    return request.prompt


def test_raw_writes_the_whole_conversation_and_the_tools_once(own_style):
    tool = Tool("f", "Drückt.", {"type": "object"})
    declared = json.dumps(
        {"name": "f", "description": "Drückt.", "parameters": {"type": "object"}},
        ensure_ascii=False,
    )
    told = f"Today is Friday.\n{TRIGGER}\n{declared}\n\n"
    said = ("user", "One."), ("model", f"Wait.{WROTE}"), ("user", "5"), ("model", "Five."), ("user", "Two.")  # fmt: skip
    assert only("raw", case_of([tool], TALK), own_style) == (
        f"<bos>{turns(('user', told + 'One.'), *said[1:])}<start_of_turn>model\n"
    )
    # Without tools, and with a developer who says nothing, nothing stands before the words.
    assert only("raw", case_of([], [{"role": "system", "content": ""}, *TALK[1:]]), own_style) == (
        f"<bos>{turns(*said)}<start_of_turn>model\n"
    )


def test_bare_writes_what_was_said_without_calls_and_results(own_style):
    case = case_of([Tool("f")], TALK)
    said = ("user", "One."), ("model", "Wait."), ("model", "Five."), ("user", "Two.")
    assert only("bare", case, own_style) == f"<bos>{turns(*said)}<start_of_turn>model\n"
    example = msgspec.structs.replace(case, expected=[[Call("f", {"x": 1})]])
    assert only("bare", case, own_style, [example]) == (
        f"<bos>{turns(*said, ('model', WROTE), *said)}<start_of_turn>model\n"
    )


def test_an_example_in_raw_has_what_its_developer_told_but_no_trigger_and_no_tools(own_style):
    example = Case("e", TALK, [Tool("f")], [[Call("f", {"x": 1})]])
    shown = only("raw", case_of([]), own_style, [example])
    said = ("user", "Today is Friday.\nOne."), ("model", f"Wait.{WROTE}"), ("user", "5"), ("model", "Five."), ("user", "Two."), ("model", WROTE), ("user", "Go.")  # fmt: skip
    assert shown == f"<bos>{turns(*said)}<start_of_turn>model\n"


def test_chat_shows_examples_between_the_developers_turn_and_the_case(own_style):
    example = Case(
        "e", [{"role": "user", "content": "Ex."}], [Tool("f")], [[Call("f"), Call("g", {"x": 1})]]
    )
    seen = []

    def template(messages, tools):
        seen.append((messages, tools))
        return ""

    template.source = ""
    list(requests([case_of([Tool("f", "d")], TALK)], "chat", Style(template=template), [example]))
    ((messages, tools),) = seen
    assert [m["role"] for m in messages] == ["developer", "user", "assistant", "tool", "tool", "assistant", *(m["role"] for m in TALK[1:])]  # fmt: skip
    assert [c["function"] for c in messages[2]["tool_calls"]] == [
        {"name": "f", "arguments": {}},
        {"name": "g", "arguments": {"x": 1}},
    ]
    assert {c["type"] for c in messages[2]["tool_calls"]} == {"function"}
    assert [(m["name"], m["content"]) for m in messages[3:5]] == [
        ("f", {"status": "done"}),
        ("g", {"status": "done"}),
    ]
    assert messages[5]["content"] == "Done."
    assert tools == openai_tools(case_of([Tool("f", "d")]))


def test_a_template_that_refuses_a_case_names_it():
    def refuse(messages, tools):
        raise UsageError("the template refuses it", "take another")

    refuse.source = ""
    with pytest.raises(UsageError, match="case a: the template refuses it") as caught:
        list(requests([case_of([])], "chat", Style(template=refuse)))
    assert caught.value.hint == "take another"


def test_an_examples_text_is_what_its_user_says_last_after_what_was_told():
    case = case_of([], TALK)
    assert last_user_text(case) == "Two."
    assert last_user_text(case_of([], TALK[:1])) == ""
    assert example_text(case, TRIGGER) == "Today is Friday.\nTwo."
    assert example_text(case, "") == f"Today is Friday.\n{TRIGGER}\nTwo."
    spaced = [{"role": "system", "content": "a\n\nb"}, {"role": "system", "content": None}]
    assert example_text(case_of([], [*spaced, TALK[1]]), TRIGGER) == "a\nb\nOne."


def test_tools_have_the_shape_that_templates_take():
    schema = {"type": "object", "properties": {"x": {}}}
    bare, full = openai_tools(case_of([Tool("f"), Tool("g", "d", schema)]))
    empty = {"type": "object", "properties": {}}
    assert bare == {
        "type": "function",
        "function": {"name": "f", "description": "", "parameters": empty},
    }
    assert full["function"] == {"name": "g", "description": "d", "parameters": schema}


def test_choices_are_made_for_their_first_value_at_every_depth():
    chosen = {"a": [{"$any": [[{"$any": [1, 2]}], 3]}], "b": {"c": {"$any": [], "$optional": True}}}
    (call,) = one_answer(Case("a", [], [], [[Call("f", chosen)], [Call("g")]]))
    assert call == Call("f", {"a": [[1]], "b": {}})


def test_few_shot_draws_are_seeded_and_never_evaluation_cases(own_style):
    suite = load_suite("mobile_actions")
    training = suite.training_cases()
    drawn = few_shot(training, suite.cases, 5, seed=1)
    assert drawn == few_shot(training, suite.cases, 5, seed=1)
    assert drawn != few_shot(training, suite.cases, 5, seed=2)
    leaking = [*suite.cases[:5], *training[:3]]
    assert {case.id for case in few_shot(leaking, suite.cases, 2, seed=0)} <= {
        case.id for case in training
    }
    with pytest.raises(SuiteError, match="4 examples were asked for"):
        few_shot(leaking, suite.cases, 4, seed=0)


@pytest.mark.parametrize("mode", ["chat", "raw", "bare"])
def test_examples_show_calls_that_are_valid(mode, own_style):
    suite = load_suite("original_experiment")
    examples = few_shot(suite.training_cases(), suite.cases, 3, seed=0)
    (request,) = requests(suite.cases[:1], mode, own_style, examples)
    shown = request.prompt.split("<start_of_turn>model\n")[1:-1]
    assert len(shown) == 3
    for turn, example in zip(shown, examples, strict=True):
        calls_of_turn = turn.split("<start_function_response>")[0]
        assert parse(calls_of_turn).calls == example.expected[0]


@pytest.mark.parametrize("mode", ["chat", "raw"])
def test_an_example_shows_the_results_that_its_answer_is_made_of(mode, own_style):
    suite = load_suite("multi_turn")
    example = next(
        case
        for case in suite.training_cases()
        if case.messages[-1]["role"] == "tool" and case.expects_call
    )
    (request,) = requests(suite.cases[:1], mode, own_style, [example])
    before, _, _ = request.prompt.partition(functiongemma.render(one_answer(example)))
    said = [message["content"] for message in example.messages if message["role"] == "user"]
    assert all(words in before for words in said)
    values = [
        str(v)
        for m in example.messages
        if m["role"] == "tool"
        for v in _leaves(json.loads(m["content"]))
    ]
    assert values
    assert all(value in before for value in values)


def _leaves(value):
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value] if isinstance(value, str) else []


def test_an_examples_choices_are_made_for_their_first_value(own_style):
    chosen = Case(
        "e",
        [{"role": "user", "content": "x"}],
        [Tool("f")],
        [[Call("f", {"a": {"$any": [1, 2], "$optional": True}})]],
    )
    (request,) = requests([case_of([])], "raw", own_style, [chosen])
    assert "call:f{a:1}" in request.prompt
    absent = msgspec.structs.replace(
        chosen, expected=[[Call("f", {"a": {"$any": [], "$optional": True}})]]
    )
    (request,) = requests([case_of([])], "raw", own_style, [absent])
    assert "call:f{}" in request.prompt


def test_a_prompt_file_sees_the_case(tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_text(
        "{{ tools[0].function.name }}|{{ user }}|{{ messages | length }}|{{ examples[0].answer }}",
        encoding="utf-8",
    )
    suite = load_suite("original_experiment")
    (request,) = requests(
        suite.cases[1:2], "file", Style(prompt_file=str(file)), suite.training_cases()[:1]
    )
    assert (
        request.prompt
        == "turn_on_flashlight|Show me Coit Tower on the map.|2|<start_function_call>call:open_wifi_settings{}<end_function_call>"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [("{% if %}", ":1: not a Jinja template"), ("{{ 1 / 0 }}", "cannot render case"), ("{{ raise_exception('no') }}", "refuses"),
        ("{{ usr }}", "'usr' is undefined"), (None, "cannot be read")],
)  # fmt: skip
def test_a_bad_prompt_file_is_one_clear_error(tmp_path, source, message):
    file = tmp_path / "bad.jinja"
    if source is not None:
        file.write_text(source, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        list(
            requests(
                load_suite("original_experiment").cases[:1], "file", Style(prompt_file=str(file))
            )
        )


def test_an_unknown_prompt_mode_names_the_nearest(own_style):
    with pytest.raises(UsageError, match="did you mean chat"):
        requests([case_of([])], "caht", own_style)


@pytest.mark.model
def test_the_packaged_models_template_equals_the_wire_format_id_for_id():
    backend = open_model("gemma3-270m", ModelOptions())
    style = Style(template=backend.template, bos=backend.bos)
    cases = [case_of([tool]) for tool in SHAPES.values()] + load_suite("mobile_actions").cases
    for case, request in zip(cases, requests(cases, "chat", style), strict=True):
        expected = backend._loaded.tokenizer.encode(assembled(case), add_special_tokens=False)
        assert backend._encode(request) == expected
        assert expected.count(2) == 1
