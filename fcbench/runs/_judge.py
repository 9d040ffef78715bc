"""A sample -> its verdict: parse, then match."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.backends import not_json
from fcbench.formats import parse
from fcbench.matching import judge
from fcbench.types import Parse

if TYPE_CHECKING:
    from fcbench.types import Case, Matching, Sample, Verdict


def judge_sample(
    case: Case, sample: Sample, format: str, matching: Matching, *, lenient: bool = True
) -> Verdict:
    """Return the verdict on a sample; without `lenient` that of a lenient parse is left out."""
    if sample.native_calls is not None:
        return _judge_native(case, sample, format, matching)
    parsed = parse(sample.text, format, "strict", sample.stop)
    forgiven = None
    if lenient and parsed.outcome == "malformed":
        forgiven = parse(sample.text, format, "lenient", sample.stop)
    return judge(case, sample, parsed, matching, forgiven)


def _judge_native(case: Case, sample: Sample, format: str, matching: Matching) -> Verdict:
    """Judge by a server's own calls; where its text is known, ours of it are kept beside them."""
    own = parse(sample.text, format, "strict", sample.stop) if sample.text else None
    if sample.native_calls:
        broken = not_json(sample.native_calls)
        counted = Parse("malformed" if broken else "calls", sample.native_calls, broken)
    elif own is None or own.outcome != "calls":
        counted = own or Parse("abstained")
    else:  # it did attempt calls, of which the server's parser made none
        counted = Parse("malformed")
    return judge(case, sample, counted, matching, own=own)
