"""Expected strings that a model could not copy from anywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from fcbench.formats._numbers import write_integer
from fcbench.lint._finding import Finding
from fcbench.lint._values import plain_values, strings
from fcbench.text import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcbench.types import Case, Json


def unmentioned(case: Case) -> Iterator[Finding]:
    """Yield the expected arguments none of whose accepted values stands in the prompt.

    The prompt is the messages and the tools, descriptions included. Case and spacing are
    overlooked. Some strings, such as a date that has to be worked out, are rightly unmentioned: a
    warning is a case to look at.
    """
    prompt = _flat(" ".join(_words([case.messages, *map(msgspec.structs.astuple, case.tools)])))
    for i, answer in enumerate(case.expected):
        for j, call in enumerate(answer):
            for key, expected in call.arguments.items():
                values = plain_values(expected)
                absent = [[s for s in strings(v) if _flat(s) not in prompt] for v in values]
                if values and all(absent):
                    where = f"$.expected[{i}][{j}].arguments.{key}"
                    yield Finding("unmentioned", case.id, where, show(absent[0][0]))


def _words(value: Json) -> Iterator[str]:
    """Yield every string, and number as JSON, below a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _words(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _words(item)
    elif type(value) is int:
        yield write_integer(value)
    else:
        yield json.dumps(value)


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())
