"""Model turns for fuzzing: random text, soups of tokens, and calls with mutations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.choices import CHARACTERS
from tests.fuzz.notations import (
    NAMES,
    NO_NUMBERS,
    NOTATIONS,
    NUMBERS,
    PYTHON_NUMBERS,
    WORDS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.fuzz.choices import Choices

PUNCTUATION = (
    *("{", "}", "[", "]", "(", ")", ":", ",", "=", '"', "'", "`", "“", "\\", "<", ">", "|", "-"),
    *(" ", "\n", "\t", "\xa0", "\r\n", "  "),
)
FRAGMENTS = (
    *("call:", "call:f{", "call:f(", "f", "name", '"name"', '"arguments"', '"parameters"', '"id"'),
    *(
        '{"name": "f", "arguments": {',
        "{'name': ",
        "a:1",
        '"a": 1',
        "true",
        "false",
        "None",
        "null",
    ),
    *("f(a=", "f()", "**", "b'x'", '"""', "# x", "\\\n", "ns.", "lambda", "1+2j", "...", "(1)"),
    *("True", "False", "Sure! ", "Sorry, I can't.", "```json\n", "```", "declaration:f{", "}}}}"),
)
# Numbers of thousands of digits stand in calls only: a soup of them would be slow and no better.
SMALL_NUMBERS = tuple(number for number in NUMBERS if len(number) < 40)
SOUP = {
    name: (*(notation.controls * 2), *PUNCTUATION, *FRAGMENTS, *WORDS, *SMALL_NUMBERS, *NO_NUMBERS)
    for name, notation in NOTATIONS.items()
}
STOPS = tuple(stop for notation in NOTATIONS.values() for stop in notation.stops)
CONTROLS = tuple(token for notation in NOTATIONS.values() for token in notation.controls)


def turn(choices: Choices, formats: Sequence[str]) -> tuple[str, str]:
    """Return the name of a format to judge a turn by, and the turn, mostly written in it."""
    judged_by = choices.pick(formats)
    written_in = judged_by if judged_by in NOTATIONS else "pythonic"
    if choices.once_in(8):
        written_in = choices.pick(tuple(NOTATIONS))
    way = choices.below(10)
    if way == 0:
        return judged_by, choices.text()
    if way == 1:
        return judged_by, _soup(choices, written_in)
    return judged_by, _mutated(choices, written_in)


def _soup(choices: Choices, written_in: str) -> str:
    tokens = [choices.pick(SOUP[written_in]) for _ in range(choices.below(24))]
    # A soup rarely begins as a call does, and what comes after a wrong beginning is not reached.
    if choices.once_in(2):
        whole = NOTATIONS[written_in].write(choices)
        tokens = whole[: choices.below(len(whole) + 1)] + tokens
    return "".join(tokens)


def _mutated(choices: Choices, written_in: str) -> str:
    tokens = NOTATIONS[written_in].write(choices)
    for _ in range((0, 0, 0, 1, 1, 1, 2, 3)[choices.below(8)]):
        choices.pick(MUTATIONS)(choices, tokens, written_in)
    text = "".join(tokens)
    return text + choices.pick(STOPS) + choices.text() if choices.once_in(8) else text


# Mutations, each in place


def _drop(choices: Choices, tokens: list[str], _: str) -> None:
    if tokens:
        del tokens[choices.below(len(tokens))]


def _double(choices: Choices, tokens: list[str], _: str) -> None:
    if tokens:
        at = choices.below(len(tokens))
        tokens.insert(at, tokens[at])


def _swap(choices: Choices, tokens: list[str], _: str) -> None:
    if len(tokens) > 1:
        at = choices.below(len(tokens) - 1)
        tokens[at], tokens[at + 1] = tokens[at + 1], tokens[at]


def _insert(choices: Choices, tokens: list[str], written_in: str) -> None:
    tokens.insert(choices.below(len(tokens) + 1), choices.pick(SOUP[written_in]))


def _replace(choices: Choices, tokens: list[str], written_in: str) -> None:
    if tokens:
        tokens[choices.below(len(tokens))] = choices.pick(SOUP[written_in])


def _insert_space(choices: Choices, tokens: list[str], _: str) -> None:
    tokens.insert(choices.below(len(tokens) + 1), choices.pick((" ", "\n", "\t", "\x0b", "\u2003")))


def _cut(choices: Choices, tokens: list[str], _: str) -> None:
    text = "".join(tokens)
    # 65536 is the most that a source decides between; longer turns are cut in their beginning.
    tokens[:] = [text[: choices.below(min(len(text) + 1, 65536))]]


def _change_character(choices: Choices, tokens: list[str], _: str) -> None:
    if tokens:
        at = choices.below(len(tokens))
        token = tokens[at]
        where = choices.below(min(len(token) + 1, 65536))
        with_it = "" if choices.once_in(3) else choices.pick(CHARACTERS)
        tokens[at] = token[:where] + with_it + token[where + choices.below(2) :]


def _change_bracket(choices: Choices, tokens: list[str], _: str) -> None:
    places = [at for at, token in enumerate(tokens) if token in ("{", "}", "[", "]")]
    if places:
        tokens[places[choices.below(min(len(places), 65536))]] = choices.pick("{}[]()")


def _wrong_number(choices: Choices, tokens: list[str], _: str) -> None:
    places = [at for at, token in enumerate(tokens) if token in NUMBERS or token in PYTHON_NUMBERS]
    if places:
        tokens[places[choices.below(len(places))]] = choices.pick(NO_NUMBERS)


def _wrong_string(choices: Choices, tokens: list[str], _: str) -> None:
    """Write a string without its quotes, or with others."""
    quotes = [at for at, token in enumerate(tokens) if token in ("<escape>", '<|"|>')]
    if quotes:
        for at in quotes:
            tokens[at] = choices.pick(("", '"', "'"))
        return
    strings = [at for at, token in enumerate(tokens) if token[:1] == '"']
    if strings:
        at = strings[choices.below(len(strings))]
        tokens[at] = choices.pick((tokens[at][1:-1], f"'{tokens[at][1:-1]}'"))


def _wrong_literal(choices: Choices, tokens: list[str], _: str) -> None:
    places = [at for at, token in enumerate(tokens) if token in ("true", "false", "null", "None")]
    if places:
        at = places[choices.below(len(places))]
        tokens[at] = tokens[at].swapcase() if choices.once_in(3) else tokens[at].capitalize()


def _trailing_comma(choices: Choices, tokens: list[str], _: str) -> None:
    places = [at for at, token in enumerate(tokens) if token in ("}", "]")]
    if places:
        tokens.insert(places[choices.below(len(places))], choices.pick((",", ", ", ",,", " ,")))


def _prose(choices: Choices, tokens: list[str], _: str) -> None:
    words = choices.pick(
        ("Sure! ", "I will call f(x).\n", " ", "\n", "```\n", " Done.", choices.text())
    )
    tokens.insert(0 if choices.once_in(2) else len(tokens), words)


def _again(choices: Choices, tokens: list[str], _: str) -> None:
    """Go on as models do that never learned to stop."""
    start = choices.below(len(tokens) + 1)
    if len(tokens) < 60:
        tokens += tokens[start:] * choices.below(8)


def _other_token(choices: Choices, tokens: list[str], _: str) -> None:
    tokens.insert(choices.below(len(tokens) + 1), choices.pick(CONTROLS))


def _other_call(choices: Choices, tokens: list[str], _: str) -> None:
    tokens += NOTATIONS[choices.pick(tuple(NOTATIONS))].write(choices)


def _other_name(choices: Choices, tokens: list[str], _: str) -> None:
    places = [at for at, token in enumerate(tokens) if token.strip('"') in NAMES]
    if places:
        at = places[choices.below(len(places))]
        tokens[at] = choices.pick(("", '""', "a b", "f<x>", "f(", '"f"', "\u3000f", choices.text()))


MUTATIONS: tuple[Callable[[Choices, list[str], str], None], ...] = (
    *(_drop, _drop, _double, _swap, _insert, _replace, _insert_space, _cut, _change_character),
    *(_change_bracket, _wrong_number, _wrong_string, _wrong_literal, _trailing_comma, _prose),
    *(_again, _other_token, _other_call, _other_name),
)
