"""FunctionGemma's wire format: calls, declarations, responses and whole prompts.

Source: Google's FunctionGemma formatting guide and the chat template of
google/functiongemma-270m-it. The strict language is grammars/functiongemma.lark.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fcbench.formats._braces import Builder, Renderer
from fcbench.formats._braces_quick import quick_reader
from fcbench.formats._braces_wire import BracesWire
from fcbench.types import Call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.types import Json, Tool

__all__ = ["Builder", "quick_reader"]  # which parse finds here

BOS = "<bos>"
START_OF_TURN = "<start_of_turn>"
END_OF_TURN = "<end_of_turn>"
START_CALL = "<start_function_call>"
END_CALL = "<end_function_call>"
START_DECLARATION = "<start_function_declaration>"
END_DECLARATION = "<end_function_declaration>"
START_RESPONSE = "<start_function_response>"
END_RESPONSE = "<end_function_response>"
ESCAPE = "<escape>"

TRIGGER = "You are a model that can do function calling with the following functions"
"""The sentence that the developer turn must hold for the model to call functions."""

STOP_TOKENS = ("<eos>", END_OF_TURN, START_RESPONSE)
"""Generation stops at these. END_CALL is not one of them: it would cut parallel calls."""

END_OF_CALLS, END_OF_WORDS = START_RESPONSE, END_OF_TURN
"""What ends a turn of calls, and a turn of words: the last token that training writes."""

CONTROL_TOKEN_IDS: Mapping[str, int] = {
    "<pad>": 0,
    "<eos>": 1,
    BOS: 2,
    START_DECLARATION: 46,
    END_DECLARATION: 47,
    START_CALL: 48,
    END_CALL: 49,
    START_RESPONSE: 50,
    END_RESPONSE: 51,
    ESCAPE: 52,
    START_OF_TURN: 105,
    END_OF_TURN: 106,
}

WIRE = BracesWire(
    start=START_CALL,
    end=END_CALL,
    quote=ESCAPE,
    declaration=START_DECLARATION,
    prefix="call:",
    stops=STOP_TOKENS,
    controls=tuple(CONTROL_TOKEN_IDS),
    padding=("<pad>", BOS),
    openers=(START_CALL, END_CALL, START_DECLARATION, END_DECLARATION, ESCAPE),
)

RENDERER = Renderer(WIRE)


def detect(chat_template: str) -> bool:
    """Whether a chat template writes calls in this format."""
    return START_CALL in chat_template


def render(calls: Sequence[Call]) -> str:
    """Return the wire text of calls, keys sorted as the template sorts them, without a stop token.

    Raises FormatError with the JSON path for what the strict grammar cannot express: no call at
    all, a name or key with a reserved character, a control token inside a string, a number that
    is not finite, nesting deeper than 64, and values that are not JSON.
    """
    return "".join(RENDERER.each(calls))


def render_by_hand(calls: Sequence[Call]) -> str:
    """Return calls as the original experiment's training text had them, which is malformed.

    Newlines stand around what is between the tokens and between the calls, a blank after each
    comma, and arguments in the order that they were given. FormatError as render has it.
    """
    render(calls)  # what cannot be written at all cannot be by hand
    return "\n".join(f"{START_CALL}\n{_body_by_hand(call)}\n{END_CALL}" for call in calls)


def _body_by_hand(call: Call) -> str:
    pairs = (f"{key}:{RENDERER.value(value)}" for key, value in call.arguments.items())
    return f"call:{call.name}{{{', '.join(pairs)}}}"


# Tools and messages -> prompt


def render_declaration(tool: Tool) -> str:
    """Return the declaration of a tool, as the developer turn holds it."""
    return (
        f"{START_DECLARATION}declaration:{tool.name}{{description:{_quoted(tool.description)}"
        f",parameters:{{{','.join(_schema_parts(tool.parameters, 'object'))}}}}}"
        f"{END_DECLARATION}"
    )


def _quoted(text: str) -> str:
    return f"{ESCAPE}{text}{ESCAPE}"


def _schema_parts(schema: Mapping[str, Json], kind: str) -> list[str]:
    """Return what a schema of a type declares, in the template's order; the type comes last."""
    parts = []
    if kind == "object":
        properties = schema.get("properties") or {}
        if properties:
            rendered = (
                f"{key}:{_property(properties[key])}" for key in sorted(properties, key=str.lower)
            )
            parts.append(f"properties:{{{','.join(rendered)}}}")
        if schema.get("required"):
            parts.append(f"required:[{','.join(map(_quoted, schema['required']))}]")
    if kind == "array" and schema.get("items"):
        items = schema["items"]
        parts.append(f"items:{{{','.join(_schema_parts(items, type_of(items)))}}}")
    return [*parts, f"type:{_quoted(kind.upper())}"]


def type_of(schema: Mapping[str, Json]) -> str:
    """Return the one type that the wire format has room for.

    Of a list of types the first that is not null; without any, what the schema's other keywords
    imply, or string.
    """
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def _property(schema: Mapping[str, Json]) -> str:
    kind = type_of(schema)
    parts = [f"description:{_quoted(schema.get('description', ''))}"]
    if kind == "string" and schema.get("enum"):
        parts.append(f"enum:[{','.join(_quoted(str(value)) for value in schema['enum'])}]")
    return f"{{{','.join([*parts, *_schema_parts(schema, kind)])}}}"


def render_response(name: str, result: Json) -> str:
    """Return the wire text of a function's result; a result that is no object is {value:…}."""
    value = result if isinstance(result, dict) else {"value": result}
    return f"{START_RESPONSE}response:{name}{RENDERER.value(value)}{END_RESPONSE}"


def render_turn(role: str, text: str) -> str:
    """Return one whole turn; the assistant is called model."""
    return f"{open_turn(role)}{text}{END_OF_TURN}\n"


def open_turn(role: str) -> str:
    """Return the beginning of a turn."""
    return f"{START_OF_TURN}{'model' if role == 'assistant' else role}\n"


def render_prompt(messages: Sequence[Mapping[str, Json]], tools: Sequence[Tool]) -> str:
    """Return the prompt of a conversation, assembled from the format's definition.

    `messages` come from prepare_messages. This is the reference that the project's chat template
    must equal. A model's turn goes on through its calls and their responses until it answers in
    words; a conversation that ends with calls ends with the token that the responses begin with.
    """
    first, *rest = messages
    developer = str(first.get("content") or "").strip()
    text = BOS + render_turn("developer", developer + "".join(map(render_declaration, tools)))
    speaking = False
    for message in rest:
        role = message["role"]
        if role == "tool":
            text += render_response(message["name"], message["content"])
            speaking = True
            continue
        if speaking and role != "assistant":
            text += f"{END_OF_TURN}\n"
        if not (speaking and role == "assistant"):
            text += open_turn(role)
        calls = [_called(call) for call in message.get("tool_calls") or []]
        text += str(message.get("content") or "") + (render(calls) if calls else "")
        speaking = bool(calls)
        if not speaking:
            text += f"{END_OF_TURN}\n"
    if speaking:
        return text if rest[-1]["role"] == "tool" else text + START_RESPONSE
    return text + open_turn("assistant")


def _called(call: Mapping[str, Json]) -> Call:
    return Call(call["function"]["name"], call["function"].get("arguments") or {})


def prepare_messages(messages: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Return messages as the format's template wants them.

    There always is a developer turn that holds the trigger sentence, because templates in the
    wild differ when none is given; a system message becomes it. Tool messages name their
    function and carry a result that is a JSON object or array as such.
    """
    prepared = _with_trigger(messages)
    called: dict[str, str] = {}
    waiting: list[str] = []
    for message in prepared:
        for call in message.get("tool_calls") or []:
            waiting.append(call["function"]["name"])
            if "id" in call:
                called[call["id"]] = call["function"]["name"]
        if message["role"] == "tool":
            in_order = waiting.pop(0) if waiting else ""
            by_id = called.get(message.get("tool_call_id", ""))
            message["name"] = message.get("name") or by_id or in_order
            message["content"] = _result(message.get("content") or "")
    return prepared


def _result(content: str) -> Json:
    try:
        value = json.loads(content)
    except json.JSONDecodeError:
        return content
    # A bare number or string that happens to be JSON stays the text that it was.
    return value if isinstance(value, dict | list) else content


def _with_trigger(messages: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    copied = [dict(message) for message in messages]
    if not copied or copied[0]["role"] not in ("developer", "system"):
        return [{"role": "developer", "content": TRIGGER}, *copied]
    copied[0]["role"] = "developer"
    text = str(copied[0].get("content") or "").strip()
    if TRIGGER not in text:
        copied[0]["content"] = f"{text}\n{TRIGGER}" if text else TRIGGER
    return copied
