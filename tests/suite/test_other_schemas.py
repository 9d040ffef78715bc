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
