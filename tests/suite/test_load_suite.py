"""Reading suites: what is accepted, and the one clear line for what is not."""

import json

import pytest

from fcbench import Call, load_suite
from fcbench.errors import SuiteError, UsageError
from fcbench.schemas import fault
from fcbench.suite import suite_names


def mobile_row(**fields):
    row = {
        "metadata": "eval",
        "tools": [{"function": {"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}}],
        "messages": [
            {"role": "developer", "content": "d", "tool_calls": None},
            {"role": "user", "content": "u", "tool_calls": None},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
            },
        ],
    }
    return {**row, **fields}


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_load_by_name(name):
    suite = load_suite(name)
    assert suite.name == name
    assert len(suite.sha256) == 64
    assert suite.training is None or suite.training_cases()


def test_mobile_actions_has_its_frozen_size():
    suite = load_suite("mobile_actions")
    assert len(suite.cases) == 200
    assert sum(not case.expects_call for case in suite.cases) == 20
    assert len(suite.training_cases()) == 900


def test_a_file_in_the_mobile_actions_schema_drops_in_unchanged(write_lines):
    answer = {"role": "assistant", "content": "Hello."}
    silent = mobile_row(messages=[{"role": "user", "content": "hi"}, answer])
    text_arguments = mobile_row()
    text_arguments["messages"][-1]["tool_calls"][0]["function"]["arguments"] = '{"x": 1}'
    path = write_lines(mobile_row(metadata="train"), mobile_row(), silent, text_arguments)
    first, second, third = load_suite(path).cases
    assert [case.id for case in (first, second, third)] == ["cases:2", "cases:3", "cases:4"]
    assert first.expected == third.expected == [[Call("f", {"x": 1})]]
    assert second.expected == [[]]
    assert first.ordered
    assert [m["role"] for m in first.messages] == ["developer", "user"]
    assert first.tools[0].parameters == {"type": "object", "properties": {}}


def test_suite_toml_says_otherwise_about_order(write_lines, tmp_path):
    write_lines(mobile_row())
    (tmp_path / "suite.toml").write_text('name = "mine"\nordered = false\n', encoding="utf-8")
    assert not load_suite(tmp_path).cases[0].ordered


@pytest.mark.parametrize(
    "wrap", [lambda t: t, lambda t: {"function": t}, lambda t: {"type": "function", "function": t}]
)
def test_tools_are_accepted_in_three_shapes_with_types_in_upper_case(write_lines, case_row, wrap):
    tool = {
        "name": "show_map",
        "parameters": {"type": "OBJECT", "properties": {"type": {"type": "STRING"}}},
    }
    (case,) = load_suite(write_lines(case_row(tools=[wrap(tool)]))).cases
    assert case.tools[0].parameters == {
        "type": "object",
        "properties": {"type": {"type": "string"}},
    }


def test_types_are_lower_case_wherever_a_schema_has_them(write_lines, case_row):
    schemas = {
        "additionalProperties": {"type": "STRING"},
        "not": {"type": "NULL"},
        "$defs": {"a": {"type": "INTEGER"}, "b": True},
        "patternProperties": {"^x": {"type": "ARRAY", "items": {"type": "NUMBER"}}},
    }
    row = case_row(tools=[{"name": "show_map", "parameters": schemas}])
    (case,) = load_suite(write_lines(row)).cases
    assert fault(case.tools[0].parameters) is None


def bad(row, **fields):
    return json.dumps({**row, **fields})


BAD_LINES = {
    "not JSON": (lambda row: '{"id": "a",', ":1: not JSON: Expecting property name"),
    "not UTF-8 object": (lambda row: "[]", ":1: $: expected object, got array"),
    "NaN": (lambda row: '{"id": NaN}', ":1: not JSON: NaN"),
    "key twice": (lambda row: '{"id": "a", "id": "b"}', ":1: the key 'id' stands twice"),
    "unknown field": (lambda row: bad(row, tag=["x"]), ":1: $.tag: unknown field\nhint: did you mean tags?"),
    "unknown tool field": (
        lambda row: bad(row, tools=[{"name": "f", "parametrs": {}}]),
        ":1: $.tools[0].parametrs: unknown field\nhint: did you mean parameters?",
    ),
    "wrong type": (lambda row: bad(row, tools=[{"name": 3}]), ":1: $.tools[0].name: expected str, got int"),
    "bad schema type": (
        lambda row: bad(row, tools=[{"name": "f", "parameters": {"type": "STRNG"}}]),
        ":1: $.tools[0].parameters.type: not a JSON Schema type: STRNG\nhint: did you mean string?",
    ),
    "missing field": (lambda row: json.dumps({k: v for k, v in row.items() if k != "id"}), ":1: $: object missing required field id"),
    "no messages at all": (lambda row: json.dumps({k: v for k, v in row.items() if k != "messages"}), ":1: $: object missing required field messages"),
    "messages are no list": (lambda row: bad(row, messages="Hi"), ":1: $.messages: expected array, got str"),
    "no tools at all": (lambda row: json.dumps({k: v for k, v in row.items() if k != "tools"}), ":1: $: object missing required field tools"),
    "tools are no list": (lambda row: bad(row, tools={}), ":1: $.tools: expected array, got object"),
    "tools of Google are no list": (lambda row: bad(mobile_row(tools={})), ":1: $.tools: expected array, got object"),
    "tool is no object": (lambda row: bad(row, tools=["f"]), ":1: $.tools[0]: expected object, got str"),
    "wrapped tool's neighbour": (lambda row: bad(row, tools=[{"function": {"name": "f"}, "strict": True, "kind": 1}]), ":1: $.tools[0].kind: unknown field"),
    "wrapped tool": (lambda row: bad(row, tools=[{"function": {"nme": "f"}}]), ":1: $.tools[0].function.nme: unknown field\nhint: did you mean name?"),
    "parameters are no object": (lambda row: bad(row, tools=[{"name": "f", "parameters": []}]), ":1: $.tools[0].parameters: expected object, got array"),
    "properties are no object": (lambda row: bad(row, tools=[{"name": "f", "parameters": {"properties": []}}]), ":1: $.tools[0].parameters.properties: expected object, got array"),
    "property is no object": (lambda row: bad(row, tools=[{"name": "f", "parameters": {"properties": {"x": "int"}}}]), ":1: $.tools[0].parameters.properties.x: expected object, got str"),
    "required is no list of names": (lambda row: bad(row, tools=[{"name": "f", "parameters": {"required": [1]}}]), ":1: $.tools[0].parameters.required: expected names"),
    "enum is no list": (lambda row: bad(row, tools=[{"name": "f", "parameters": {"properties": {"x": {"enum": "a"}}}}]), ":1: $.tools[0].parameters.properties.x.enum: expected array, got str"),
    "bad type of items": (lambda row: bad(row, tools=[{"name": "f", "parameters": {"items": {"type": "INT"}}}]), ":1: $.tools[0].parameters.items.type: not a JSON Schema type: INT"),
    "bad type in a union": (lambda row: bad(row, tools=[{"name": "f", "parameters": {"anyOf": [{}, {"type": ["string", "nul"]}]}}]), ":1: $.tools[0].parameters.anyOf[1].type: not a JSON Schema type: nul\nhint: did you mean null?"),
    "unknown field of a call": (lambda row: bad(row, expected=[[{"name": "show_map", "argumnets": {}}]]), ":1: $.expected[0][0].argumnets: unknown field\nhint: did you mean arguments?"),
    "message is no object": (lambda row: bad(row, messages=["Hi"]), ":1: $.messages[0]: expected object, got str"),
    "content is no text": (lambda row: bad(row, messages=[{"role": "user", "content": 5}]), ":1: $.messages[0].content: expected str, got int"),
    "calls are no list": (lambda row: bad(row, messages=[{"role": "assistant", "tool_calls": {}}]), ":1: $.messages[0].tool_calls: expected array, got object"),
    "call is no object": (lambda row: bad(row, messages=[{"role": "assistant", "tool_calls": [1]}]), ":1: $.messages[0].tool_calls[0].function: expected object, got null"),
    "unknown field beside a function": (lambda row: bad(row, messages=[{"role": "assistant", "tool_calls": [{"functin": {}, "function": {"name": "f"}}]}]), ":1: $.messages[0].tool_calls[0].functin: unknown field\nhint: did you mean function?"),
    "called function's name": (lambda row: bad(row, messages=[{"role": "assistant", "tool_calls": [{"function": {"name": 1}}]}]), ":1: $.messages[0].tool_calls[0].function.name: expected str, got int"),
    "called function's arguments": (lambda row: bad(row, messages=[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[]"}}]}]), ":1: $.messages[0].tool_calls[0].function.arguments: expected object, got array"),
    "optional is no bool": (lambda row: bad(row, expected=[[{"name": "show_map", "arguments": {"query": {"$any": [1], "$optional": 1}}}]]), ":1: $.expected[0][0].arguments.query.$optional: expected bool"),
    "key beside a choice": (lambda row: bad(row, expected=[[{"name": "show_map", "arguments": {"query": {"$any": [1], "any": 1}}}]]), ":1: $.expected[0][0].arguments.query: expected {\"$any\""),
    "optional alone": (lambda row: bad(row, expected=[[{"name": "show_map", "arguments": {"query": {"$optional": True}}}]]), ":1: $.expected[0][0].arguments.query: expected {\"$any\""),
    "choice that is no list": (lambda row: bad(row, expected=[[{"name": "show_map", "arguments": {"query": {"$any": "a"}}}]]), ":1: $.expected[0][0].arguments.query: expected {\"$any\""),
    "bad choice below": (lambda row: bad(row, expected=[[{"name": "show_map", "arguments": {"query": [{"$any": [{"x": {"$any": []}}]}]}}]]), ":1: $.expected[0][0].arguments.query[0].$any[0].x: expected {\"$any\""),
    "answer without a last word": (lambda row: bad(mobile_row(messages=[{"role": "user", "content": "u"}])), ":1: $.messages: the last message must be the assistant's"),
    "no role": (lambda row: bad(row, messages=[{"content": "x"}]), ":1: $.messages[0].role: not a role: None"),
    "cut short": (lambda row: '{"id": "a"', ":1: not JSON: Expecting ',' delimiter at column 11"),
    "duplicate id": (lambda row: f"{json.dumps(row)}\n{json.dumps(row)}", ":2: $.id: 'a' stands in line 1 too"),
    "undeclared function": (
        lambda row: bad(row, expected=[[{"name": "show_mop"}]]),
        ":1: $.expected[0][0].name: no tool declares the function show_mop\nhint: did you mean show_map?",
    ),
    "bad choice": (
        lambda row: bad(row, expected=[[{"name": "show_map", "arguments": {"query": {"$any": []}}}]]),
        ":1: $.expected[0][0].arguments.query: expected {\"$any\": [one or more values]}",
    ),
    "mixed answers": (lambda row: bad(row, expected=[[], *row["expected"]]), ":1: $.expected: an answer without calls"),
    "no answer": (lambda row: bad(row, expected=[]), ":1: $.expected: lists no acceptable answer"),
    "misspelt field": (lambda row: json.dumps({("expcted" if k == "expected" else k): v for k, v in row.items()}), ":1: $.expcted: unknown field\nhint: did you mean expected?"),
    "unknown message field": (
        lambda row: bad(row, messages=[{"role": "user", "contnet": "x"}]),
        ":1: $.messages[0].contnet: unknown field\nhint: did you mean content?",
    ),
    "unknown function field": (
        lambda row: bad({}, **{**mobile_row(), "messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "argumnets": {}}}]}]}),
        ":1: $.messages[0].tool_calls[0].function.argumnets: unknown field\nhint: did you mean arguments?",
    ),
    "wordless user": (lambda row: bad(row, messages=[{"role": "user"}]), ":1: $.messages[0].content: a user message has words"),
    "choice of arguments": (lambda row: bad(row, expected=[[{"name": "show_map", "arguments": {"$any": [{}]}}]]), ":1: $.expected[0][0].arguments: $any and $optional are for"),
    "overflow": (lambda row: bad(row).replace('"Oslo"', "1e999"), ":1: the number 1e999 is too large"),
    "required is no list": (lambda row: bad(row, tools=[{"name": "f", "parameters": {"required": 5}}]), ":1: $.tools[0].parameters.required: expected array, got int"),
    "deep": (lambda row: "[" * 100_000, ":1: nested too deep"),
    "bad role": (lambda row: bad(row, messages=[{"role": "usr"}]), ":1: $.messages[0].role: not a role: usr"),
    "no messages": (lambda row: bad(row, messages=[]), ":1: $.messages: a case needs at least one message"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_one_error_with_file_line_and_path(name, write_lines, case_row):
    build, message = BAD_LINES[name]
    path = write_lines(build(case_row()))
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path):
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"id": "caf\xe9"}\n')
    with pytest.raises(SuiteError, match=r"latin.jsonl:1: not UTF-8 at byte 11"):
        load_suite(path)


def test_a_file_without_a_case_is_an_error(write_lines):
    with pytest.raises(SuiteError, match="no case to evaluate"):
        load_suite(write_lines(mobile_row(metadata="train")))


def test_an_unknown_suite_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean mobile_actions"):
        load_suite("mobile_action")


def test_a_name_cannot_leave_the_suites_folder(tmp_path, monkeypatch, write_lines, case_row):
    write_lines(case_row())
    (tmp_path / "suite.toml").write_text('name = "outside"\n', encoding="utf-8")
    shipped = tmp_path / "suites"
    shipped.mkdir()
    monkeypatch.setattr("fcbench.suite.data_folder", lambda _: shipped)
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere" / "deep")
    assert load_suite(shipped / "..").name == "outside"
    with pytest.raises(SuiteError, match="no such file"):
        load_suite("..")  # a path from here, not from the shipped suites


def test_a_frozen_file_that_was_changed_is_refused(write_lines, case_row, tmp_path):
    write_lines(case_row())
    (tmp_path / "suite.toml").write_text(
        f'name = "x"\ncases_sha256 = "{"0" * 64}"\n', encoding="utf-8"
    )
    with pytest.raises(SuiteError, match="its SHA-256 is not the one in"):
        load_suite(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not TOML"),
        ('licence = "x"', "missing required field name"),
        ('nam = "x"', "nam: unknown field"),
        ('name = "x"\nlicense = "y"', "license: unknown field"),
    ],
)
def test_a_bad_suite_toml_is_one_clear_error(tmp_path, text, message):
    (tmp_path / "suite.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SuiteError, match=message):
        load_suite(tmp_path)


def test_a_hub_dataset_is_read_as_lines_so_that_absent_arguments_stay_absent(tmp_path, monkeypatch):
    folder = tmp_path / "owner" / "data"
    folder.mkdir(parents=True)
    other = mobile_row()
    other["messages"][-1]["tool_calls"][0]["function"]["arguments"] = {"y": "é\u2028"}
    rows = [mobile_row(), mobile_row(metadata="train"), other]
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8"
    )
    monkeypatch.setattr("fcbench.suite._hub.HUB", f"file://{tmp_path}/")
    suite = load_suite("hf:owner/data")
    assert [case.id for case in suite.cases] == ["rows:1", "rows:3"]
    assert [case.expected[0][0].arguments for case in suite.cases] == [{"x": 1}, {"y": "é\u2028"}]
    assert suite.name == "data"


def test_a_hub_dataset_of_several_files_is_read_whole_without_its_training_file(
    tmp_path, monkeypatch
):
    rows = {"a/rows.jsonl": mobile_row(), "b/rows.jsonl": mobile_row(), "train.jsonl": mobile_row()}
    for name, row in rows.items():
        file = tmp_path / "owner" / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        del row["metadata"]
        file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    monkeypatch.setattr("fcbench.suite._hub.HUB", f"file://{tmp_path}/")
    assert [case.id for case in load_suite("hf:owner/data").cases] == ["a/rows:1", "b/rows:1"]


def test_a_hub_that_cannot_be_reached_is_a_suite_error():
    with pytest.raises(SuiteError, match="cannot be read from the hub"):
        load_suite("hf:google/mobile-actions")


def test_an_argument_whose_absence_alone_is_right_accepts_no_value(write_lines, case_row):
    never = {"$any": [], "$optional": True}
    answer = [{"name": "show_map", "arguments": {"query": never}}]
    (case,) = load_suite(write_lines(case_row(expected=[answer]))).cases
    assert case.expected[0][0].arguments == {"query": never}
    for half in ({"$any": []}, {"$any": [], "$optional": False}):
        answer[0]["arguments"]["query"] = half
        with pytest.raises(SuiteError, match="one or more values"):
            load_suite(write_lines(case_row(expected=[answer])))


def test_blank_lines_are_counted_and_not_read(write_lines, case_row):
    path = write_lines("", case_row(), "  ", "[]")
    with pytest.raises(SuiteError, match=r":4: \$: expected object, got array"):
        load_suite(path)


def test_a_row_in_the_mobile_actions_schema_may_say_its_id_tags_and_order(write_lines):
    plain = mobile_row(tools=[{"function": {"name": "f", "description": None}}])
    rows = mobile_row(id="own", tags=["x"], ordered=False), plain, mobile_row(ordered=True)
    first, second, _ = load_suite(write_lines(*rows)).cases
    assert (first.id, first.tags, first.ordered) == ("own", ("x",), False)
    assert (second.id, second.tags, second.ordered) == ("cases:2", (), True)
    assert (second.tools[0].description, second.tools[0].parameters) == ("", {})


def test_the_order_of_a_suite_is_that_of_the_rows_that_do_not_say_theirs(
    write_lines, case_row, tmp_path
):
    write_lines(case_row(), case_row(id="b", ordered=False), mobile_row(ordered=False))
    (tmp_path / "suite.toml").write_text('name = "mine"\nordered = true\n', encoding="utf-8")
    assert [case.ordered for case in load_suite(tmp_path).cases] == [True, False, False]


def test_two_files_may_not_have_one_id(tmp_path, monkeypatch, case_row):
    folder = tmp_path / "owner" / "data"
    folder.mkdir(parents=True)
    for name in ("a.jsonl", "b.jsonl"):
        (folder / name).write_text(json.dumps(case_row()) + "\n", encoding="utf-8")
    monkeypatch.setattr("fcbench.suite._hub.HUB", f"file://{tmp_path}/")
    with pytest.raises(SuiteError, match=r"\$.id: 'a' stands in two files"):
        load_suite("hf:owner/data")


def test_nulls_in_messages_tools_and_schemas_are_absent(write_lines, case_row):
    schema = {"type": ["STRING", "NULL"], "description": None, "items": None, "properties": {"x": {"enum": None, "oneOf": [{"type": "Number"}]}}}  # fmt: skip
    tool = {"name": "show_map", "parameters": schema, "description": None, "strict": None}
    (case,) = load_suite(
        write_lines(
            case_row(tools=[tool], messages=[{"role": "user", "content": "u", "name": None}])
        )
    ).cases
    assert case.messages == [{"role": "user", "content": "u"}]
    assert case.tools[0].parameters == {
        "type": ["string", "null"],
        "properties": {"x": {"oneOf": [{"type": "number"}]}},
    }


def test_earlier_calls_of_a_conversation_have_objects_and_say_that_they_are_functions(
    write_lines, case_row
):
    called = {"id": "1", "function": {"name": "show_map", "arguments": '{"query": "Oslo"}'}}
    bare = {"function": {"name": "show_map"}}
    messages = [
        {"role": "user", "content": "u"},
        {"role": "assistant", "tool_calls": [called, bare]},
        {"role": "user", "content": "v"},
    ]
    (case,) = load_suite(write_lines(case_row(messages=messages))).cases
    assert case.messages[1]["tool_calls"] == [
        {"id": "1", "type": "function", "function": {"name": "show_map", "arguments": {"query": "Oslo"}}},
        {"type": "function", "function": {"name": "show_map", "arguments": {}}},
    ]  # fmt: skip
