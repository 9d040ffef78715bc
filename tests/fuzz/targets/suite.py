"""The reader of suites: files in every schema, and suite.toml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fcbench import load_suite, prompts
from fcbench.errors import FcbenchError
from tests.fuzz import targets, values
from tests.fuzz.choices import FromBytes
from tests.fuzz.properties import Violation, hold

if TYPE_CHECKING:
    from fcbench import Suite
    from tests.fuzz.choices import Choices
    from tests.fuzz.values import Json

PARAMETERS = {
    "type": "OBJECT",
    "properties": {"query": {"type": "STRING", "enum": ["Oslo", "x"]}, "n": {"type": "integer"}},
    "required": ["query"],
}
TOOL = {"name": "show_map", "description": "Shows.", "parameters": PARAMETERS}
CALL = {"name": "show_map", "arguments": {"query": "Oslo"}}
ASKED = [{"role": "developer", "content": "Help."}, {"role": "user", "content": "Show me Oslo."}]
ANSWERED = {
    "role": "assistant",
    "tool_calls": [{"type": "function", "function": {**CALL, "arguments": '{"query": "Oslo"}'}}],
}
ROWS: tuple[Json, ...] = (
    {
        "id": "a",
        "messages": ASKED,
        "tools": [TOOL],
        "expected": [[CALL], [{"name": "show_map", "arguments": {"query": {"$any": ["x", "y"]}}}]],
        "ordered": False,
        "tags": ["near"],
        "reply": "",
    },
    {"id": "b", "messages": ASKED[1:], "tools": [], "expected": [[]]},
    {"messages": [*ASKED, ANSWERED], "tools": [{"function": TOOL}], "metadata": "eval"},
    {"messages": [*ASKED, {"role": "assistant", "content": "No."}], "tools": [TOOL]},
    {
        "query": "Show me Oslo.",
        "answers": json.dumps([CALL]),
        "tools": [{"name": "show_map", "parameters": {"query": {"type": "List[int], optional"}}}],
        "id": 3,
    },
    {
        "messages": [*ASKED[1:], {**ANSWERED, "tool_calls": ANSWERED["tool_calls"] * 2}],
        "tools": [{"type": "function", "function": TOOL}],
        "parallel_tool_calls": True,
    },
)
MANIFEST = {
    "name": "fuzzed",
    "description": "",
    "licence": "MIT",
    "schema": "",
    "cases": "cases.jsonl",
    "ordered": True,
    "matcher": "exact",
    "normalise": ["case"],
    "max_new_tokens": 9,
}


class Written(NamedTuple):
    """A suite as it stands on the disk: the bytes of its cases, and of a suite.toml."""

    cases: bytes
    toml: bytes | None
    is_array: bool


def written(choices: Choices) -> Written:
    """Return a suite that is mostly right."""
    if choices.once_in(16):
        return Written(choices.text().encode("utf-8", "surrogatepass"), None, is_array=False)
    rows = []
    for number in range(1 + choices.below(3)):
        row = values.mutated(choices, choices.pick(ROWS))
        if isinstance(row, dict) and "id" in row and not choices.once_in(6):
            row = {**row, "id": f"{row['id'] if isinstance(row['id'], str) else ''}{number}"}
        rows.append(values.dumped(choices, row))
    is_array = choices.once_in(6)
    content = b"[" + b",".join(rows) + b"]" if is_array else b"\n".join(rows) + b"\n"
    toml = _toml(choices).encode("utf-8", "replace") if choices.once_in(5) else None
    return Written(values.damaged(choices, content), toml, is_array)


def _toml(choices: Choices) -> str:
    manifest = values.mutated(choices, MANIFEST)
    if not isinstance(manifest, dict):
        return values.text(choices)
    lines = []
    for key, value in manifest.items():
        try:
            lines.append(f"{key} = {json.dumps(value)}")
        except (TypeError, ValueError, RecursionError):  # what JSON cannot write, TOML has not
            continue
    return "\n".join(lines)


def check(data: bytes) -> None:
    """Raise a Violation of the first property that reading the suite does not have."""
    made = written(FromBytes(data))
    with targets.scratch() as folder:
        cases = Path(folder) / ("cases.json" if made.is_array else "cases.jsonl")
        cases.write_bytes(made.cases)
        path = cases
        if made.toml is not None:
            path = Path(folder)
            (path / "suite.toml").write_bytes(made.toml)
        suite = _load(path, names=str(folder))
        if suite is not None:
            _check_suite(suite, path, Path(folder))


def _load(path: Path, names: str) -> Suite | None:
    """Return a suite, None where it is refused with an error that names its file."""
    try:
        return load_suite(path)
    except FcbenchError as error:
        hold(names in str(error), "an error that does not name the file", error)
        return None
    except Exception as error:
        raise Violation(f"load_suite raises {type(error).__name__}", error) from error


def _check_suite(suite: Suite, path: Path, folder: Path) -> None:
    ids = [case.id for case in suite.cases]
    hold(suite.cases, "a suite without cases", suite)
    hold(all(isinstance(i, str) for i in ids), "an id that is no string", ids)
    hold(len(set(ids)) == len(ids), "two cases of one id", ids)
    again = _load(path, names=str(folder))
    hold(again is not None and _same(again, suite), "a file that is read twice differs", again)
    _check_round_trip(suite, folder)
    for mode in ("chat", "raw", "bare"):
        _check_prompts(suite, mode)


def _check_round_trip(suite: Suite, folder: Path) -> None:
    """Check that cases written as fcbench's own are read as they were."""
    rows = msgspec.to_builtins(suite.cases)
    copy = folder / "copy.jsonl"
    copy.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    try:
        read = load_suite(copy)
    except FcbenchError as error:
        raise Violation("a case is refused when it is written out", error) from error
    hold(_same(read, suite), "a case differs when it is written out", read.cases)


def _check_prompts(suite: Suite, mode: str) -> None:
    try:
        for request in prompts.requests(suite.cases, mode, prompts.Style()):
            hold(isinstance(request.prompt, str), "a prompt that is no text", request)
    except FcbenchError:
        return
    except Exception as error:
        raise Violation(f"the {mode} prompt raises {type(error).__name__}", error) from error


def _same(a: Suite, b: Suite) -> bool:
    return repr(a.cases) == repr(b.cases)  # 1 == 1.0 == True


def smallest(data: bytes, rule: str) -> str:
    """Return what a small input that breaks the rule writes to the disk."""
    made = written(FromBytes(targets.shrunk(check, data, rule)))
    return ascii(made)


def first() -> list[bytes]:
    """Return each row as it is, and some random bytes."""
    plain = [bytes([1, 0, row, 0, 0]) for row in range(len(ROWS))]
    return plain + targets.seeded(100, 60)


def words() -> list[str]:
    """Return the names of fields."""
    return [*MANIFEST, "id", "messages", "tools", "expected", "$any", "$optional", "metadata"]
