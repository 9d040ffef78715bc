"""JSON lines -> cases, with file, line and JSON path for whatever is wrong.

Two schemas are read, told apart by their fields: fcbench's own (`expected`) and that of
google/mobile-actions (`messages` end with the expected answer).
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

import msgspec

from fcbench.errors import SuiteError, nearest
from fcbench.formats._numbers import read_integer
from fcbench.types import Call, Case, Tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fcbench.types import Json

MESSAGE_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id")
CALL_FIELDS = ("id", "type", "index", "function")
ROLES = ("system", "developer", "user", "assistant", "tool")
_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_OPTIONAL_KEYS = {"$any", "$optional"}

Split = Literal["eval", "train"]


class Reading(NamedTuple):
    """How a file's rows are read.

    Rows of the mobile-actions schema whose `metadata` names another split are passed over.
    `schema` is "fcbench", "mobile-actions" or "" to tell by the row; `ordered` is what a row
    that leaves it open is taken for, None being the schema's own default.
    """

    split: Split = "eval"
    schema: str = ""
    ordered: bool | None = None


class _Fault(Exception):
    """What is wrong in a row, and where: a JSON path and words."""

    def __init__(self, path: str, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.path, self.what, self.hint = path, what, hint


class _MobileRow(msgspec.Struct, forbid_unknown_fields=True):
    """A row of google/mobile-actions; id, tags and ordered are additions of ours."""

    messages: list[dict[str, Any]]
    tools: list[Any] = msgspec.field(default_factory=list)
    metadata: str | None = None
    id: str | None = None
    tags: tuple[str, ...] = ()
    ordered: bool | None = None


def read(path: Path, reading: Reading) -> list[Case]:
    """Return the cases of a file. SuiteError if it cannot be read or used."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from error
    return parse(str(path), content, reading)


def parse(shown: str, content: bytes, reading: Reading, stem: str | None = None) -> list[Case]:
    """Return the cases of a file's bytes.

    `shown` is how errors name the file, `stem` what the ids of rows without one begin with.
    """
    cases: list[Case] = []
    first_lines: dict[str, int] = {}
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            case = _case(_decode(line), f"{stem or PurePath(shown).stem}:{number}", reading)
        except RecursionError as error:
            raise SuiteError(f"{shown}:{number}: nested too deep") from error
        except _Fault as fault:
            path = f"{fault.path}: " if fault.path else ""
            raise SuiteError(f"{shown}:{number}: {path}{fault.what}", fault.hint) from fault
        if case is None:
            continue
        if case.id in first_lines:
            raise SuiteError(
                f"{shown}:{number}: $.id: {case.id!r} stands in line {first_lines[case.id]} too"
            )
        first_lines[case.id] = number
        cases.append(case)
    return cases


def refuse_duplicates(cases: Iterable[Case], source: str) -> None:
    """Raise SuiteError if two cases, of different files, have one id."""
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise SuiteError(f"{source}: $.id: {case.id!r} stands in two files")
        seen.add(case.id)


def located(error: msgspec.ValidationError) -> str:
    """Return msgspec's message as `PATH: what is wrong`."""
    path, what = _path_and_words(error)
    return f"{path}: {what}"


def _path_and_words(error: msgspec.ValidationError) -> tuple[str, str]:
    match = re.fullmatch(r"(.*?)(?: - at `(?:key in )?(.*)`)?", str(error), flags=re.DOTALL)
    words, path = match.groups() if match else (str(error), None)
    words = words.replace("`", "")
    words = words[:1].lower() + words[1:]
    path = path or "$"
    unknown = re.fullmatch(r"object contains unknown field (.*)", words)
    if unknown:
        return f"{path}.{unknown.group(1)}", "unknown field"
    return path, words


def _decode(line: bytes) -> dict[str, Json]:
    try:
        row = json.loads(
            line.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=read_integer,
        )
    except UnicodeDecodeError as error:
        raise _Fault("", f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise _Fault("", f"not JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(row, dict):
        raise _Fault("$", f"expected object, got {_json_type(row)}")
    return row


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    built = dict(pairs)
    if len(built) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Fault("", f"the key {twice!r} stands twice in one object")
    return built


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise _Fault("", f"the number {number} is too large")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise _Fault("", f"not JSON: {name} is not a JSON number")


def _case(row: dict[str, Json], default_id: str, reading: Reading) -> Case | None:
    if _is_own(row, reading.schema):
        case = _own_case(row, reading)
    else:
        found = _mobile_case(row, default_id, reading)
        if found is None:
            return None
        case = found
    _check_messages(case.messages)
    _check_expected(case)
    return case


def _is_own(row: Mapping[str, Json], schema: str) -> bool:
    """Whether a row is in fcbench's own schema: as suite.toml says, else by how it ends."""
    if schema:
        return schema == "fcbench"
    messages = row.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    answered = isinstance(last, dict) and last.get("role") == "assistant"
    return "expected" in row or ("id" in row and not answered)


def _convert(row: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        path, what = _path_and_words(error)
        hint = None
        if what == "unknown field":
            # Below the top level only expected calls are converted; tools were checked before.
            known = kind if path.count(".") == 1 else Call
            hint = nearest(path.rsplit(".", 1)[-1], known.__struct_fields__)
        raise _Fault(path, what, hint) from error


def _own_case(row: dict[str, Json], reading: Reading) -> Case:
    row = dict(row)
    if isinstance(row.get("tools"), list):
        row["tools"] = [_tool(tool, f"$.tools[{i}]") for i, tool in enumerate(row["tools"])]
    if isinstance(row.get("messages"), list):
        row["messages"] = [_message(m, f"$.messages[{i}]") for i, m in enumerate(row["messages"])]
    if reading.ordered is not None:
        row.setdefault("ordered", reading.ordered)
    case: Case = _convert(row, Case)
    return case


def _mobile_case(row: dict[str, Json], default_id: str, reading: Reading) -> Case | None:
    read: _MobileRow = _convert(row, _MobileRow)
    if read.metadata is not None and read.metadata != reading.split:
        return None
    messages = [_message(m, f"$.messages[{i}]") for i, m in enumerate(read.messages)]
    if not messages or messages[-1].get("role") != "assistant":
        raise _Fault("$.messages", "the last message must be the assistant's expected answer")
    answer = messages.pop()
    calls = [
        Call(c["function"]["name"], c["function"]["arguments"])
        for c in answer.get("tool_calls", [])
    ]
    chosen = reading.ordered if read.ordered is None else read.ordered
    return Case(
        id=read.id or default_id,
        messages=messages,
        tools=[_convert(_tool(tool, f"$.tools[{i}]"), Tool) for i, tool in enumerate(read.tools)],
        expected=[calls],
        # As in Google's own evaluation.
        ordered=True if chosen is None else chosen,
        tags=read.tags,
    )


def _tool(tool: Json, path: str) -> dict[str, Json]:
    """Return a tool as flat JSON with lower-case types, from any of the three usual shapes."""
    if isinstance(tool, dict) and isinstance(tool.get("function"), dict):
        extra = set(tool) - {"type", "function"}
        if extra:
            raise _Fault(f"{path}.{min(extra)}", "unknown field")
        tool = tool["function"]
        path = f"{path}.function"
    if not isinstance(tool, dict):
        raise _Fault(path, f"expected object, got {_json_type(tool)}")
    _refuse_unknown(tool, Tool.__struct_fields__, path)
    if not isinstance(tool.get("name"), str):
        raise _Fault(f"{path}.name", f"expected str, got {_json_type(tool.get('name'))}")
    flat = {key: value for key, value in tool.items() if value is not None}
    if "parameters" in flat:
        flat["parameters"] = _schema(flat["parameters"], f"{path}.parameters")
    return flat


def _schema(schema: Json, path: str) -> dict[str, Json]:
    """Return a JSON Schema whose type names are lower-case, at every level."""
    if not isinstance(schema, dict):
        raise _Fault(path, f"expected object, got {_json_type(schema)}")
    lowered = {key: value for key, value in schema.items() if value is not None}
    if "type" in lowered:
        lowered["type"] = _type(lowered["type"], f"{path}.type")
    if "properties" in lowered:
        properties = lowered["properties"]
        if not isinstance(properties, dict):
            raise _Fault(f"{path}.properties", f"expected object, got {_json_type(properties)}")
        lowered["properties"] = {
            key: _schema(value, f"{path}.properties.{key}") for key, value in properties.items()
        }
    _check_lists(lowered, path)
    if isinstance(lowered.get("items"), dict):
        lowered["items"] = _schema(lowered["items"], f"{path}.items")
    for union in ("anyOf", "oneOf", "allOf"):
        if isinstance(lowered.get(union), list):
            lowered[union] = [
                _schema(value, f"{path}.{union}[{i}]") for i, value in enumerate(lowered[union])
            ]
    return lowered


def _check_lists(schema: Mapping[str, Json], path: str) -> None:
    for name in ("required", "enum"):
        if not isinstance(schema.get(name, []), list):
            raise _Fault(f"{path}.{name}", f"expected array, got {_json_type(schema[name])}")
    if not all(isinstance(name, str) for name in schema.get("required", [])):
        raise _Fault(f"{path}.required", "expected names of properties")


def _type(kind: Json, path: str) -> Json:
    """Return a type name or a list of them in lower case."""
    if isinstance(kind, list):
        return [_type(k, path) for k in kind]
    name = str(kind).lower()
    if name not in _TYPES:
        raise _Fault(path, f"not a JSON Schema type: {kind}", nearest(name, _TYPES))
    return name


def _message(message: Json, path: str) -> dict[str, Json]:
    """Return a message without null fields, its calls' arguments as objects."""
    if not isinstance(message, dict):
        raise _Fault(path, f"expected object, got {_json_type(message)}")
    plain = {key: value for key, value in message.items() if value is not None}
    _refuse_unknown(plain, MESSAGE_FIELDS, path)
    if "tool_calls" in plain:
        calls = plain["tool_calls"]
        if not isinstance(calls, list):
            raise _Fault(f"{path}.tool_calls", f"expected array, got {_json_type(calls)}")
        plain["tool_calls"] = [_call(c, f"{path}.tool_calls[{i}]") for i, c in enumerate(calls)]
    return plain


def _refuse_unknown(fields: Mapping[str, Json], known: Sequence[str], path: str) -> None:
    for name in fields:
        if name not in known:
            raise _Fault(f"{path}.{name}", "unknown field", nearest(name, known))


def _call(call: Json, path: str) -> dict[str, Json]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise _Fault(f"{path}.function", f"expected object, got {_json_type(function)}")
    _refuse_unknown(call, CALL_FIELDS, path)
    _refuse_unknown(function, Call.__struct_fields__, f"{path}.function")
    name, arguments = function.get("name"), function.get("arguments", {})
    if not isinstance(name, str):
        raise _Fault(f"{path}.function.name", f"expected str, got {_json_type(name)}")
    if isinstance(arguments, str):
        arguments = _decode_arguments(arguments, f"{path}.function.arguments")
    if not isinstance(arguments, dict):
        raise _Fault(f"{path}.function.arguments", f"expected object, got {_json_type(arguments)}")
    return {**call, "type": "function", "function": {"name": name, "arguments": arguments}}


def _decode_arguments(text: str, path: str) -> Json:
    try:
        return json.loads(text, parse_int=read_integer)
    except json.JSONDecodeError as error:
        raise _Fault(path, f"not JSON: {error.msg} at column {error.colno}") from error


def _check_messages(messages: list[dict[str, Json]]) -> None:
    if not messages:
        raise _Fault("$.messages", "a case needs at least one message")
    for i, message in enumerate(messages):
        role = message.get("role")
        if role not in ROLES:
            raise _Fault(f"$.messages[{i}].role", f"not a role: {role}", nearest(str(role), ROLES))
        if role == "user" and "content" not in message:
            raise _Fault(f"$.messages[{i}].content", "a user message has words")
        if not isinstance(message.get("content", ""), str):
            found = _json_type(message["content"])
            raise _Fault(f"$.messages[{i}].content", f"expected str, got {found}")


def _check_expected(case: Case) -> None:
    if not case.expected:
        raise _Fault("$.expected", "lists no acceptable answer; [[]] means that no call is right")
    if not all(case.expected) and any(case.expected):
        raise _Fault(
            "$.expected",
            "an answer without calls beside one with calls: no metric could judge both",
        )
    names: Mapping[str, Tool] = {tool.name: tool for tool in case.tools}
    for i, answer in enumerate(case.expected):
        for j, call in enumerate(answer):
            path = f"$.expected[{i}][{j}]"
            if call.name not in names:
                raise _Fault(
                    f"{path}.name",
                    f"no tool declares the function {call.name}",
                    nearest(call.name, names),
                )
            if _OPTIONAL_KEYS & set(call.arguments):
                raise _Fault(f"{path}.arguments", "$any and $optional are for an argument's value")
            _check_accepted(call.arguments, f"{path}.arguments")


def _check_accepted(value: Json, path: str) -> None:
    """Check the $any and $optional of an expected value, at any depth."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            _check_accepted(item, f"{path}[{i}]")
    elif isinstance(value, dict):
        if _OPTIONAL_KEYS & set(value):
            accepted = value.get("$any")
            if set(value) - _OPTIONAL_KEYS or not isinstance(accepted, list) or not accepted:
                raise _Fault(
                    path, 'expected {"$any": [one or more values]}, perhaps with "$optional"'
                )
            if not isinstance(value.get("$optional", False), bool):
                raise _Fault(f"{path}.$optional", "expected bool")
        for key, item in value.items():
            if key != "$optional":
                _check_accepted(item, f"{path}.{key}")


def _json_type(value: Json) -> str:
    names = {dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), type(value).__name__)
