"""JSON lines -> cases, with file, line and JSON path for whatever is wrong.

Two schemas are read, told apart by their fields: fcbench's own (`expected`) and that of
google/mobile-actions (`messages` end with the expected answer).
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from fcbench.errors import SuiteError
from fcbench.suite._checks import check_expected, check_messages
from fcbench.suite._lines import Fault, convert, decode, lines, located_in
from fcbench.suite._tools import read_message, read_tool
from fcbench.types import Call, Case, Tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fcbench.types import Json

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
    for number, line in lines(content):
        with located_in(shown, number):
            case = _case(decode(line), f"{stem or PurePath(shown).stem}:{number}", reading)
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


def _case(row: dict[str, Json], default_id: str, reading: Reading) -> Case | None:
    if _is_own(row, reading.schema):
        case = _own_case(row, reading)
    else:
        found = _mobile_case(row, default_id, reading)
        if found is None:
            return None
        case = found
    check_messages(case.messages)
    check_expected(case)
    return case


def _is_own(row: Mapping[str, Json], schema: str) -> bool:
    """Whether a row is in fcbench's own schema: as suite.toml says, else by how it ends."""
    if schema:
        return schema == "fcbench"
    messages = row.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    answered = isinstance(last, dict) and last.get("role") == "assistant"
    return "expected" in row or ("id" in row and not answered)


def _own_case(row: dict[str, Json], reading: Reading) -> Case:
    row = dict(row)
    if isinstance(row.get("tools"), list):
        row["tools"] = [read_tool(tool, f"$.tools[{i}]") for i, tool in enumerate(row["tools"])]
    if isinstance(row.get("messages"), list):
        row["messages"] = [
            read_message(m, f"$.messages[{i}]") for i, m in enumerate(row["messages"])
        ]
    if reading.ordered is not None:
        row.setdefault("ordered", reading.ordered)
    case: Case = convert(row, Case)
    return case


def _mobile_case(row: dict[str, Json], default_id: str, reading: Reading) -> Case | None:
    read: _MobileRow = convert(row, _MobileRow)
    if read.metadata is not None and read.metadata != reading.split:
        return None
    messages = [read_message(m, f"$.messages[{i}]") for i, m in enumerate(read.messages)]
    if not messages or messages[-1].get("role") != "assistant":
        raise Fault("$.messages", "the last message must be the assistant's expected answer")
    answer = messages.pop()
    calls = [
        Call(c["function"]["name"], c["function"]["arguments"])
        for c in answer.get("tool_calls", [])
    ]
    chosen = reading.ordered if read.ordered is None else read.ordered
    return Case(
        id=read.id or default_id,
        messages=messages,
        tools=[
            convert(read_tool(tool, f"$.tools[{i}]"), Tool) for i, tool in enumerate(read.tools)
        ],
        expected=[calls],
        # As in Google's own evaluation.
        ordered=True if chosen is None else chosen,
        tags=read.tags,
    )
