"""Whether the expected answers of a case can be judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.errors import nearest
from fcbench.suite._fault import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fcbench.types import Case, Json, Tool

_OPTIONAL_KEYS = {"$any", "$optional"}


def check_expected(case: Case) -> None:
    """Raise Fault for answers that no tool declares or no metric could judge."""
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
            if set(value) - _OPTIONAL_KEYS or not isinstance(accepted, list) or not accepted:
                raise Fault(
                    path, 'expected {"$any": [one or more values]}, perhaps with "$optional"'
                )
            if not isinstance(value.get("$optional", False), bool):
                raise Fault(f"{path}.$optional", "expected bool")
        for key, item in value.items():
            if key != "$optional":
                _check_accepted(item, f"{path}.{key}")
