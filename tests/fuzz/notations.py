"""How each format writes calls, told once more and apart from fcbench.formats.

A referee that took the tokens from the code it judges would share its mistakes, so this table
repeats them from the formats' sources (see grammars/*.lark). Calls are written as lists of tokens,
in every spelling that a format allows, not only in the one that `render` writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.fuzz.choices import Choices

# Valid in every format; 1e309 is not, because it overflows, and neither is what follows it.
NUMBERS = (
    *("0", "1", "-1", "-0", "7", "42", "1.0", "-0.0", "0.5", "-0.5e-3", "1e5", "1E+5", "0e999"),
    *("1e308", "1e-400", "5551234567", "123456789012345678901234567890", "9" * 400, "8" * 5000),
)
NO_NUMBERS = (
    *("1e309", "-1e999", "007", "-01", "1.", ".5", "+1", "-", "1e", "1e+", "1.e5", "0x10", "1_000"),
    *("nan", "NaN", "Infinity", "-inf", "1.2.3", "2026-01-20T15:00:00", "\uff11", "\u0663", "1L"),
)
# In JSON the third is the second, spelled otherwise.
WORDS = (
    "a",
    "b",
    "\\u0062",
    "f",
    "city",
    "name",
    "arguments",
    "id",
    "true",
    "call",
    "a-b",
    "$filter",
    "é",
)
NAMES = ("f", "g", "turn_on_flashlight", "ns.tool-name:v2/x", "call", "call:f", "漢")
TEXTS = (
    *(
        "",
        "Paris",
        " ",
        "Meeting with Mr. Dubois",
        "5551234567",
        "},",
        '{"a":1}',
        "[" * 70,
        "{" * 70,
    ),
    *(
        "<escape",
        '<|"|',
        "call:f{",
        "True",
        "\u202eabc",
        "שלום",
        "漢字😀",
        "<tool_call",
        "a\u2028b",
    ),
)


@dataclass(frozen=True)
class Notation:
    """A format's tokens. `write` returns the tokens of a valid turn."""

    stops: tuple[str, ...]
    controls: tuple[str, ...]
    write: Callable[[Choices], list[str]]


# FunctionGemma's family


def _braces(start: str, end: str, quote: str) -> Callable[[Choices], list[str]]:
    def string(choices: Choices) -> list[str]:
        # What needs an escape in JSON stands here as it is.
        return [quote, choices.pick((*TEXTS, 'say "hi"', "a\nb", "\x00", "\ud83d", "\\")), quote]

    def members(choices: Choices, depth: int) -> list[str]:
        return ["{", *_joined(_keyed(choices, depth, str, value), [","]), "}"]

    def value(choices: Choices, depth: int) -> list[str]:
        null = choices.pick(("None", "null"))
        return _value(choices, depth, null, string, members, value)

    def write(choices: Choices) -> list[str]:
        tokens = []
        for _ in range(_number_of_calls(choices)):
            tokens += [start, "call:", choices.pick(NAMES), *members(choices, 1), end]
        return tokens

    return write


# JSON

ESCAPES = (
    *('\\"', "\\\\", "\\/", "\\n", "\\u0061", "\\u00e9", "\\ud83d\\ude00", "\\ud800", "\\u0000"),
    "\\u003c|im_end|>",  # a stop token inside a string, which ends no turn when it is spelled so
)


def _quoted(text: str) -> str:
    return f'"{text}"'


def _json_string(choices: Choices) -> list[str]:
    text = choices.pick(TEXTS).replace('"', '\\"')
    if choices.once_in(4):
        text += choices.pick(ESCAPES)
    return [_quoted(text)]


def _json_members(choices: Choices, depth: int) -> list[str]:
    pairs = _keyed(choices, depth, _quoted, _json_value)
    return _spaced(choices, ["{", *_joined(pairs, [","]), "}"])


def _json_value(choices: Choices, depth: int) -> list[str]:
    tokens = _value(choices, depth, "null", _json_string, _json_members, _json_value)
    return _spaced(choices, tokens) if tokens[0] == "[" else tokens


def _around(
    tokens: list[str], space: str, before: Sequence[str], after: Sequence[str]
) -> list[str]:
    """Return tokens with a space before some of them, but for the first, and after others."""
    first, *others = tokens
    spaced = [first, space] if first in after else [first]
    for token in others:
        spaced += [space, token] if token in before else [token]
        spaced += [space] if token in after else []
    return spaced


def _spaced(choices: Choices, tokens: list[str]) -> list[str]:
    """Return tokens with whitespace where JSON allows it: inside brackets, around punctuation."""
    if not choices.once_in(3):
        return tokens
    space, side = choices.pick((" ", "\n", "\t", "\r\n  ")), choices.below(3)
    before = () if side == 0 else (",", ":", "}", "]")
    after = () if side == 1 else (",", ":", "{", "[")
    return _around(tokens, space, before, after)


def _json_body(choices: Choices, arguments: str, *, may_have_id: bool = False) -> list[str]:
    members = [
        ['"name"', ":", _quoted(choices.pick(NAMES))],
        [_quoted(arguments), ":", *_json_members(choices, 1)],
    ]
    if choices.once_in(3):
        members.reverse()
    if may_have_id and choices.once_in(2):
        members.insert(choices.below(3), ['"id"', ":", '"a1B2c3D4e"'])
    return _spaced(choices, ["{", *_joined(members, [","]), "}"])


def _hermes(choices: Choices) -> list[str]:
    calls = []
    for _ in range(_number_of_calls(choices)):
        before, after = ([] if choices.once_in(3) else ["\n"] for _ in range(2))
        body = _json_body(choices, "arguments")
        calls.append(["<tool_call>", *before, *body, *after, "</tool_call>"])
    return _joined(calls, ["\n"])


def _mistral(choices: Choices) -> list[str]:
    bodies = [
        _json_body(choices, "arguments", may_have_id=True) for _ in range(_number_of_calls(choices))
    ]
    gap = [] if choices.once_in(3) else [" "]
    return ["[TOOL_CALLS]", *gap, *_spaced(choices, ["[", *_joined(bodies, [","]), "]"])]


def _llama3(choices: Choices) -> list[str]:
    tag = ["<|python_tag|>"] if choices.once_in(3) else []
    return [*tag, *_json_body(choices, "parameters")]


def _json(choices: Choices) -> list[str]:
    bodies = [_json_body(choices, "arguments") for _ in range(_number_of_calls(choices))]
    if len(bodies) > 1 or choices.once_in(3):
        tokens = _spaced(choices, ["[", *_joined(bodies, [","]), "]"])
    else:
        tokens = bodies[0]
    return ["\n", *tokens, " "] if choices.once_in(4) else tokens


# Python

PYTHON_NUMBERS = (
    *(
        "0",
        "1",
        "-1",
        "-0",
        "00",
        "1_000",
        "0xF",
        "-0xdead_beef",
        "0O17",
        "0b_1",
        "1.",
        ".5",
        "-.5e1",
    ),
    *("1.0", "-0.0", "1e5", "1_0.0_1E+5", "0e0", "007.5", "09e1", "1e308", "9" * 400, "8" * 5000),
)
PYTHON_KEYS = ("a", "b", "f", "city", "name", "_", "self", "match", "from_", "é", "名前", "\u017f")
PYTHON_NAMES = ("f", "g", "turn_on_flashlight", "ns.tool.f", "call", "漢", "größe", "_.f")
PYTHON_TEXTS = (
    *("", "Paris", " ", "it\\'s", '\\"', "\\n", "\\x41", "\\101", "\\u00e9", "\\U0001F600", "\\\\"),
    *(
        "C:\\dir",
        "}])",
        "#",
        "{" * 70,
        "call:f{",
        "\u202eabc",
        "漢字😀",
        "\\ud800",
        "\x85",
        "a\u2028b",
    ),
)


def _python_value(choices: Choices, depth: int) -> list[str]:
    kind = choices.below(12)
    if kind == 0:
        return [choices.pick(PYTHON_NUMBERS)]
    if kind == 1:
        return [choices.pick(("None", "True", "False"))]
    if kind == 2 and depth < 6:
        return _python_spaced(choices, _python_members(choices, depth))
    if kind < 5 and depth < 6:
        items = [_python_value(choices, depth + 1) for _ in range(kind - 2)]
        return _python_spaced(choices, ["[", *_joined(items, [","]), "]"])
    if kind == 5 and choices.once_in(20):
        # As in _value; the parentheses are a level too.
        levels = 61 + choices.below(5)
        return ["["] * levels + ["]"] * levels
    return [_python_string(choices.pick(PYTHON_TEXTS), choices.pick("\"'"))]


def _python_string(text: str, quote: str) -> str:
    # Of the two quotes, only the one that stands around the string must be escaped in it.
    return f"{quote}{text}{quote}" if quote not in text.replace(f"\\{quote}", "") else '"x"'


def _python_members(choices: Choices, depth: int) -> list[str]:
    pairs = _keyed(choices, depth, _quoted, _python_value, words=(*PYTHON_KEYS, "b", "\\x62", "'"))
    return ["{", *_joined(pairs, [","]), "}"]


def _python_spaced(choices: Choices, tokens: list[str]) -> list[str]:
    """Return tokens with whitespace and the trailing comma that Python allows."""
    if len(tokens) > 2 and choices.once_in(6):
        tokens = [*tokens[:-1], ",", tokens[-1]]
    if not choices.once_in(3):
        return tokens
    space, side = choices.pick((" ", "\n", "\t", "\f", "\r\n")), choices.below(3)
    before = () if side == 0 else (",", ":", "=", "}", "]", ")", "(")
    after = () if side == 1 else (",", ":", "=", "{", "[", "(")
    return _around(tokens, space, before, after)


def _pythonic(choices: Choices) -> list[str]:
    calls = []
    for _ in range(_number_of_calls(choices)):
        pairs = _keyed(choices, 1, str, _python_value, "=", words=PYTHON_KEYS)
        arguments = _python_spaced(choices, ["(", *_joined(pairs, [","]), ")"])
        calls.append([choices.pick(PYTHON_NAMES), *arguments])
    tokens = _python_spaced(choices, ["[", *_joined(calls, [","]), "]"])
    return ["\n", *tokens, " "] if choices.once_in(8) else tokens


# What all share


def _number_of_calls(choices: Choices) -> int:
    # Seventy flat calls hold more brackets than one call may have levels.
    return 70 if choices.once_in(200) else 1 + choices.below(3) if choices.once_in(3) else 1


def _joined(groups: list[list[str]], separator: list[str]) -> list[str]:
    joined = []
    for group in groups:
        joined += [*separator, *group] if joined else group
    return joined


def _keyed(  # noqa: PLR0913  what three notations differ in
    choices: Choices,
    depth: int,
    write_key: Callable[[str], str],
    write_value: Callable[[Choices, int], list[str]],
    colon: str = ":",
    *,
    words: Sequence[str] = WORDS,
) -> list[list[str]]:
    """Return key, colon and value for some keys, rarely the same twice."""
    first, n = choices.below(len(words)), (0, 1, 1, 2, 3)[choices.below(5)]
    step = 0 if choices.once_in(40) else 1
    keys = [words[(first + step * i) % len(words)] for i in range(n)]
    return [[write_key(key), colon, *write_value(choices, depth + 1)] for key in keys]


def _value(  # noqa: PLR0913  the three writers of a notation, and what it calls null
    choices: Choices,
    depth: int,
    null: str,
    string: Callable[[Choices], list[str]],
    members: Callable[[Choices, int], list[str]],
    value: Callable[[Choices, int], list[str]],
) -> list[str]:
    """Return the tokens of a value that stands `depth` levels deep."""
    kind = choices.below(12)
    if kind < 5 or (kind > 8 and depth > 4):
        return string(choices)
    if kind < 7:
        return [choices.pick(NUMBERS)]
    if kind < 9:
        return [choices.pick(("true", "false", null))]
    if kind == 9 and choices.once_in(20):
        # Around the deepest nesting allowed, 64 levels with the argument object.
        levels = 61 + choices.below(5)
        return ["["] * levels + ["]"] * levels
    if kind == 9:
        return members(choices, depth)
    return ["[", *_joined([value(choices, depth + 1) for _ in range(kind - 9)], [","]), "]"]


NOTATIONS = {
    "functiongemma": Notation(
        stops=("<eos>", "<end_of_turn>", "<start_function_response>"),
        controls=(
            *("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<escape>"),
            *("<start_function_declaration>", "<end_function_declaration>"),
            *("<start_function_call>", "<end_function_call>"),
            *("<start_function_response>", "<end_function_response>"),
        ),
        write=_braces("<start_function_call>", "<end_function_call>", "<escape>"),
    ),
    "gemma4": Notation(
        stops=("<eos>", "<turn|>", "<|tool_response>"),
        controls=(
            *("<pad>", "<eos>", "<bos>", "<|turn>", "<turn|>", "<|channel>", "<channel|>"),
            *("<|think|>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>"),
            *("<|tool_response>", "<tool_response|>", '<|"|>'),
        ),
        write=_braces("<|tool_call>", "<tool_call|>", '<|"|>'),
    ),
    "hermes": Notation(
        stops=("<|im_end|>", "<|endoftext|>"),
        controls=("<tool_call>", "</tool_call>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"),
        write=_hermes,
    ),
    "mistral": Notation(
        stops=("</s>",),
        controls=(
            *("[TOOL_CALLS]", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
            *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "<s>", "</s>"),
        ),
        write=_mistral,
    ),
    "llama3": Notation(
        stops=("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
        controls=(
            *("<|python_tag|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
            *("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
        ),
        write=_llama3,
    ),
    "json": Notation(stops=(), controls=(), write=_json),
    "pythonic": Notation(stops=(), controls=(), write=_pythonic),
}
