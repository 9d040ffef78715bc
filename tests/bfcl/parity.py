"""Every output of every entry, judged by our matcher and by bfcl-eval's own checker."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench import Call, Case, Parse, Sample, parse, render
from fcbench.errors import FormatError
from fcbench.matching import judge
from fcbench.types import Matching
from tests.bfcl.outputs import Output, outputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fcbench.types import Verdict
    from tests.benchmarks.bfcl import BfclEval
    from tests.bfcl.entries import Entry

BFCL, EXACT = Matching("bfcl"), Matching("exact")
EVERY = 10  # of so many outputs one goes through both decoders too


class Disagreement(NamedTuple):
    """What ours and theirs say differently: `what` says how."""

    id: str
    kind: str
    calls: list[Call]
    what: str
    theirs_raises: bool


@dataclass
class Parity:
    """Counts; outputs that ours and theirs judge differently, and that exact and bfcl do."""

    entries: int = 0
    outputs: int = 0
    fewest_mistakes: int = 10**9
    right: int = 0
    wrong: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    exceptions: Counter[str] = field(default_factory=Counter)
    decoded: int = 0
    not_written: int = 0
    differing: list[tuple[Entry, Verdict, Verdict]] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)


def compare(found: Iterable[Entry], theirs: BfclEval) -> Parity:
    """Judge every output by both, and one in EVERY as a text too."""
    parity = Parity()
    for entry in found:
        made = outputs(entry)
        parity.entries += 1
        n_mistakes = sum(output.kind != "answer" for output in made)
        parity.fewest_mistakes = min(parity.fewest_mistakes, n_mistakes)
        for output in made:
            right = _compare_calls(parity, entry, output, theirs)
            if parity.outputs % EVERY == 0:
                _compare_text(parity, entry, output, theirs, right=right)
            parity.outputs += 1
    return parity


def judged(case: Case, calls: Sequence[Call], matching: Matching = BFCL) -> Verdict:
    """Return what our matcher says of calls."""
    parsed = Parse("calls" if calls else "abstained", list(calls))
    return judge(case, Sample(case.id, text="…"), parsed, matching)


def verdict_of_theirs(entry: Entry, calls: Sequence[Call], theirs: BfclEval) -> bool | str:
    """Return what bfcl-eval says of calls, or the name of the exception that it raises."""
    as_decoded = [{call.name: call.arguments} for call in calls]
    try:
        return theirs.check(entry.functions, as_decoded, entry.answers, entry.category)
    except Exception as error:  # noqa: BLE001  whatever its code raises
        return type(error).__name__


def _compare_calls(parity: Parity, entry: Entry, output: Output, theirs: BfclEval) -> bool:
    verdict = judged(entry.case, output.calls)
    ours = verdict.arguments is True
    exact = judged(entry.case, output.calls, EXACT)
    if ours is not exact.arguments:
        parity.differing.append((entry, exact, verdict))
    said = verdict_of_theirs(entry, output.calls, theirs)
    parity.kinds[output.kind] += 1
    if isinstance(said, str):
        parity.exceptions[said] += 1
    if ours is not (said is True):
        raises = isinstance(said, str)
        parity.disagreements.append(
            Disagreement(entry.id, output.kind, output.calls, f"theirs: {said}", raises)
        )
    elif ours:
        parity.right += 1
    else:
        parity.wrong += 1
    return ours


def _compare_text(
    parity: Parity, entry: Entry, output: Output, theirs: BfclEval, *, right: bool
) -> None:
    """Write the calls as Python, and let each read and judge them."""
    try:
        text = render(output.calls, "pythonic") if output.calls else "[]"
    except FormatError:
        parity.not_written += 1
        return
    read = parse(text, "pythonic")
    ours = judge(entry.case, Sample(entry.id, text=text), read, BFCL).arguments is True
    said: Any
    try:
        said = theirs.is_right(text, entry.functions, entry.answers, entry.category)
    except Exception as error:  # noqa: BLE001  whatever its code raises
        said = type(error).__name__
    parity.decoded += 1
    if not ours is right is (said is True):
        what = f"as text: {ours} {said}, as calls: {right}"
        raises = isinstance(said, str)
        parity.disagreements.append(Disagreement(entry.id, output.kind, output.calls, what, raises))
