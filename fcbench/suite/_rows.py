"""The rows of a file -> cases, with file, line and JSON path for whatever is wrong.

A file is JSON lines, or a JSON array where its name ends in .json. Its rows are of one of the
schemas below: fcbench's own, or one of other people's data, each read by a file of its own.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

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
    tools: dict[bytes, Tool] = {}
    tags: dict[tuple[str, ...], tuple[str, ...]] = {}
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
        case_tools, case_tags = _shared(case.tools, tools), tags.setdefault(case.tags, case.tags)
        cases.append(msgspec.structs.replace(case, tools=case_tools, tags=case_tags))
    return cases


def _shared(tools: list[Tool], known: dict[bytes, Tool]) -> list[Tool]:
    """Return tools that an earlier case has, where they are the same."""
    try:
        written = [hashlib.sha256(msgspec.json.encode(tool)).digest() for tool in tools]
    except (ValueError, OverflowError, RecursionError):  # a lone surrogate, a huge number
        return tools
    return [known.setdefault(key, tool) for key, tool in zip(written, tools, strict=True)]


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
