"""Texts of models, as people are shown them."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Failure, Json

CONTEXT = 60
"""Characters that are shown on each side of a failure."""


def visible(text: str) -> str:
    """Return a text in which nothing moves the cursor: controls and bidi marks are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def visible_lines(text: str) -> str:
    """Return a text as `visible` does, except that its lines stay lines."""
    return "\n".join(map(visible, text.split("\n")))


def without_secrets(text: str) -> str:
    """Return a text whose addresses do not show what stands before an @ or behind a ?.

    >>> without_secrets("no answer at http://me:pass@a.example/v1?key=k")
    'no answer at http://[hidden]@a.example/v1?[hidden]'
    """
    # Word by word: one pattern for whole addresses took the square of a hostile text's length.
    return re.sub(r"\S+", _hide, text) if "://" in text else text


def _hide(word: re.Match[str]) -> str:
    scheme, found, rest = word[0].partition("://")
    _, at, place = rest.rpartition("@")  # the last one: a password may hold others
    place, query, _ = place.partition("?")
    return f"{scheme}{found}{'[hidden]' * bool(at)}{at}{place}{query}{'[hidden]' * bool(query)}"


def in_a_line(error: Exception, length: int = 300) -> str:
    r"""Return what another library says went wrong, in one line without secrets, and cut.

    >>> in_a_line(OSError("no answer:\n http://me:pass@a.example"), 33)
    'no answer: http://[hidden]@a.exa…'
    """
    # In this order: half an address does not show that what it begins with is a password.
    return shorten(without_secrets(" ".join(str(error).split())), length)


def width(text: str) -> int:
    """Return the columns of a terminal that a text takes: wide characters two, combining none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def caret(text: str, failure: Failure) -> list[str]:
    """Return the text around a failure with a caret under its place, and what is wrong there.

    >>> from fcbench.formats import parse
    >>> text = "<start_function_call>f{}<end_function_call>"
    >>> print(*caret(text, parse(text).failure)[:3], sep=chr(10))
    <start_function_call>f{}<end_function_call>
                         ^
    missing_call_prefix at character 21 (byte 21)
    """
    at = failure.offset
    before = visible(text[max(0, at - CONTEXT) : at])
    left = "…" if at > CONTEXT else ""
    right = "…" if at + CONTEXT < len(text) else ""
    return [
        f"{left}{before}{visible(text[at : at + CONTEXT])}{right}",
        f"{' ' * width(left + before)}^",
        f"{failure.kind} at character {at} (byte {failure.byte_offset})",
        f"expected: {visible(failure.expected)}",
        f"found:    {visible(failure.found)}",
        f"hint:     {failure.hint}",
    ]


def show(value: Json) -> str:
    """Return a value as Python writes it."""
    try:
        return repr(value)
    except ValueError:  # CPython does not print integers of more than 4,300 digits
        return "a number too long to show"
    except RecursionError:
        return "a value nested too deep to show"


def shorten(text: str, length: int = 160) -> str:
    """Return a text cut to a length, with … where something is missing."""
    return text if len(text) <= length else text[: length - 1] + "…"


def n_alike(first: Sequence[object], second: Sequence[object]) -> int:
    """Return how many items two texts, or rows of tokens, have in common from their beginning.

    >>> n_alike("chat", "char")
    3
    """
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
