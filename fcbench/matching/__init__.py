"""Expected calls x called calls -> verdict. One file a matcher.

A matcher's module has `match(case, calls, matching) -> Match` for a case that expects a call. One
whose HAS_OPTIONS is False has rules that no option of Matching changes.

>>> from fcbench.types import Call, Case, Parse, Sample
>>> case = Case("a", [], [], [[Call("show_map", {"query": "Oslo"})]])
>>> verdict = judge(case, Sample("a"), Parse("calls", [Call("show_map", {"query": "oslo"})]))
>>> verdict.name, verdict.arguments
(True, False)
>>> verdict.pairs[0].arguments
[ArgumentVerdict(path='query', result='different', expected='Oslo', called='oslo')]
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fcbench import registry
from fcbench.errors import UsageError
from fcbench.matching._normalise import steps
from fcbench.matching._values import equal
from fcbench.types import Matching, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from fcbench.types import Call, CallPair, Case, Parse, Sample


class Match(NamedTuple):
    """Whether names, and whole calls, are those of an accepted answer; None: nobody knows."""

    name: bool | None
    arguments: bool | None
    pairs: list[CallPair]


def judge(  # noqa: PLR0913  a verdict's parts
    case: Case,
    sample: Sample,
    parsed: Parse,
    matching: Matching | None = None,
    lenient: Parse | None = None,
    own: Parse | None = None,
) -> Verdict:
    """Return how one parsed sample compares with its case; `lenient` is what lenient parsing made.

    `own` is what our grammar makes of the text beside native calls, of which `parsed` then is.
    UsageError for a matcher, or an option of one, that does not exist.
    """
    matching = matching or Matching()
    # A server's own calls say nothing about the syntax of a text that nobody saw.
    written = parsed if sample.native_calls is None else own
    syntax = None
    if written is not None and sample.error is None:
        syntax = written.outcome == "calls"
    found = Match(None, None, [])
    if sample.error is None and case.expects_call:
        found = _matcher(matching).match(case, parsed.calls, matching)
    differs = None if own is None else not same_calls(own.calls, sample.native_calls or [])
    verdict = Verdict(case, sample, parsed, syntax, *found, own=own, server_parser=differs)
    if lenient is None:
        return verdict
    return msgspec.structs.replace(verdict, lenient=judge(case, sample, lenient, matching))


def same_calls(first: Sequence[Call], second: Sequence[Call]) -> bool:
    """Whether two lists hold the same calls in the same order, their arguments equal as JSON."""
    return len(first) == len(second) and all(
        a.name == b.name and equal(a.arguments, b.arguments)
        for a, b in zip(first, second, strict=True)
    )


def check_matching(matching: Matching) -> None:
    """Raise UsageError for a matcher, or an option of one, that does not exist."""
    _matcher(matching)


@cache
def _matcher(matching: Matching) -> ModuleType:
    module = registry.load("matching", matching.matcher)
    steps(matching.normalise)
    if not getattr(module, "HAS_OPTIONS", True) and matching != Matching(matching.matcher):
        raise UsageError(
            f"the matcher {matching.matcher} takes no normalise and no schema_defaults",
            hint="leave them out, or use the matcher exact",
        )
    return module
