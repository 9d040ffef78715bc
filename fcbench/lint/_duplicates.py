"""Cases that are asked twice, and evaluation cases that stand in a training file."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from fcbench.lint._finding import Finding

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from fcbench.types import Case, Json

SHINGLE = 5  # characters
NEAR = 0.8  # Jaccard similarity of two texts' shingles from which they are nearly the same


def duplicates(cases: Sequence[Case]) -> Iterator[Finding]:
    """Yield the cases whose messages and tools an earlier case has too."""
    seen: dict[Hashable, Case] = {}
    for case in cases:
        tools = [msgspec.structs.asdict(tool) for tool in case.tools]
        key = _frozen([case.messages, sorted(tools, key=lambda tool: str(tool["name"]))])
        earlier = seen.setdefault(key, case)
        if earlier is not case:
            same = "the same" if earlier.expected == case.expected else "ANOTHER"
            what = f"asks what {earlier.id} asks and expects {same} answer"
            yield Finding("duplicate", case.id, "$.messages", what)


def _frozen(value: Json) -> Hashable:
    """Return a JSON value as one that can be a key: 1, 1.0 and true are three."""
    if isinstance(value, dict):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return type(value), value


def leaks(cases: Sequence[Case], training: Sequence[Case]) -> Iterator[Finding]:
    """Yield the cases whose words a training case has, or nearly has.

    The words are those of all messages but the developer's, without case, spacing and
    punctuation. Nearly the same are words whose sets of 5-character pieces have a Jaccard
    similarity of 0.8 or more. Every such pair is found (prefix filtering: Bayardo, Ma and Srikant,
    "Scaling up all pairs similarity search", WWW 2007), one a case is told.
    """
    texts = {case.id: _words(case) for case in training}
    exact = {text: case_id for case_id, text in reversed(texts.items())}
    index = _Index(texts)
    for case in cases:
        text = _words(case)
        if not text:  # a mark or two: nothing to have learned by heart
            continue
        if text in exact:
            yield Finding("leaked", case.id, "$.messages", f"the words of {exact[text]}")
            continue
        nearest = index.nearest(text)
        if nearest is not None:
            similarity, case_id = nearest
            what = f"{similarity:.0%} alike with {case_id}"
            yield Finding("nearly_leaked", case.id, "$.messages", what)


class _Index:
    """Texts by their rarest pieces."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._pieces = {case_id: _shingles(text) for case_id, text in texts.items()}
        self._counts = Counter(p for pieces in self._pieces.values() for p in pieces)
        self._holders: dict[str, list[str]] = {}
        for case_id, pieces in self._pieces.items():
            for piece in self._prefix(pieces):
                self._holders.setdefault(piece, []).append(case_id)

    def nearest(self, text: str) -> tuple[float, str] | None:
        """Return the nearest text's similarity and id, if it is near."""
        pieces = _shingles(text)
        candidates = {c for p in self._prefix(pieces) for c in self._holders.get(p, ())}
        scored = [(_jaccard(pieces, self._pieces[c]), c) for c in candidates]
        return max((pair for pair in scored if pair[0] >= NEAR), default=None)

    def _prefix(self, pieces: frozenset[str]) -> list[str]:
        """Return as many of the rarest pieces as two near texts must share one of."""
        rarest = sorted(pieces, key=lambda piece: (self._counts[piece], piece))
        return rarest[: len(pieces) - math.ceil(NEAR * len(pieces)) + 1]


def _words(case: Case) -> str:
    said = [
        str(message.get("content") or "")
        for message in case.messages
        if message["role"] not in ("developer", "system")
    ]
    letters = (
        " " if unicodedata.category(c)[0] in "PZC" else c for c in "\n".join(said).casefold()
    )
    return " ".join("".join(letters).split())


def _shingles(text: str) -> frozenset[str]:
    n_pieces = max(1, len(text) - SHINGLE + 1)
    return frozenset(text[i : i + SHINGLE] for i in range(n_pieces))


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b)
