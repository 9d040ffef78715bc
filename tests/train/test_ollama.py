"""Ollama's template writes the prompt of training, rendered by Go with structs like Ollama's."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fcbench import load_suite, prompts
from fcbench.formats.functiongemma import TRIGGER
from fcbench.prompts._case_text import openai_tools
from fcbench.train import _ollama

HERE = Path(__file__).parent
needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")
FLAT = ("mobile_actions", "original_experiment", "parallel", "selection")
# Of the templates that the tests below were last run with. Whoever changes one needs Go.
RENDERED = {
    "functiongemma": "b4696e578c2218d9fee35477fdc093df83542dede95c250a76ac4fecf250df05",
    "hermes": "a8e374b11f0ea9ed30defc83f64923de8301cbbc54e950040245525e80d887f9",
}


@pytest.mark.parametrize("format", RENDERED)
def test_the_template_is_the_one_that_go_has_rendered(format):
    assert hashlib.sha256(_ollama.template(format).encode()).hexdigest() == RENDERED[format]


def render(source, asked, tmp_path):
    """Return what Ollama would send for each request of /api/chat."""
    (tmp_path / "template").write_text(source, encoding="utf-8")
    done = subprocess.run(
        ["go", "run", str(HERE / "render.go"), str(tmp_path / "template")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def chat(case):
    """Return a case as a request of /api/chat."""
    names = {}
    messages = []
    for message in case.messages:
        role = "system" if message["role"] == "developer" else message["role"]
        names |= {
            call["id"]: call["function"]["name"]
            for call in message.get("tool_calls") or []
            if "id" in call
        }
        name = message.get("name") or names.get(message.get("tool_call_id"), "")
        messages.append({**message, "role": role, "tool_name": name})
    return {"messages": messages, "tools": openai_tools(case)}


def cases_of(rows, tmp_path):
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return load_suite(str(path)).cases


def asked_of(cases, style=None):
    """Return what fcbench asks, without the bos that llama.cpp adds."""
    requests = prompts.requests(cases, "chat", style or prompts.Style())
    return [request.prompt.removeprefix("<bos>") for request in requests]


@needs_go
@pytest.mark.parametrize("suite", FLAT)
def test_ollama_sends_the_chat_prompt_character_for_character(suite, tmp_path):
    cases = load_suite(suite).cases
    rendered = render(_ollama.template("functiongemma"), list(map(chat, cases)), tmp_path)
    assert rendered == asked_of(cases)


@needs_go
def test_where_ollama_sends_another_prompt_it_is_for_a_reason_that_is_told(tmp_path):
    """Reasons: an object's properties, upper case first, a result that is JSON."""

    def names(schema):
        own = schema.get("properties") or {}
        yield list(own)
        for part in (*own.values(), schema.get("items")):
            yield from names(part) if part else ()

    def told(case):
        schemas = [tool.parameters for tool in case.tools]
        nested = any(
            "properties" in property
            for schema in schemas
            for property in (schema.get("properties") or {}).values()
        )
        lists = [some for schema in schemas for some in names(schema)]
        unsorted = any(sorted(some) != sorted(some, key=str.lower) for some in lists)
        results = [m["content"] for m in case.messages if m["role"] == "tool"]
        return nested or unsorted or any(text.startswith(("{", "[")) for text in results)

    suites = ("types", "multi_turn", "syntax_stress", "abstain")
    cases = [case for suite in suites for case in load_suite(suite).cases]
    rendered = render(_ollama.template("functiongemma"), list(map(chat, cases)), tmp_path)
    pairs = zip(cases, rendered, asked_of(cases), strict=True)
    differ = [case.id for case, ollama, ours in pairs if ollama != ours and not told(case)]
    assert differ == []


@needs_go
def test_conversations_without_a_system_message_and_with_calls_are_the_same(case_row, tmp_path):
    user = {"role": "user", "content": "Show me Oslo."}
    arguments = {"a": ["x", 1, True, None], "b": {"c": 1.5}, "query": "Oslo"}
    call = {"type": "function", "function": {"name": "show_map", "arguments": arguments}}
    calls = {"role": "assistant", "tool_calls": [call, call]}
    result = {"role": "tool", "name": "show_map", "content": "shown"}
    answer = {"role": "assistant", "content": "There it is."}
    again = {"role": "user", "content": "And Rome?"}
    conversations = [
        [user],
        [{"role": "developer", "content": "  \n Be brief.\n\n"}, user],
        [{"role": "developer", "content": f"Today.\n{TRIGGER}\nÅ."}, user],
        [user, calls],
        [user, calls, result, result],
        [user, calls, result, result, answer, again],
        [user, calls, result, result, again],
    ]
    rows = [case_row(id=str(i), messages=m) for i, m in enumerate(conversations)]
    cases = cases_of(rows, tmp_path)
    rendered = render(_ollama.template("functiongemma"), list(map(chat, cases)), tmp_path)
    assert rendered == asked_of(cases)


ITEMS = [
    {"type": ["string", "null"]},
    {"type": ["null"]},
    {},
    {"type": "string", "enum": ["a", "b"]},
    {"type": "array", "items": {"type": "array", "items": {"type": ["null", "integer"]}}},
    {"items": {"type": "number"}},
    {"type": "object"},
    {
        "properties": {
            "a": {"type": "string", "enum": ["x", "y"], "description": "One."},
            "b": {"type": "array", "items": {"type": "object", "properties": {"c": {}}}},
            "d": {"enum": ["z"]},
            "e": {"type": ["null", "string"], "enum": ["z"]},
            "f": {"type": "integer", "enum": [1]},
        },
        "required": ["b", "a"],
    },
]


@needs_go
def test_what_an_array_holds_is_declared_as_in_training(case_row, tmp_path):
    wanted = [{"type": "array", "items": items, "description": "D."} for items in ITEMS]
    wanted += [{"type": ["null"]}, {"items": {"type": "string"}}, {"type": ["null", "boolean"]}]
    rows = []
    for i, schema in enumerate(wanted):
        parameters = {"type": "object", "properties": {"p": schema}}
        rows.append(
            case_row(id=str(i), tools=[{"name": "f", "parameters": parameters}], expected=[[]])
        )
    cases = cases_of(rows, tmp_path)
    rendered = render(_ollama.template("functiongemma"), list(map(chat, cases)), tmp_path)
    for ollama, ours in zip(rendered, asked_of(cases), strict=True):
        assert ollama == ours


@needs_go
def test_numbers_of_earlier_calls_differ_as_is_told(case_row, tmp_path):
    arguments = {"a": 1.0, "b": 2**53 + 1, "c": 10**21, "d": 1e-05, "e": 3, "f": 1.5, "g": -(2**53)}
    call = {"type": "function", "function": {"name": "show_map", "arguments": arguments}}
    messages = [{"role": "user", "content": "Go."}, {"role": "assistant", "tool_calls": [call]}]
    cases = cases_of([case_row(messages=messages)], tmp_path)
    (ollama,) = render(_ollama.template("functiongemma"), list(map(chat, cases)), tmp_path)
    (ours,) = asked_of(cases)
    same = "e:3,f:1.5,g:-9007199254740992}"
    theirs = f"a:1,b:9007199254740992,c:1e+21,d:0.00001,{same}"
    assert ours.replace(f"a:1.0,b:9007199254740993,c:{10**21},d:1e-05,{same}", theirs) == ollama
    assert theirs in ollama


KEPT = ("type", "enum", "items", "description")


def is_plain(case):
    """Whether a case's tools and calls are such as Go writes them as Python does."""
    declared = [tool.parameters.get("properties") or {} for tool in case.tools]
    calls = [c for m in case.messages for c in m.get("tool_calls") or []]
    objects = [*declared, *(call["function"]["arguments"] for call in calls)]
    schemas = [schema for properties in declared for schema in properties.values()]
    text = json.dumps([openai_tools(case), calls])
    return (
        all(list(some) == sorted(some) for some in objects)
        and all(list(s) == [key for key in KEPT if key in s] for s in schemas)
        and not set("<>&") & set(text)
        and ".0" not in text
    )


@needs_go
def test_ollama_sends_the_prompt_of_the_projects_hermes_template(case_row, tmp_path):
    suites = ("mobile_actions", "parallel", "selection", "multi_turn")
    cases = [case for suite in suites for case in load_suite(suite).cases if is_plain(case)]
    call = {
        "type": "function",
        "function": {"name": "show_map", "arguments": {"a": [1, {"b": None}]}},
    }
    conversation = [
        {"role": "system", "content": " Be brief.\n"},
        {"role": "user", "content": "Show me Oslo."},
        {"role": "assistant", "content": "Gladly.", "tool_calls": [call, call]},
        {"role": "tool", "content": "shown", "name": "show_map"},
        {"role": "tool", "content": '{"shown": 2}', "name": "show_map"},
        {"role": "assistant", "content": "There it is."},
        {"role": "user", "content": "And Rome?"},
    ]
    rows = [case_row(messages=conversation), case_row(id="b", tools=[], expected=[[]])]
    cases += cases_of(rows, tmp_path)
    assert len(cases) > 40
    assert sum("tool_calls" in str(case.messages) for case in cases) > 5
    rendered = render(_ollama.template("hermes"), list(map(chat, cases)), tmp_path)
    for ollama, ours in zip(
        rendered, asked_of(cases, prompts.Style("hermes", bos="")), strict=True
    ):
        assert ollama == ours
