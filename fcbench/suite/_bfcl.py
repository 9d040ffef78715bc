"""The Python categories of the Berkeley Function Calling Leaderboard v4 -> cases.

Source: bfcl-eval 2026.3.23, its files BFCL_v4_*.json and possible_answer/, Apache-2.0.

Types have JSON Schema's names (dict is object, float number, tuple array, and any no type), and
descriptions stay as the files have them: BFCL's own harness adds a sentence on Python to each. An
argument's possible answers become {"$any": [...]}, with "$optional" for the "" among them; so do
those of an object's keys, where the argument is an object or an array of objects. Whatever lies
deeper is a plain value, as in BFCL's rules. An argument without a possible answer is
{"$any": []}, which nothing meets.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from fcbench.errors import SuiteError, UsageError, nearest
from fcbench.suite._checks import check_messages
from fcbench.suite._lines import Fault, convert, decode, json_type, lines, located_in
from fcbench.suite._messages import read_message
from fcbench.text import show
from fcbench.types import Call, Case, Tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fcbench.suite._bfcl_files import Files
    from fcbench.types import Json

NAME = "bfcl"
LICENCE = "Apache-2.0"
DESCRIPTION = "Berkeley Function Calling Leaderboard v4, Python"
# What is expected where there is no file of possible answers.
_UNANSWERED: Mapping[str, list[list[Call]]] = {
    "irrelevance": [[]],
    "live_irrelevance": [[]],
    "live_relevance": [],  # some call, and nobody said which
}
ANSWERED = (
    *("simple_python", "multiple", "parallel", "parallel_multiple"),
    *("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple"),
)
CATEGORIES = (*ANSWERED, *_UNANSWERED)
_TYPES: Mapping[str, str | None] = {
    "dict": "object",
    "array": "array",
    "tuple": "array",
    "string": "string",
    "integer": "integer",
    "float": "number",
    "boolean": "boolean",
    "any": None,
}


class _Question(msgspec.Struct, forbid_unknown_fields=True):
    """A line of BFCL_v4_CATEGORY.json. `question` has turns, here one, of messages."""

    id: str
    question: list[list[dict[str, Any]]]
    function: list[dict[str, Any]]


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    """A function's description."""

    name: str
    description: str
    parameters: dict[str, Any]


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    """A line of possible_answer/BFCL_v4_CATEGORY.json: calls, each {name: {argument: [value]}}."""

    id: str
    ground_truth: list[dict[str, dict[str, list[Any]]]]


class _Row(NamedTuple):
    """A line that was read, and where it stands."""

    shown: str
    number: int
    read: Any


def categories_of(name: str) -> tuple[str, ...]:
    """Return the categories that "bfcl" or "bfcl:CATEGORY,…" names, in our order.

    UsageError for one that does not exist or is not in Python.
    """
    wanted = [part.strip() for part in name.partition(":")[2].split(",")] if ":" in name else []
    for category in wanted:
        if category not in CATEGORIES:
            raise UsageError(
                f"no such category of BFCL that is read here: {category or 'an empty name'}",
                hint=nearest(category, CATEGORIES),
            )
    return tuple(each for each in CATEGORIES if each in wanted or not wanted)


def read(files: Files, categories: Sequence[str]) -> tuple[list[Case], str]:
    """Return the cases of the categories, and the SHA-256 over the bytes of the files read.

    SuiteError with file, line and JSON path for what is missing, half-written or of another shape.
    """
    sha256 = hashlib.sha256()
    cases: list[Case] = []
    for category in categories:
        name = f"BFCL_v4_{category}.json"
        content = files.read(name)
        sha256.update(content)
        questions = _rows(f"{files.shown}/{name}", content, _Question)
        if category in _UNANSWERED:
            cases += [_case(row, category, None) for row in questions]
            continue
        name = f"possible_answer/{name}"
        content = files.read(name)
        sha256.update(content)
        answers = {row.read.id: row for row in _rows(f"{files.shown}/{name}", content, _Answer)}
        for row in questions:
            if row.read.id not in answers:
                raise SuiteError(
                    f"{row.shown}:{row.number}: $.id: {row.read.id!r} has no possible answer in "
                    f"{files.shown}/{name}"
                )
            cases.append(_case(row, category, answers.pop(row.read.id)))
        for row in answers.values():
            raise SuiteError(
                f"{row.shown}:{row.number}: $.id: no question has the id {row.read.id!r}"
            )
    return cases, sha256.hexdigest()


def _rows(shown: str, content: bytes, kind: type) -> list[_Row]:
    rows: dict[str, _Row] = {}
    for number, line in lines(content):
        with located_in(shown, number):
            read = convert(decode(line), kind)
            if read.id in rows:
                raise Fault("$.id", f"{read.id!r} stands in line {rows[read.id].number} too")
            rows[read.id] = _Row(shown, number, read)
    if not rows:
        raise SuiteError(f"{shown}: holds no line")
    return list(rows.values())


def _case(row: _Row, category: str, answer: _Row | None) -> Case:
    with located_in(row.shown, row.number):
        question: _Question = row.read
        if len(question.question) != 1:
            raise Fault("$.question", f"expected one turn, got {len(question.question)}")
        messages = [
            read_message(message, f"$.question[0][{i}]")
            for i, message in enumerate(question.question[0])
        ]
        check_messages(messages, "$.question[0]")
        functions = [
            _function(function, f"$.function[{i}]") for i, function in enumerate(question.function)
        ]
        tools = [
            Tool(f.name, f.description, _schema(f.parameters, f"$.function[{i}].parameters"))
            for i, f in enumerate(functions)
        ]
    expected = _UNANSWERED.get(category)
    if answer is not None:
        with located_in(answer.shown, answer.number):
            expected = [_calls(answer.read.ground_truth, functions)]
    return Case(question.id, messages, tools, expected or [], tags=(category,))


# Functions


def _function(function: dict[str, Json], path: str) -> _Function:
    try:
        read: _Function = convert(function, _Function)
    except Fault as fault:
        raise Fault(fault.path.replace("$", path, 1), fault.what) from fault
    for name, kind in (("properties", dict), ("required", list)):
        found = read.parameters.get(name)
        # BFCL's checker reads both without asking whether they are there.
        if not isinstance(found, kind):
            expected = json_type(kind())
            raise Fault(f"{path}.parameters.{name}", f"expected {expected}, got {json_type(found)}")
    return read


def _schema(doc: Json, path: str) -> dict[str, Json]:
    """Return a description of values with JSON Schema's names of types, at every depth."""
    if not isinstance(doc, dict):
        raise Fault(path, f"expected object, got {json_type(doc)}")
    schema = dict(doc)
    kind = schema.pop("type", None)
    if not isinstance(kind, str) or kind not in _TYPES:
        named = kind if isinstance(kind, str) else show(kind)
        raise Fault(f"{path}.type", f"not a type of BFCL: {named}", nearest(named, _TYPES))
    name = _TYPES[kind]
    if "properties" in schema:
        properties = schema["properties"]
        if not isinstance(properties, dict):
            raise Fault(f"{path}.properties", f"expected object, got {json_type(properties)}")
        schema["properties"] = {
            key: _schema(inner, f"{path}.properties.{key}") for key, inner in properties.items()
        }
    if "items" in schema:
        schema["items"] = _schema(schema["items"], f"{path}.items")
    return schema if name is None else {"type": name, **schema}


# Answers


def _calls(truth: list[dict[str, dict[str, list[Json]]]], functions: list[_Function]) -> list[Call]:
    # Of functions with one name the first, as in BFCL.
    docs = {function.name: function.parameters["properties"] for function in reversed(functions)}
    if not truth:
        raise Fault("$.ground_truth", "expected one or more calls")
    calls = []
    for i, call in enumerate(truth):
        path = f"$.ground_truth[{i}]"
        if len(call) != 1:
            raise Fault(path, f"expected one function's name, got {len(call)}")
        ((name, arguments),) = call.items()
        if name not in docs:
            raise Fault(path, f"no such function is offered: {name}", nearest(name, docs))
        calls.append(
            Call(
                name,
                {
                    key: _choice(
                        [_value(v, docs[name].get(key), f"{path}.{name}.{key}") for v in possible]
                    )
                    for key, possible in arguments.items()
                },
            )
        )
    return calls


def _choice(possible: Iterable[Json]) -> dict[str, Json]:
    """Return possible answers as the accepted values of an argument or key; "" leaves it out."""
    listed = list(possible)
    choice: dict[str, Json] = {"$any": [value for value in listed if value != ""]}
    return {**choice, "$optional": True} if "" in listed else choice


def _value(value: Json, doc: Mapping[str, Json] | None, path: str) -> Json:
    """Return a possible answer; one level of objects has possible answers for its keys."""
    kind = doc.get("type") if doc else None
    items = doc.get("items") if doc else None
    if kind == "dict":
        return _keys(value, path)
    if kind in ("array", "tuple") and isinstance(items, dict) and items.get("type") == "dict":
        return [_keys(item, path) for item in value] if isinstance(value, list) else value
    return value


def _keys(value: Json, path: str) -> Json:
    if not isinstance(value, dict):
        return value
    for key, possible in value.items():
        if not isinstance(possible, list):
            raise Fault(f"{path}.{key}", f"expected array of values, got {json_type(possible)}")
    return {key: _choice(possible) for key, possible in value.items()}
