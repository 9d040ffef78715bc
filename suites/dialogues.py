r"""Suites written by hand as talk: tools.toml and cases_*.toml -> rows.

A tool is a table; an argument is "TYPE: what it is", where TYPE is a JSON type, `string[]` (a list
of that type) or `a|b|c` (one of these strings). A name that ends in `?` is optional.

    [set_alarm]
    description = "Sets an alarm."
    time = "string: When it rings, HH:MM."
    "sound?" = "birds|bell: What it sounds like."

Cases come in groups that share tools and, named with @, results. A case begins with `#`, its tags
and what is offered beside or instead of the group's tools; `=>` are the right calls, none of them
that no call is right, `or` begins another right answer. `\n` is a line break; `@name~` is the
result with its list shuffled.

    [[group]]
    tools = "set_alarm list_alarms"
    results.alarms = '[{"time": "06:30"}, {"time": "07:00"}]'
    cases = '''
    # reference +snooze -list_alarms
    user: Which alarms do I have?
    call: list_alarms {}
    result: @alarms
    assistant: At 06:30 and at 07:00.
    user: One more at 08:00, please.
    => set_alarm {"time": "08:00"}
    '''
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

Row = dict[str, Any]
Json = Any


def read_tools(path: Path) -> dict[str, Row]:
    """Return the tools of a tools.toml by name, as a row holds them."""
    return {
        name: {
            "name": name,
            "description": table.pop("description"),
            "parameters": _parameters(table),
        }
        for name, table in tomllib.loads(path.read_text("utf-8")).items()
    }


def _parameters(arguments: dict[str, str]) -> Row:
    properties = {name.rstrip("?"): _schema(text) for name, text in arguments.items()}
    required = [name for name in arguments if not name.endswith("?")]
    schema: Row = {"type": "object", "properties": properties}
    return schema | {"required": required} if required else schema


def _schema(text: str) -> Row:
    kind, _, description = text.partition(": ")
    if "|" in kind:
        return {"type": "string", "enum": kind.split("|"), "description": description}
    if kind.endswith("[]"):
        return {
            "type": "array",
            "items": {"type": kind.removesuffix("[]")},
            "description": description,
        }
    return {"type": kind, "description": description}


def read_rows(path: Path, tools: dict[str, Row], rng: random.Random, prefix: str) -> list[Row]:
    """Return a file's rows in seeded order, numbered from `prefix`-001 on."""
    rows = [
        _row(block, group["tools"].split(), group.get("results", {}), tools, rng)
        for group in tomllib.loads(path.read_text("utf-8"))["group"]
        for block in _blocks(group["cases"])
    ]
    rng.shuffle(rows)
    return [{"id": f"{prefix}-{i:03}"} | row for i, row in enumerate(rows, start=1)]


def _blocks(text: str) -> Iterator[list[str]]:
    """Yield the lines of each case."""
    block: list[str] = []
    for line in filter(None, text.splitlines()):
        if line.startswith("#") and block:
            yield block
            block = []
        block.append(line)
    yield block


def _row(
    block: list[str],
    offered: list[str],
    results: dict[str, str],
    tools: dict[str, Row],
    rng: random.Random,
) -> Row:
    head, *lines = block
    words = head.removeprefix("#").split()
    more, less = ([w[1:] for w in words if w[0] == sign] for sign in "+-")
    names = [name for name in offered + more if name not in less]
    rng.shuffle(names)
    talk = _Talk(results, rng)
    for line in lines:
        talk.read(line)
    return {
        "messages": talk.messages,
        "tools": [tools[name] for name in names],
        "expected": talk.expected,
        "tags": [word for word in words if word[0] not in "+-"],
    }


class _Talk:
    """The messages and right answers of one case, filled line by line."""

    def __init__(self, results: dict[str, str], rng: random.Random) -> None:
        self.messages: list[Row] = []
        self.expected: list[list[Row]] = [[]]
        self._results, self._rng = results, rng
        self._n_calls = 0
        self._waiting: list[Row] = []

    def read(self, line: str) -> None:
        """Take one line in; ValueError if it is none of those that the module describes."""
        if line == "or":
            self.expected.append([])
            return
        mark, _, rest = line.partition(" ")
        if mark in ("user:", "assistant:"):
            content = rest.replace("\\n", "\n")
            self.messages.append({"role": mark[:-1], "content": content})
        elif mark == "call:":
            self._call(*_called(rest))
        elif mark == "result:":
            call = self._waiting.pop(0)
            content = json.dumps(self._result(rest), ensure_ascii=False)
            name = call["function"]["name"]
            self.messages.append(
                {"role": "tool", "tool_call_id": call["id"], "name": name, "content": content}
            )
        elif mark == "=>":
            name, arguments = _called(rest)
            self.expected[-1].append({"name": name, "arguments": arguments})
        else:
            message = f"not a line of a case: {line}"
            raise ValueError(message)

    def _call(self, name: str, arguments: Row) -> None:
        self._n_calls += 1
        function = {"name": name, "arguments": arguments}
        call = {"id": f"call_{self._n_calls}", "type": "function", "function": function}
        if not (self.messages and "tool_calls" in self.messages[-1]):
            self.messages.append({"role": "assistant", "tool_calls": []})
        self.messages[-1]["tool_calls"].append(call)
        self._waiting.append(call)

    def _result(self, text: str) -> Json:
        if not text.startswith("@"):
            return json.loads(text)
        result = json.loads(self._results[text[1:].removesuffix("~")])
        if text.endswith("~"):
            lists = [result] if isinstance(result, list) else result.values()
            shuffled = next(value for value in lists if isinstance(value, list))
            self._rng.shuffle(shuffled)
        return result


def _called(text: str) -> tuple[str, Row]:
    name, _, arguments = text.partition(" ")
    return name, json.loads(arguments or "{}")
