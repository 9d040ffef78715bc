"""One turn in two notations, FunctionGemma's and Python's, with the same mistake in both.

A turn is a list of tokens that say what stands there, not how it is spelled; a mutation changes
that list, so that both spellings are broken in the same place and in the same way.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from fcbench.types import Call

    Calls = Sequence[Call]
    Tokens = Sequence["Token"]


class Token(NamedTuple):
    """What stands at a place: a role, and the name, key or value that fills it."""

    role: str
    content: Any = None


def tokens_of(calls: Calls) -> list[Token]:
    """Return the tokens of a valid turn."""
    tokens = [Token("begin turn")]
    for index, call in enumerate(calls):
        tokens += [Token("between calls")] if index else []
        tokens += [Token("begin call"), Token("name", call.name), Token("open")]
        for position, (key, value) in enumerate(call.arguments.items()):
            tokens += [Token("comma")] if position else []
            tokens += [Token("key", key), Token("is"), *_value(value)]
        tokens += [Token("close"), Token("end call")]
    return [*tokens, Token("end turn")]


def _value(value: Any) -> list[Token]:
    if isinstance(value, dict):
        tokens = [Token("{")]
        for position, (key, item) in enumerate(value.items()):
            tokens += [Token("comma")] if position else []
            tokens += [Token("inner key", key), Token(":"), *_value(item)]
        return [*tokens, Token("}")]
    if isinstance(value, list):
        tokens = [Token("[")]
        for position, item in enumerate(value):
            # Apart from the others, because "1, 2" without it would be 12.
            tokens += [Token("item comma")] if position else []
            tokens += _value(item)
        return [*tokens, Token("]")]
    return [Token("value", value)]


# Spelling

_JSON_LITERALS = {True: "true", False: "false", None: "null"}
_PYTHON_LITERALS = {True: "True", False: "False", None: "None"}


def _spelled(value: Any, literals: Mapping[Any, str], quote: Callable[[str], str]) -> str:
    if isinstance(value, str):
        return quote(value)
    return literals[value] if value is None or isinstance(value, bool) else repr(value)


def _escaped(text: str) -> str:
    return f"<escape>{text}<escape>"


Notation = dict[str, "str | Callable[[Any], str]"]

FUNCTIONGEMMA: Notation = {
    **dict.fromkeys(("begin turn", "end turn", "between calls"), ""),
    **{token: token for token in "{}[]:"},
    "begin call": "<start_function_call>call:",
    "end call": "<end_function_call>",
    "open": "{",
    "close": "}",
    "wrong open": "(",
    "wrong close": ")",
    "is": ":",
    "wrong is": "=",
    "comma": ",",
    "item comma": ",",
    "name": str,
    "key": str,
    "inner key": str,
    "value": lambda value: _spelled(value, _JSON_LITERALS, _escaped),
    "half a string": lambda text: f"<escape>{text}",
    "other literal": _PYTHON_LITERALS.__getitem__,
    "JSON": lambda arguments: json.dumps(arguments, ensure_ascii=False),
    "text": str,
}
PYTHON: Notation = {
    **dict.fromkeys(("begin call", "end call"), ""),
    **{token: token for token in "{}[]"},
    "begin turn": "[",
    "end turn": "]",
    "between calls": ", ",
    "open": "(",
    "close": ")",
    "wrong open": "{",
    "wrong close": "}",
    "is": "=",
    "wrong is": ":",
    ":": ": ",
    "comma": ", ",
    "item comma": ", ",
    "name": str,
    "key": str,
    "inner key": repr,
    "value": lambda value: _spelled(value, _PYTHON_LITERALS, repr),
    "half a string": lambda text: repr(text)[:-1],
    "other literal": _JSON_LITERALS.__getitem__,
    "JSON": lambda arguments: f"({json.dumps(arguments, ensure_ascii=False)})",
    "text": str,
}


def written(tokens: Tokens, notation: Notation) -> str:
    """Return the text of tokens in a notation."""
    return "".join(
        spelling if isinstance(spelling := notation[role], str) else spelling(content)
        for role, content in tokens
    )


# Mistakes, each as models make it; None where a turn has no place for it


def _dropped(choose: Random, tokens: Tokens, calls: Calls) -> Tokens | None:
    """Leave out a token that neither notation can spare."""
    at = _place(choose, tokens, "open", "is", "close", "comma", ":", "}", "]")
    return None if at is None else [*tokens[:at], *tokens[at + 1 :]]


def _doubled_comma(choose: Random, tokens: Tokens, calls: Calls) -> Tokens | None:
    at = _place(choose, tokens, "comma")
    return None if at is None else [*tokens[:at], Token("comma"), *tokens[at:]]


def _wrong_brackets(choose: Random, tokens: Tokens, calls: Calls) -> Tokens | None:
    wrong = {"open": "wrong open", "close": "wrong close"}
    return [Token(wrong.get(role, role), content) for role, content in tokens]


def _wrong_separators(choose: Random, tokens: Tokens, calls: Calls) -> Tokens | None:
    if _place(choose, tokens, "is") is None:
        return None
    return [Token("wrong is") if token.role == "is" else token for token in tokens]


def _json_arguments(choose: Random, tokens: Tokens, calls: Calls) -> Tokens | None:
    mistaken = [Token("begin turn")]
    for index, call in enumerate(calls):
        mistaken += [Token("between calls")] if index else []
        mistaken += [Token("begin call"), Token("name", call.name)]
        # Without arguments, JSON's {} would be right.
        mistaken += [Token("JSON", call.arguments or {"": ""}), Token("end call")]
    return [*mistaken, Token("end turn")]


def _unterminated_string(choose: Random, tokens: Tokens, calls: Calls) -> Tokens | None:
    places = [at for at, t in enumerate(tokens) if t.role == "value" and isinstance(t.content, str)]
    if not places:
        return None
    at = choose.choice(places)
    return [*tokens[:at], Token("half a string", tokens[at].content), *tokens[at + 1 :]]


def _bad_number(choose: Random, tokens: Tokens, calls: Calls) -> Tokens | None:
    at = _place(choose, tokens, "value")
    return None if at is None else [*tokens[:at], Token("text", "007"), *tokens[at + 1 :]]


def _other_literal(choose: Random, tokens: Tokens, calls: Calls) -> Tokens | None:
    at = _place(choose, tokens, "value")
    if at is None:
        return None
    return [*tokens[:at], Token("other literal", choose.random() < 0.5), *tokens[at + 1 :]]


def _no_name(choose: Random, tokens: Tokens, calls: Calls) -> Tokens | None:
    return [token for token in tokens if token.role != "name"]


def _prose_before(choose: Random, tokens: Tokens, calls: Calls) -> Tokens | None:
    return [Token("text", choose.choice(PROSE)), *tokens]


def _prose_after(choose: Random, tokens: Tokens, calls: Calls) -> Tokens | None:
    return [*tokens, Token("text", choose.choice((" I have done that.", "\n\nAnything else?")))]


def _prose_only(choose: Random, tokens: Tokens, calls: Calls) -> Tokens | None:
    return [Token("text", choose.choice(PROSE) + choose.choice(PROSE))]


def _place(choose: Random, tokens: Tokens, *roles: str) -> int | None:
    places = [at for at, token in enumerate(tokens) if token.role in roles]
    return choose.choice(places) if places else None


PROSE = (
    "Sure! Here is the function call you asked for: ",
    "I will call the function now.\n",
    "Sorry, I cannot do that without the date and the time of the event. ",
    "The user wants me to use one of the tools. Let me think about which one fits best.\n",
)
MISTAKES: dict[str, Callable[[Random, Tokens, Calls], Tokens | None]] = {
    "dropped token": _dropped,
    "doubled comma": _doubled_comma,
    "wrong brackets": _wrong_brackets,
    "wrong separators": _wrong_separators,
    "JSON arguments": _json_arguments,
    "unterminated string": _unterminated_string,
    "bad number": _bad_number,
    "literal of another language": _other_literal,
    "no name": _no_name,
    "prose before": _prose_before,
    "prose after": _prose_after,
    "prose only": _prose_only,
}
TRUNCATED = "truncated"


def broken(choose: Random, calls: Calls) -> tuple[str, str, str]:
    """Return a mistake's name and a turn with it, in FunctionGemma's and in Python's notation."""
    tokens, mistaken = tokens_of(calls), None
    while mistaken is None:
        name = choose.choice((*MISTAKES, TRUNCATED))
        mistaken = tokens if name == TRUNCATED else MISTAKES[name](choose, tokens, calls)
    texts = [written(mistaken, notation) for notation in (FUNCTIONGEMMA, PYTHON)]
    if name == TRUNCATED:
        # The same share of both texts.
        share = choose.uniform(0.1, 0.9)
        texts = [text[: int(share * len(text))] for text in texts]
    functiongemma, python = texts
    return name, functiongemma, python
