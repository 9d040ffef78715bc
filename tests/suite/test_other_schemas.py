"""Rows of other people's data: xLAM's and OpenAI's."""

import json

import pytest

import fcbench
from fcbench import Call, load_suite
from fcbench.errors import SuiteError
from fcbench.lint import lint
from fcbench.suite._xlam import schema_of


def xlam_row(**fields):
    tools = [
        {
            "name": "ferry_times",
            "description": "Departures of a ferry.",
            "parameters": {
                "port": {"description": "The port.", "type": "str"},
                "days": {"description": "How many days.", "type": "int, optional"},
                "sort": {"description": "The order.", "type": "str", "default": "time"},
                "legs": {"description": "Legs.", "type": "List[List[float]], optional"},
                "filter": {"description": "A function.", "type": "Callable, optional"},
            },
        }
    ]
    answers = [{"name": "ferry_times", "arguments": {"port": "Bodø", "days": 2}}]
    row = {
        "id": 7,
        "query": "Ferries from Bodø for 2 days?",
        "answers": json.dumps(answers),
        "tools": json.dumps(tools),
    }
    return {**row, **fields}


def openai_row(**fields):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "ferry_times", "arguments": '{"port": "Bodø"}'},
    }
    schema = {
        "type": "object",
        "properties": {"port": {"type": "string"}},
        "required": ["port"],
        "additionalProperties": False,
    }
    row = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Ferries from "},
                    {"type": "text", "text": "Bodø?"},
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": [call], "weight": 1},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "ferry_times",
                    "description": "Ferries.",
                    "parameters": schema,
                    "strict": True,
                },
            }
        ],
        "parallel_tool_calls": False,
    }
    return {**row, **fields}


def test_an_xlam_row_is_a_case(write_lines):
    (case,) = load_suite(write_lines(xlam_row())).cases
    assert (case.id, case.ordered) == ("7", False)
    assert case.messages == [{"role": "user", "content": "Ferries from Bodø for 2 days?"}]
    assert case.expected == [[Call("ferry_times", {"port": "Bodø", "days": 2})]]
    parameters = case.tools[0].parameters
    assert parameters["required"] == ["port"]
    properties = parameters["properties"]
    assert {name: found.get("type") for name, found in properties.items()} == {
        "port": "string", "days": "integer", "sort": "string", "legs": "array", "filter": None,
    }  # fmt: skip
    assert properties["legs"]["items"] == {"type": "array", "items": {"type": "number"}}
    assert properties["sort"]["default"] == "time"


def test_an_xlam_file_may_be_an_array_and_hold_json_unquoted(tmp_path):
    row = xlam_row()
    row |= {name: json.loads(row[name]) for name in ("answers", "tools")}
    path = tmp_path / "xlam.json"
    path.write_text(json.dumps([xlam_row(), {**row, "id": 8}], indent=1))
    first, second = load_suite(path).cases
    assert (first.id, second.id) == ("7", "8")
    assert first.tools == second.tools
    assert first.expected == second.expected


@pytest.mark.parametrize(
    ("written", "schema"),
    [
        ("str", {"type": "string"}),
        ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("list", {"type": "array"}),
        (
            "List[Tuple[int, int]]",
            {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        ),
        ("Tuple[int, str]", {"type": "array"}),
        ("tuple[Tuple[int, str], Tuple[int, str]]", {"type": "array", "items": {"type": "array"}}),
        ("List[Callable]", {"type": "array"}),
        ("Dict[str, Callable]", {"type": "object"}),
        ("Dict[str]", {"type": "object"}),
        ("Dict", {"type": "object"}),
        ("List[]", {"type": "array"}),
        ("Set[ int ]", {"type": "array", "items": {"type": "integer"}}),
        (" INT ", {"type": "integer"}),
        ("None", {"type": "null"}),
        ("List[int,\n str]", {"type": "array", "items": {"type": "integer"}}),
        ("Optional[int, str]", {}),
        ("Optional", {}),
        (
            "Union[int, List[str]]",
            {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]},
        ),
        ("Union[int, Callable]", {}),
        (
            "Dict[str, Dict[str, int]]",
            {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": {"type": "integer"},
                },
            },
        ),
        ("Optional[Set[str]]", {"type": "array", "items": {"type": "string"}}),
        ("np.ndarray", {}),
        ("", {}),
        ("List[", {}),
    ],
)
def test_python_types_are_json_schemas(written, schema):
    assert schema_of(written) == schema


def test_an_openai_row_is_a_case(write_lines):
    (case,) = load_suite(write_lines(openai_row(), name="tuning.jsonl")).cases
    assert (case.id, case.ordered) == ("tuning:1", False)
    assert [m["content"] for m in case.messages] == ["Be brief.", "Ferries from Bodø?"]
    assert case.expected == [[Call("ferry_times", {"port": "Bodø"})]]
    assert case.tools[0].parameters["additionalProperties"] is False


def test_an_openai_row_without_calls_expects_none_and_keeps_its_history(write_lines):
    asked, told = (
        openai_row()["messages"][2],
        {"role": "tool", "tool_call_id": "call_1", "content": "[]"},
    )
    answer = {"role": "assistant", "content": "There are none."}
    messages = [*openai_row()["messages"][:2], asked, told, answer]
    (case,) = load_suite(write_lines(openai_row(messages=messages))).cases
    assert case.expected == [[]]
    assert [m["role"] for m in case.messages] == ["system", "user", "assistant", "tool"]
    assert case.messages[2]["tool_calls"][0]["function"]["arguments"] == {"port": "Bodø"}


@pytest.mark.parametrize("row", [xlam_row(), openai_row()])
def test_rows_of_both_can_be_satisfied(write_lines, row):
    suite = load_suite(write_lines(row))
    assert [f for f in lint(suite) if f.is_error] == []
    right = {case.id: fcbench.render(case.expected[0]) for case in suite.cases}
    assert fcbench.score(right, suite=suite).metrics["argument_exact_match"].value == 1


BAD = {
    "xlam answers": (xlam_row(answers="[{"), "$.answers: not JSON"),
    "xlam answers no list": (xlam_row(answers='{"name": "f"}'), "$.answers: expected array, got object"),
    "xlam answer without a name": (xlam_row(answers=[{"arguments": {}}]), "$.answers[0]: expected an object with name"),
    "xlam arguments": (xlam_row(answers=[{"name": "ferry_times", "arguments": []}]), "$.answers[0].arguments: expected object, got array"),
    "xlam answer's name": (xlam_row(answers=[{"name": 1}]), "$.answers[0]: expected an object with name"),
    "xlam answer": (xlam_row(answers=[{"name": "ferry_times"}, "x"]), "$.answers[1]: expected an object with name"),
    "xlam tools": (xlam_row(tools="{}"), "$.tools: expected array, got object"),
    "xlam tool": (xlam_row(tools=["x"]), "$.tools[0]: expected object, got str"),
    "xlam second parameter": (xlam_row(tools=[{"name": "f"}, {"name": "g", "parameters": {"x": 1}}]), "$.tools[1].parameters.x: expected object, got int"),
    "xlam query": (xlam_row(query=1), "$.query: expected str, got int"),
    "openai unknown field": (openai_row(tolls=[]), "$.tolls: unknown field\nhint: did you mean tools?"),
    "openai text": (openai_row(messages=[{"role": "user", "content": [{"type": "text", "text": 1}]}]), "$.messages[0].content: only parts of type text"),
    "openai part": (openai_row(messages=[{"role": "user", "content": "x"}, {"role": "user", "content": ["x"]}]), "$.messages[1].content: only parts of type text"),
    "xlam undeclared function": (xlam_row(answers=[{"name": "ferry_time", "arguments": {}}]), "$.expected[0][0].name: no tool declares"),
    "xlam parameter": (xlam_row(tools=[{"name": "f", "parameters": {"x": "str"}}]), "$.tools[0].parameters.x: expected object"),
    "xlam unknown field": (xlam_row(queries="x"), "$.queries: unknown field"),
    "openai arguments": (
        openai_row(messages=[{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "ferry_times", "arguments": "{"}}]}]),
        "$.messages[1].tool_calls[0].function.arguments: not JSON",
    ),
    "openai image": (openai_row(messages=[{"role": "user", "content": [{"type": "image_url"}]}, {"role": "assistant", "content": "x"}]), "$.messages[0].content: only parts of type text"),
    "openai functions": (openai_row(functions=[]), "$.functions: deprecated"),
    "openai function_call": (openai_row(messages=[{"role": "assistant", "function_call": {}}]), "$.messages[0].function_call: deprecated"),
    "openai weight": (
        openai_row(messages=[{"role": "user", "content": "x"}, {"role": "assistant", "content": "x", "weight": 0}]),
        "$.messages[1].weight: 0: the answer is not to be learned\nhint: leave the row out",
    ),
    "openai no answer": (openai_row(messages=[{"role": "user", "content": "x"}]), "$.messages: the last message must be the assistant's"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_one_error_with_file_line_and_path(write_lines, name):
    row, message = BAD[name]
    path = write_lines(row)
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    assert str(caught.value).startswith(f"{path}:1: {message}")


def test_an_array_that_is_cut_off_is_one_error(tmp_path):
    path = tmp_path / "xlam.json"
    path.write_text(json.dumps([xlam_row()])[:-1])
    with pytest.raises(SuiteError, match="not JSON"):
        load_suite(path)


def test_an_xlam_row_without_an_id_is_named_by_its_line_and_may_be_in_order(write_lines, tmp_path):
    row = xlam_row()
    del row["id"]
    write_lines(xlam_row(id="own"), row, openai_row())
    (tmp_path / "suite.toml").write_text('name = "mine"\nordered = true\n', encoding="utf-8")
    cases = load_suite(tmp_path).cases
    assert [case.id for case in cases] == ["own", "cases:2", "cases:3"]
    assert all(case.ordered for case in cases)


def test_an_xlam_tool_with_a_schema_or_without_parameters_is_left_as_it_is(write_lines):
    schema = {"type": "object", "properties": {"port": {"type": "string"}}}
    tools = [{"name": "ferry_times", "parameters": schema}, {"name": "bare"}]
    answers = [{"name": "bare"}]
    (case,) = load_suite(write_lines(xlam_row(tools=tools, answers=answers))).cases
    assert [tool.parameters for tool in case.tools] == [schema, {}]
    assert case.expected == [[Call("bare", {})]]


def test_an_xlam_argument_is_required_unless_its_type_or_a_default_says_otherwise(write_lines):
    parameters = {
        "a": {"type": "str"},
        "b": {"type": "Optional[int]"},
        "c": {"type": "int, optional"},
        "d": {"type": "int", "default": None},
        "e": {},
        "f": {"type": "Callable"},
    }
    tools = [{"name": "f", "parameters": parameters}]
    (case,) = load_suite(write_lines(xlam_row(tools=tools, answers=[]))).cases
    assert case.tools[0].parameters["required"] == ["a", "e", "f"]
    assert case.tools[0].parameters["properties"]["b"] == {"type": "integer"}
    assert case.tools[0].parameters["properties"]["f"] == {}
    assert case.expected == [[]]


def test_a_row_says_by_its_fields_whose_schema_it_has(write_lines):
    tool, called = openai_row()["tools"], openai_row()["messages"][-1]["tool_calls"]
    user, answer = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
    bare_tools = [t["function"] for t in tool]
    bare_calls = [{"function": c["function"]} for c in called]
    of_openai = [
        {"messages": [user, answer], "parallel_tool_calls": True},
        {"messages": [user, answer], "tools": tool},
        {"messages": [user, {"role": "assistant", "tool_calls": called}], "tools": bare_tools},
        {"messages": [{**user, "weight": 1}, answer], "tools": tool},
    ]
    of_google = [
        {"messages": [user, answer], "tools": bare_tools},
        {"messages": [user, {"role": "assistant", "tool_calls": bare_calls}], "tools": bare_tools},
        *({"messages": [user, answer], "tools": tool, name: value} for name, value in
          (("id", "a"), ("metadata", "eval"), ("tags", ["x"]), ("ordered", True))),
    ]  # fmt: skip
    # OpenAI's calls come in any order, Google's in theirs.
    assert not any(case.ordered for case in load_suite(write_lines(*of_openai)).cases)
    cases = load_suite(write_lines(*of_google)).cases
    assert len(cases) == len(of_google)
    assert all(case.ordered for case in cases)


def test_a_suite_may_say_the_schema_that_its_rows_do_not(write_lines, tmp_path):
    user, answer = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
    write_lines({"messages": [user, answer]})
    toml = tmp_path / "suite.toml"
    for schema, ordered in (("openai", False), ("mobile-actions", True)):
        toml.write_text(f'name = "mine"\nschema = "{schema}"\n', encoding="utf-8")
        (case,) = load_suite(tmp_path).cases
        assert case.ordered is ordered
    toml.write_text('name = "mine"\nschema = "xlam"\n', encoding="utf-8")
    with pytest.raises(SuiteError, match=r"messages: unknown field"):
        load_suite(tmp_path)


def test_a_file_named_json_may_still_hold_lines(tmp_path):
    path = tmp_path / "xlam.json"
    path.write_text(f"\n{json.dumps(xlam_row())}\n{json.dumps(xlam_row(id=8))}\n")
    assert [case.id for case in load_suite(path).cases] == ["7", "8"]
    path.write_text(f" {json.dumps([xlam_row(), 5])}")
    with pytest.raises(SuiteError, match=r"xlam.json:2: \$: expected object, got int"):
        load_suite(path)
    path.write_text(json.dumps([xlam_row(), xlam_row()]))
    with pytest.raises(SuiteError, match=r"xlam.json:2: \$.id: '7' stands in line 1 too"):
        load_suite(path)
