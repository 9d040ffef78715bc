"""Hostile text -> HTML in which it can neither run, nor hide, nor move what stands beside it."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup, escape

from fcbench.text import shorten

if TYPE_CHECKING:
    from fcbench.types import Json

# What is drawn as nothing, or turns the direction of what follows, by first and last code point.
# The page's script is given the same list.
INVISIBLE = [
    (0x00, 0x1F),  # controls
    (0x7F, 0xA0),  # more of them, and the no-break space, which is no space to a matcher
    (0xAD, 0xAD),  # soft hyphen
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x1680, 0x1680),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2000, 0x200F),  # spaces of other widths, zero-width ones, direction marks
    (0x2028, 0x202F),  # line separators, direction overrides
    (0x205F, 0x206F),
    (0x2800, 0x2800),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xD800, 0xF8FF),  # lone surrogates, private use
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),  # tags
    (0xF0000, 0x10FFFF),  # private use
]
_PATTERN = re.compile("[" + "".join(f"\\U{a:08x}-\\U{b:08x}" for a, b in INVISIBLE) + "]")
MOST_SHOWN = 400
LONGEST_LINKED = 200


def plain(text: str) -> str:
    r"""Return a text in which everything invisible is named: for attributes and for SVG.

    Of a long one only the beginning: the whole of it is in the case browser.

    >>> plain("a\u202eb")
    'a⟨U+202E⟩b'
    """
    return _PATTERN.sub(lambda found: f"⟨{_named(found[0])}⟩", shorten(text, MOST_SHOWN))


def shown(text: object) -> Markup:
    r"""Return a text as HTML: what is invisible becomes a labelled mark, and nothing is markup.

    Of a long one only the beginning, as above.

    >>> str(shown("<b>\x00"))
    '<bdi>&lt;b&gt;<span class="unseen" title="control character">U+0000</span></bdi>'
    """
    parts, done = [Markup("<bdi>")], 0
    written = shorten(str(text), MOST_SHOWN)
    for found in _PATTERN.finditer(written):
        parts += [escape(written[done : found.start()]), _mark(found[0])]
        done = found.end()
    return Markup("").join([*parts, escape(written[done:]), Markup("</bdi>")])


def written(value: Json) -> str:
    """Return a value as JSON writes it, so that 1, 1.0, "1" and true look different."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except ValueError:  # CPython does not print integers of more than 4,300 digits
        return "a number too long to show"
    except RecursionError:
        return "a value nested too deep to show"


def embedded(value: Json) -> Markup:
    r"""Return JSON for a data block of a page: ASCII, and nothing that HTML reads as markup.

    >>> str(embedded("</script>\u2028"))
    '"\\u003c/script\\u003e\\u2028"'
    """
    text = json.dumps(value, separators=(",", ":"))  # ASCII: U+2028 and surrogates are escaped
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  nothing in it is markup any more


def units(text: str) -> int:
    r"""Return how many UTF-16 units a text has: what JavaScript counts characters in.

    >>> units("a😀"), units("\ud83d")
    (3, 1)
    """
    return len(text) + sum(character > "\uffff" for character in text)


def link_to(case_id: str, group: int, index: int) -> str:
    r"""Return the address of a case within the report; by its place where its id cannot name it.

    >>> link_to("a&b", 0, 4), link_to("\ud800", 0, 4)
    ('#case=a%26b', '#at=0.4')
    """
    if len(case_id) > LONGEST_LINKED:
        return f"#at={group}.{index}"
    try:
        return "#case=" + quote(case_id, safe="") + (f"&group={group}" if group else "")
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8
        return f"#at={group}.{index}"


def _mark(character: str) -> Markup:
    name = unicodedata.name(character, "").lower()
    if not name:
        kinds = {"Cs": "lone surrogate", "Cc": "control character"}
        name = kinds.get(unicodedata.category(character), "no character of Unicode")
    return Markup('<span class="unseen" title="{}">{}</span>').format(name, _named(character))


def _named(character: str) -> str:
    return f"U+{ord(character):04X}"
