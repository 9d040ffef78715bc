"""The rows of a file -> cases, with file, line and JSON path for whatever is wrong.

A file is JSON lines, or a JSON array where its name ends in .json. Its rows are of one of the
schemas below: fcbench's own, or one of other people's data, each read by a file of its own.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePath
from sys import intern
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fcbench.errors import SuiteError
from fcbench.suite import _mobile_actions, _openai, _own, _xlam
from fcbench.suite._checks import check_expected, check_messages
from fcbench.suite._lines import Fault, decode, decode_json, json_type, lines, located_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from fcbench.suite._reading import Reading
    from fcbench.types import Case, Json, Tool

SYSTEM_ROLES = ("system", "developer")
# In the order in which they claim a row that does not say its schema.
SCHEMAS: dict[str, ModuleType] = {
    "xlam": _xlam,
    "openai": _openai,
    "fcbench": _own,
    "mobile-actions": _mobile_actions,
}


def read(path: Path, reading: Reading) -> list[Case]:
    """Return the cases of a file. SuiteError if it cannot be read or used."""
    return parse(str(path), path, reading)


def parse(
    shown: str, content: bytes | Path, reading: Reading, stem: str | None = None
) -> list[Case]:
    """Return the cases of a file, or of its bytes.

    `shown` is how errors name the file, `stem` what the ids of rows without one begin with. Cases
    whose tools are the same share them: a suite may have a hundred thousand.
    """
    cases: list[Case] = []
    first: dict[str, int] = {}
    shared = _Shared({}, {}, {}, {})
    stem = stem or PurePath(shown).stem
    for number, row in _rows(shown, content):
        with located_in(shown, number):
            found = decode(row) if isinstance(row, bytes) else row
            case = _case(found, f"{stem}:{number}", reading)
        if case is None:
            continue
        if case.id in first:
            raise SuiteError(
                f"{shown}:{number}: $.id: {case.id!r} stands in line {first[case.id]} too"
            )
        first[case.id] = number
        cases.append(shared.in_place_of(case))
    return cases


class _Shared(NamedTuple):
    """What earlier cases have: tools by their hash and lists of them, tags, and system prompts."""

    tools: dict[bytes, Tool]
    lists: dict[tuple[bytes, ...], list[Tool]]
    tags: dict[tuple[str, ...], tuple[str, ...]]
    texts: dict[str, str]

    def in_place_of(self, case: Case) -> Case:
        """Return the case with that of an earlier one wherever the two are the same."""
        for message in case.messages:
            message["role"] = intern(message["role"])
            content = message.get("content")
            if message["role"] in SYSTEM_ROLES and isinstance(content, str):
                message["content"] = self.texts.setdefault(content, content)
        tags = self.tags.setdefault(case.tags, case.tags)
        return msgspec.structs.replace(case, tools=self._tools(case.tools), tags=tags)

    def _tools(self, tools: list[Tool]) -> list[Tool]:
        try:
            written = [hashlib.sha256(msgspec.json.encode(tool)).digest() for tool in tools]
        except (ValueError, OverflowError, RecursionError):  # a lone surrogate, a huge number
            return tools
        pairs = zip(written, tools, strict=True)
        same = [self.tools.setdefault(key, tool) for key, tool in pairs]
        return self.lists.setdefault(tuple(written), same)


def _rows(shown: str, content: bytes | Path) -> Iterator[tuple[int, Json]]:
    """Yield each line that is not blank as bytes, or each item of an array, and its number."""
    if shown.endswith(".json") and isinstance(content, Path):
        content = _content(content)
    if isinstance(content, Path) or not (shown.endswith(".json") and content.lstrip()[:1] == b"["):
        yield from lines(content)
        return
    with located_in(shown, 1):
        rows = decode_json(content)
    yield from enumerate(rows, start=1)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from error


def refuse_duplicates(cases: Iterable[Case], source: str) -> None:
    """Raise SuiteError if two cases, of different files, have one id."""
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise SuiteError(f"{source}: $.id: {case.id!r} stands in two files")
        seen.add(case.id)


def _case(row: Json, default_id: str, reading: Reading) -> Case | None:
    if not isinstance(row, dict):
        raise Fault("$", f"expected object, got {json_type(row)}")
    schema = (
        SCHEMAS[reading.schema]
        if reading.schema
        else next(schema for schema in SCHEMAS.values() if schema.is_one(row))
    )
    case: Case | None = schema.case(row, default_id, reading)
    if case is not None:
        check_messages(case.messages)
        check_expected(case)
    return case
