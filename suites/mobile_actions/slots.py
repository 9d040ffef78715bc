"""Slots of a template: where a value may stand, and what its characters say about it."""

from __future__ import annotations

import re
import unicodedata

# Arguments whose values are free text, and their word pools.
FREE = {"query": "places", "subject": "subjects", "body": "bodies", "title": "titles"}
SLOT = re.compile(r"\{(\w+)#(\d)\}")


def number(template: str, index: int) -> str:
    """Return the template with its slots marked as those of call `index`."""
    return re.sub(r"\{(\w+)\}", rf"{{\1#{index}}}", template)


def fits(value: str, slot: str, before: str, after: str) -> bool:
    """Return whether it is plain where the value begins and ends between these texts."""
    quote = '"“”'
    delimiters = {('"', '"'): quote, ("“", "”"): quote, ("'", "'"): "'\u2019"}
    forbidden = delimiters.get((before[-1:], after[:1]))
    if forbidden is not None:
        doubled = value[-1] in ".!?," and after[1:2] in {".", "!", "?", ","}
        return not doubled and not set(value) & set(forbidden)
    if after[:1] in {"", "\n"}:
        if re.search(r"(^|\n)[^\n:{\"]{0,30}: $", before):  # a line of its own: "Subject: …"
            return True
        if value[-1] in ".!?,;:":
            return False
        return before.endswith(": ") or not set(value) & set("\"'")
    if slot in {"query", "first_name", "last_name"}:
        comma = "," if after[0] in ",:" or after.startswith(" and") else ""
        return not set(value) & set('"“”{}[]<>:' + comma) and " '" not in value
    return all(c.isalnum() or c in " -" or unicodedata.category(c)[0] == "M" for c in value)


def is_clear(template: str) -> bool:
    """Return whether no value in the template could be taken to go on or to stop early."""
    for match in re.finditer(r"(.?.?)\{(\w+)#\d\}(.?)", template):
        lead, slot, follow = match.groups()
        if slot in {*FREE, "to", "email", "phone_number", "last_name"} and follow == ".":
            return False
        if slot in FREE and slot != "query" and lead == ": " and follow:
            return False
    return True


def describe(arguments: dict[str, str]) -> set[str]:
    """Return the tags that follow from the characters of the free values."""
    text = "\n".join(v for k, v in arguments.items() if k in {*FREE, "first_name", "last_name"})
    found = {
        "punctuation": re.search(r"[,'\u2019:;&#()]", text),
        "quotes": re.search(r"[\"“”]|(?<!\w)'[^']+'(?!\w)", text),
        "braces": re.search(r"[{}\[\]<>]", text),
        "non_latin": any(
            (c.isalpha() and "LATIN" not in unicodedata.name(c)) or unicodedata.category(c) == "So"
            for c in text
        ),
    }
    return {tag for tag, present in found.items() if present}
