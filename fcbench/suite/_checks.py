"""What holds of every case, whoever wrote it: messages to answer, and answers that can be met."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.errors import nearest
from fcbench.suite._lines import Fault, json_type
from fcbench.text import show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fcbench.types import Case, Json, Tool

ROLES = ("system", "developer", "user", "assistant", "tool")
_OPTIONAL_KEYS = {"$any", "$optional"}


def check_messages(messages: list[dict[str, Json]], path: str = "$.messages") -> None:
    """Raise Fault unless the messages have known roles and words."""
    if not messages:
        raise Fault(path, "a case needs at least one message")
    for i, message in enumerate(messages):
        role = message.get("role")
        if role not in ROLES:
            named = role if isinstance(role, str) else show(role)
            raise Fault(f"{path}[{i}].role", f"not a role: {named}", nearest(named, ROLES))
        if role == "user" and "content" not in message:
            raise Fault(f"{path}[{i}].content", "a user message has words")
        if not isinstance(message.get("content", ""), str):
            found = json_type(message["content"])
            raise Fault(f"{path}[{i}].content", f"expected str, got {found}")


def check_expected(case: Case) -> None:
    """Raise Fault unless the expected answers are of declared functions, $any where it may be."""
    if not case.expected:
        raise Fault("$.expected", "lists no acceptable answer; [[]] means that no call is right")
    if not all(case.expected) and any(case.expected):
        raise Fault(
            "$.expected",
            "an answer without calls beside one with calls: no metric could judge both",
        )
    names: Mapping[str, Tool] = {tool.name: tool for tool in case.tools}
    for i, answer in enumerate(case.expected):
        for j, call in enumerate(answer):
            path = f"$.expected[{i}][{j}]"
            if call.name not in names:
                raise Fault(
                    f"{path}.name",
                    f"no tool declares the function {call.name}",
                    nearest(call.name, names),
                )
            if _OPTIONAL_KEYS & set(call.arguments):
                raise Fault(f"{path}.arguments", "$any and $optional are for an argument's value")
            _check_accepted(call.arguments, f"{path}.arguments")


def _check_accepted(value: Json, path: str) -> None:
    """Check the $any and $optional of an expected value, at any depth."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            _check_accepted(item, f"{path}[{i}]")
    elif isinstance(value, dict):
        if _OPTIONAL_KEYS & set(value):
            accepted = value.get("$any")
            optional = value.get("$optional", False)
            if not isinstance(optional, bool):
                raise Fault(f"{path}.$optional", "expected bool")
            # With no accepted value only absence is right, so that has to be allowed.
            if (
                set(value) - _OPTIONAL_KEYS
                or not isinstance(accepted, list)
                or not (accepted or optional)
            ):
                raise Fault(
                    path, 'expected {"$any": [one or more values]}, perhaps with "$optional"'
                )
        for key, item in value.items():
            if key != "$optional":
                _check_accepted(item, f"{path}.{key}")
