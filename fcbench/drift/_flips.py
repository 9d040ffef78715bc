"""The cases that a row does not score as the reference does, each with its cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fcbench.drift._gauge import NEAR_TIE, Gap, n_alike
from fcbench.drift._prompts import parting, samples_of
from fcbench.drift._records import Answer, Cause, FlippedCase
from fcbench.runs import Comparison, compare
from fcbench.stats import holm
from fcbench.text import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.drift._gauge import Gauge
    from fcbench.drift._records import Row
    from fcbench.runs import Side
    from fcbench.types import Sample

Comparisons = dict[str, dict[int, Comparison]]


def compare_rows(rows: Sequence[Row], reference: int, metric: str) -> dict[int, Comparison]:
    """Return the comparison of the reference with each other row, by index, with Holm's p values.

    UsageError for rows over other cases or judged by other rules.
    """
    found = {
        i: compare(rows[reference].scores, row.scores, metric)
        for i, row in enumerate(rows)
        if i != reference
    }
    tested = {i: c.p_value for i, c in found.items() if c.p_value is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {i: msgspec.structs.replace(c, p_adjusted=adjusted.get(i)) for i, c in found.items()}


def same_answers(reference: Row, row: Row) -> tuple[int, int]:
    """Return how many cases both answered in the very same words, and how many both answered."""
    a, b = samples_of(reference), samples_of(row)
    both = [key for key in a if key in b and a[key].error is b[key].error is None]
    return sum(_words(a[key]) == _words(b[key]) for key in both), len(both)


def _words(sample: Sample) -> tuple[str, object]:
    return sample.text, sample.native_calls


def flips(
    rows: Sequence[Row], reference: int, comparisons: Comparisons, gauge: Gauge | None
) -> list[FlippedCase]:
    """Return every flip of every row, in the order of the rows and cases.

    A case that only one of the two answered is one of them, though it is in no comparison.
    """
    found = []
    for i, row in enumerate(rows):
        if i != reference:
            of_row = {metric: pairs[i] for metric, pairs in comparisons.items()}
            found += _flips(rows[reference], i, row, of_row, gauge)
    return found


class _Pair(NamedTuple):
    """What the reference and another row did with one case."""

    row: Row
    other: Row
    sample: Sample
    other_sample: Sample


def _flips(
    reference: Row, i: int, row: Row, of_row: Mapping[str, Comparison], gauge: Gauge | None
) -> list[FlippedCase]:
    a, b = samples_of(reference), samples_of(row)
    sides = {
        metric: {flip.case_id: (flip.a, flip.b) for flip in comparison.flips}
        for metric, comparison in of_row.items()
    }
    found = []
    for case_id in a:
        flipped = {metric: of[case_id] for metric, of in sides.items() if case_id in of}
        pair = _Pair(reference, row, a[case_id], b[case_id])
        is_alone = (a[case_id].error is None) != (b[case_id].error is None)
        if not flipped and not is_alone:
            continue
        own, other = next(iter(flipped.values()), (None, None))
        found.append(
            FlippedCase(
                row=i,
                case_id=case_id,
                lost=[m for m, (x, y) in flipped.items() if y.value < x.value],
                gained=[m for m, (x, y) in flipped.items() if y.value > x.value],
                reference=_answer(a[case_id], own),
                answer=_answer(b[case_id], other),
                cause=cause(pair, gauge),
            )
        )
    return found


def _answer(sample: Sample, side: Side | None) -> Answer:
    if sample.error is not None:
        return Answer("error", sample.error, "")
    if side is None:  # the other one is the error, and nothing was compared
        return Answer("", None, sample.text)
    return Answer(side.outcome, side.reason, side.text)


def cause(pair: _Pair, gauge: Gauge | None) -> Cause:
    """Return why a case flipped, from what is stored and, where it can be had, the gap."""
    a, b = pair.sample, pair.other_sample
    for sample, whose in ((b, "here"), (a, "in the reference")):
        if sample.error is not None:
            return Cause("machinery", f"no answer {whose}: {sample.error}")
    if a.prompt_sha256 != b.prompt_sha256:
        return _other_prompt(pair)
    if None not in (a.prompt_tokens, b.prompt_tokens) and a.prompt_tokens != b.prompt_tokens:
        numbers = f"{b.prompt_tokens} prompt tokens here, {a.prompt_tokens} in the reference"
        return Cause("tokenisation", f"{numbers}, of the same text")
    if _words(a) == _words(b):
        return _same_words(pair)
    at = n_alike(a.text, b.text)
    is_part = at == min(len(a.text), len(b.text))
    if is_part and {a.stop, b.stop} == {"token", "limit"}:
        return Cause("stop", _stops(a, b), at)
    return _other_words(pair, at, gauge)


def _other_prompt(pair: _Pair) -> Cause:
    texts = (
        pair.row.texts.get(pair.sample.prompt_sha256),
        pair.other.texts.get(pair.other_sample.prompt_sha256),
    )
    if pair.row.prompt != pair.other.prompt:
        what = f"asked with {pair.other.prompt}, not {pair.row.prompt}"
    else:
        what = f"another text of the same prompt mode {pair.row.prompt}"
    if None in texts:
        return Cause("prompt", what)
    place = f"from character {n_alike(*map(str, texts)) + 1} on"
    own, other = parting(*texts)
    return Cause("prompt", f"{what}: {place} {other!r}, not {own!r}")


def _same_words(pair: _Pair) -> Cause:
    a, b = pair.sample, pair.other_sample
    if a.stop != b.stop:
        return Cause("stop", _stops(a, b))
    formats = [row.manifest["format"]["name"] for row in (pair.other, pair.row)]
    return Cause("judging", f"judged as {formats[0]} here, as {formats[1]} in the reference")


def _stops(a: Sample, b: Sample) -> str:
    words = {"token": "ended by itself", "limit": "cut by the limit", None: "unknown"}
    here, there = (f"{words[s.stop]} after {s.output_tokens} tokens" for s in (b, a))
    return f"{here} here, {there} in the reference"


def _other_words(pair: _Pair, at: int, gauge: Gauge | None) -> Cause:
    """Return the cause where the same prompt was answered otherwise, from a character on."""
    a, b = pair.sample, pair.other_sample
    known = _known_weights(pair)
    gap: Gap | None = None
    prompt = pair.row.texts.get(a.prompt_sha256)
    if gauge is None:
        why = "no gap without a reference that transformers runs"
    elif prompt is None or gauge.is_tired:
        why = "its gap was not measured"
    else:
        gap = gauge.gap(prompt, a, b)
        why = "no gap: the texts do not say of which tokens they were made"
    if gap is None or gauge is None:
        own, other = parting(a.text, b.text)
        where = f"at character {at + 1} {_show(other)}, not {_show(own)}"
        said = f"{known}; {where}" if known else f"{where}; {why}"
        return Cause("weights" if known else "text", said, at)
    is_tie = abs(gap.value) < NEAR_TIE and not known
    verdict = known or ("a near tie" if is_tie else "no tie: weights or arithmetic differ")
    where = f"at token {gap.n_alike + 1} {_show(gap.second)}, not {_show(gap.first)}"
    size = f"to the reference their logits are {abs(gap.value):.2g} apart in {gauge.dtype}"
    return Cause("rounding" if is_tie else "weights", f"{verdict}; {where}: {size}", at, gap.value)


def _known_weights(pair: _Pair) -> str:
    """Return a sentence where the two are known to be of other weights, else ""."""
    names = {pair.row.weights, pair.other.weights}
    is_inactive = False in (pair.row.adapter_active, pair.other.adapter_active)
    if "base" in names and names & {"adapter", "merged"} and not is_inactive:
        return f"{pair.other.weights} weights, not {pair.row.weights}"
    return ""


def _show(text: str) -> str:
    return repr(shorten(text, 24))
