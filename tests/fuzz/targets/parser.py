"""fcbench.parse, in every format, mode and stop; see properties.py for what holds of it."""

from __future__ import annotations

import re

from fcbench import registry
from fcbench.paths import data_folder
from tests.fuzz.choices import FromBytes
from tests.fuzz.inputs import SOUP, turn
from tests.fuzz.properties import Violation, shortest
from tests.fuzz.properties import check as check_text
from tests.fuzz.targets import seeded

FORMATS = tuple(registry.names("formats"))


def check(data: bytes) -> None:
    """Raise a Violation of the first property that the turn does not have."""
    format, text = turn(FromBytes(data), FORMATS)
    try:
        check_text(text, format)
    except Violation as violation:
        raise Violation(f"{format}: {violation.rule}", violation.seen) from violation


def smallest(data: bytes, rule: str) -> str:
    """Return the shortest text found that breaks the same rule in the same format."""
    format, text = turn(FromBytes(data), FORMATS)

    def breaks(text: str) -> bool:
        try:
            check_text(text, format)
        except Violation as violation:
            return f"{format}: {violation.rule}" == rule
        return False

    return shortest(text, breaks)


def first() -> list[bytes]:
    """Return bytes from which each grammar's examples are read, and some random bytes."""
    inputs = []
    for index, name in enumerate(FORMATS):
        grammar = (data_folder("grammars") / f"{name}.lark").read_text(encoding="utf-8")
        for example in re.findall(r"^//[+-] (.*)$", grammar, flags=re.MULTILINE):
            # Three decisions: this format, written in itself, and the text as it stands.
            text = example.replace(r"\n", "\n").encode("utf-8", "surrogatepass")
            inputs.append(bytes([index, 0, 0]) + text)
    return inputs + seeded(300, 100)


def words() -> list[str]:
    """Return the tokens of every notation."""
    return sorted({word for words in SOUP.values() for word in words})
