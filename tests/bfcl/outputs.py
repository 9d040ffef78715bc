"""Calls to judge, made from an entry's possible answers: right ones, and every kind of mistake.

They follow from the entry alone. Values are BFCL's; what a mistake adds is ours.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bfcl.entries import Entry

    Pair = tuple[str, Any]  # of a mistake's name and a value


class Output(NamedTuple):
    """Calls, and what they are: "answer" or the name of a mistake."""

    kind: str
    calls: list[Call]


class _Absent:
    """In place of a value: the argument or key is left out."""


ABSENT = _Absent()


def outputs(entry: Entry) -> list[Output]:
    """Return the outputs of an entry, no two alike; those that are called answers come first."""
    made: dict[str, Output] = {}
    for output in itertools.chain(_answers(entry), _mistakes(entry)):
        # repr tells 1, 1.0 and True apart, and the order of keys, as == does not.
        made.setdefault(repr(output.calls), output)
    return list(made.values())


# Answers


def _answers(entry: Entry) -> Iterator[Output]:
    """Yield the first possible answers, and then each other one of each argument in turn."""
    first = first_calls(entry)
    yield Output("answer", first)
    for i, key, possible, doc in _arguments(entry):
        for value in spelled(possible, doc):
            yield Output("answer", _with(first, i, key, value))


def first_calls(entry: Entry) -> list[Call]:
    """Return the calls with the first possible answer of every argument that has one but ""."""
    calls = []
    for answer in entry.answers:
        ((name, arguments),) = answer.items()
        docs = _properties(entry, name)
        values = {k: next(iter(spelled(v, docs.get(k))), ABSENT) for k, v in arguments.items()}
        calls.append(Call(name, _present(values)))
    return calls


def spelled(possible: list[Any], doc: dict[str, Any] | None) -> list[Any]:
    """Return every value that possible answers stand for, ABSENT where "" is one of them, last.

    The keys of objects have possible answers too; each of them comes in turn.
    """
    values = [v for each in possible if each != "" for v in _spelled_value(each, doc)]
    return [*values, *([ABSENT] if "" in possible else [])]


def _spelled_value(value: Any, doc: dict[str, Any] | None) -> list[Any]:
    kind, items = (doc or {}).get("type"), (doc or {}).get("items", {}).get("type")
    if kind == "dict" and isinstance(value, dict):
        return _spelled_keys(value)
    if kind in ("array", "tuple") and items == "dict" and isinstance(value, list):
        each = [_spelled_keys(item) if isinstance(item, dict) else [item] for item in value]
        firsts = [options[0] for options in each]
        others = [
            [*firsts[:i], option, *firsts[i + 1 :]]
            for i, options in enumerate(each)
            for option in options[1:]
        ]
        return [firsts, *others]
    return [value]


def _spelled_keys(value: dict[str, list[Any]]) -> list[dict[str, Any]]:
    each = {key: spelled(possible, None) for key, possible in value.items()}
    firsts = {key: options[0] if options else ABSENT for key, options in each.items()}
    others = [
        _present({**firsts, key: option}) for key, options in each.items() for option in options[1:]
    ]
    return [_present(firsts), *others]


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not ABSENT}


def _arguments(entry: Entry) -> Iterator[tuple[int, str, list[Any], dict[str, Any] | None]]:
    """Yield call number, argument, its possible answers and its doc."""
    for i, answer in enumerate(entry.answers):
        ((name, arguments),) = answer.items()
        docs = _properties(entry, name)
        for key, possible in arguments.items():
            yield i, key, possible, docs.get(key)


def _properties(entry: Entry, name: str) -> dict[str, Any]:
    function = next(f for f in entry.functions if f["name"] == name)
    return function["parameters"]["properties"]


def _with(calls: list[Call], at: int, key: str, value: Any) -> list[Call]:
    changed = list(calls)
    changed[at] = Call(calls[at].name, _present({**calls[at].arguments, key: value}))
    return changed


# Mistakes


def _mistakes(entry: Entry) -> Iterator[Output]:
    first = first_calls(entry)
    for i, key, possible, doc in _arguments(entry):
        # Of the first and the last possible answer: they are often of different types.
        for value in {
            repr(v): v for v in spelled(possible, doc)[:: max(len(possible) - 1, 1)]
        }.values():
            if value is not ABSENT:
                for kind, changed in wrong_values(value):
                    yield Output(kind, _with(first, i, key, changed))
        for kind, changed in _STRAY:
            yield Output(kind, _with(first, i, key, changed))
        yield Output("argument left out", _with(first, i, key, ABSENT))
        yield Output("key in capitals", _with(_with(first, i, key, ABSENT), i, key.upper(), 1))
    yield from _wrong_arguments(entry, first)
    yield from _wrong_calls(entry, first)


_STRAY: list[Pair] = [
    *(
        ("null", None),
        ("empty string", ""),
        ("dash", "-"),
        ("empty list", []),
        ("empty object", {}),
    ),
    *(("list of an empty string", [""]), ("list of true", [True]), ("list of an object", [{}])),
    *(("unknown variable", "some_variable"), ("true", True), ("zero", 0), ("huge number", 10**400)),
]


def _wrong_arguments(entry: Entry, first: list[Call]) -> Iterator[Output]:
    for i, call in enumerate(first):
        arguments = call.arguments
        for value in (1, None, "", [], {}):
            yield Output("extra argument", _with(first, i, "not_declared", value))
        for key, doc in _properties(entry, call.name).items():
            if key not in arguments:
                yield Output("argument nobody asked for", _with(first, i, key, doc.get("default")))
                yield Output("argument nobody asked for", _with(first, i, key, "x"))
        reordered = dict(reversed(arguments.items()))
        yield Output("arguments reordered", _replaced(first, i, Call(call.name, reordered)))
        yield Output("no argument", _replaced(first, i, Call(call.name, {})))
        if len(arguments) > 1:
            values = list(arguments.values())
            rotated = dict(zip(arguments, [*values[1:], values[0]], strict=True))
            yield Output("values of other arguments", _replaced(first, i, Call(call.name, rotated)))
        nested = {"arguments": arguments}
        yield Output("arguments wrapped", _replaced(first, i, Call(call.name, nested)))


def _wrong_calls(entry: Entry, first: list[Call]) -> Iterator[Output]:
    yield Output("no call", [])
    yield Output("all calls twice", [*first, *first])
    yield Output("calls reversed", first[::-1])
    yield Output("calls rotated", [*first[1:], *first[:1]])
    others = [f["name"] for f in entry.functions][:3]
    for i, call in enumerate(first):
        yield Output("call left out", [*first[:i], *first[i + 1 :]])
        yield Output("call twice", [*first, call])
        yield Output("call twice", [call, *first])
        yield Output("call in place of all", [call] * (len(first) + 1))
        for other in (others[-1], "not_a_function"):
            yield Output("extra call", [*first, Call(other, {})])
            yield Output("extra call", [Call(other, {}), *first])
        yield Output("call in place of another", _replaced(first, (i + 1) % len(first), call))
        for kind, name in (
            ("name: unknown", "not_a_function"),
            ("name: in capitals", call.name.upper()),
            ("name: dots as underscores", call.name.replace(".", "_")),
            ("name: underscores as dots", call.name.replace("_", ".")),
            ("name: last part", call.name.rsplit(".", 1)[-1]),
            ("name: none", ""),
            ("name: with spaces", f" {call.name} "),
            ("name: with parentheses", f"{call.name}()"),
            ("name: with a prefix", f"functions.{call.name}"),
            ("name: cut short", call.name[:-1]),
            *(("name: another function's", other) for other in others),
        ):
            yield Output(kind, _replaced(first, i, Call(name, call.arguments)))
    for i, j in itertools.combinations(range(len(first)), 2):
        for key, a in first[i].arguments.items():
            if key not in first[j].arguments:
                continue
            b = first[j].arguments[key]
            yield Output("values swapped", _with(_with(first, i, key, b), j, key, a))


def _replaced(calls: list[Call], at: int, call: Call) -> list[Call]:
    return [*calls[:at], call, *calls[at + 1 :]]


def wrong_values(value: Any) -> Iterator[Pair]:
    """Yield values that are near to one; some are right all the same."""
    if isinstance(value, bool):
        yield from (("bool as string", str(value)), ("bool as number", int(value)))
        yield from (("other bool", not value), ("bool as float", float(value)))
    elif isinstance(value, int | float):
        yield from _wrong_numbers(value)
    elif isinstance(value, str):
        yield from _wrong_strings(value)
    elif isinstance(value, list):
        yield from _wrong_lists(value)
    elif isinstance(value, dict):
        yield from _wrong_objects(value)
    yield "value in a list", [value]
    yield "value in an object", {"value": value}


def _wrong_numbers(value: float) -> Iterator[Pair]:
    yield "number as string", str(value)
    yield "number as bool", bool(value)
    yield "other number", value + 1
    yield "negative", -value
    yield "nearly the number", value + 1e-9
    if isinstance(value, int):
        yield "integer as float", float(value)
    elif value.is_integer():
        yield "float as integer", int(value)


_STRINGS: dict[str, Callable[[str], str]] = {
    "capitals": str.upper,
    "small letters": str.lower,
    "no spaces": lambda text: text.replace(" ", ""),
    "spaces": lambda text: f" {' '.join(text)} ",
    "newline": lambda text: f"{text}\n",
    "punctuation that is overlooked": lambda text: f"-{text[:1]}_.{text[1:]},/*^",
    "punctuation that is not": lambda text: f"{text}!",
    "no punctuation": lambda text: "".join(c for c in text if c.isalnum()),
    "quoted": lambda text: f'"{text}"',
    "apostrophe": lambda text: f"{text[:1]}'{text[1:]}",
    "quotation mark": lambda text: f'{text[:1]}"{text[1:]}',
    "other quotes": lambda text: text.translate(str.maketrans({"'": '"', '"': "'"})),
    "cut short": lambda text: text[:-1],
    "twice": lambda text: f"{text} {text}",
    "other word": lambda text: f"not {text}",
    "reversed text": lambda text: text[::-1],
}


def _wrong_strings(value: str) -> Iterator[Pair]:
    for kind, change in _STRINGS.items():
        yield kind, change(value)
    yield "string as number", int(value) if value.isdecimal() else len(value)
    yield "string as list", list(value)
    yield "string as bool", bool(value)


def _wrong_lists(value: list[Any]) -> Iterator[Pair]:
    yield "list reversed", value[::-1]
    yield "list with an item more", [*value, *(value[:1] or [1])]
    yield "list with null", [*value, None]
    yield "list in a list", [value]
    if not value:
        return
    yield "list as its item", value[0]
    yield "list with an item less", value[:-1]
    yield "list as string", ", ".join(map(str, value))
    yield "list sorted", sorted(value, key=str)
    for kind, item in wrong_values(value[0]):
        yield f"in a list: {kind}", [item, *value[1:]]
    for kind, change in (("number", float), ("string", str)):
        try:
            yield f"list of {kind}s", list(map(change, value))
        except (TypeError, ValueError):
            continue


def _wrong_objects(value: dict[str, Any]) -> Iterator[Pair]:
    yield "keys reordered", dict(reversed(value.items()))
    yield "key more", {**value, "not_declared": 1}
    yield "object as list of keys", list(value)
    yield "object as list of values", list(value.values())
    yield "object as string", str(value)
    for key, inner in value.items():
        yield "key left out", {k: v for k, v in value.items() if k != key}
        yield "key empty", {**value, key: ""}
        yield "key null", {**value, key: None}
        for kind, changed in wrong_values(inner):
            yield f"in an object: {kind}", {**value, key: changed}
