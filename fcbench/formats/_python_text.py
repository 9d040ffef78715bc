"""Python's identifiers, strings and numbers: what a text says, and how a value is written.

Source: the lexical analysis in Python's language reference. Not ast.literal_eval: that recurses,
warns of unknown escapes, refuses integers of more than 4,300 digits and knows no offsets.
"""

from __future__ import annotations

import re
from keyword import iskeyword
from unicodedata import is_normalized

from fcbench.formats._numbers import read_integer

_ESCAPE = re.compile(r"\\([0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)")
_ONE_LETTER = dict(zip("\\'\"abfnrtv", "\\'\"\a\b\f\n\r\t\v", strict=True))
# NUL and lone surrogates cannot stand in Python source, other controls would not be seen.
_TO_ESCAPE = re.compile('[\\\\"\x00-\x1f\x7f\ud800-\udfff]')
_NAMED = {char: f"\\{letter}" for letter, char in _ONE_LETTER.items()}
_BASES = ("0x", "0X", "0o", "0O", "0b", "0B")


def is_identifier(word: str) -> bool:
    """Whether a word is a name in Python, and the same name once Python has read it.

    Keywords are none. Python reads names in NFKC: to it the micro sign is the Greek letter.
    """
    return word.isidentifier() and not iskeyword(word) and is_normalized("NFKC", word)


def is_dotted_name(name: str) -> bool:
    """Whether a name is one or more identifiers joined by dots."""
    return all(map(is_identifier, name.split(".")))


def read_string(literal: str) -> str:
    """Return what a string literal in one pair of quotes stands for.

    As in Python today, an escape that Python does not know keeps its backslash.
    """
    body = literal[1:-1]
    return _ESCAPE.sub(_unescaped, body) if "\\" in body else body


def _unescaped(match: re.Match[str]) -> str:
    escape = match[1]
    if escape[0] in "01234567":
        return chr(int(escape, 8))
    if len(escape) > 1:
        return chr(int(escape[1:], 16))
    return _ONE_LETTER.get(escape, match[0])


def write_string(value: str) -> str:
    """Return a string literal in double quotes, on one line."""
    return f'"{_TO_ESCAPE.sub(_escaped, value)}"'


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    return _NAMED.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004


def read_number(text: str) -> int | float:
    """Return the value of a number literal, with a minus or without; integers are exact."""
    if text.startswith(_BASES, text.startswith("-")):
        return int(text, 0)
    digits = text.replace("_", "")
    return float(digits) if any(c in ".eE" for c in digits) else read_integer(digits)
