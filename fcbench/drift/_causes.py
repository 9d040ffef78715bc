"""Why two rows do not score a case the same, from what is stored and the reference's logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fcbench.drift._gauge import Gap, near_tie
from fcbench.drift._prompts import parting
from fcbench.drift._records import Cause
from fcbench.formats import module_of, until_stop
from fcbench.text import n_alike, shorten

if TYPE_CHECKING:
    from fcbench.drift._gauge import Gauge
    from fcbench.drift._records import Row
    from fcbench.types import Json, Sample


class Pair(NamedTuple):
    """What the reference and another row did with one case."""

    row: Row
    other: Row
    sample: Sample
    other_sample: Sample

    def turns(self) -> tuple[str, str]:
        """Return both answers up to their first stop token, which not all backends keep."""
        formats = dict.fromkeys(row.manifest["format"]["name"] for row in self[:2])
        stops = [stop for name in formats for stop in module_of(name).STOP_TOKENS]
        own, other = (until_stop(stops, sample.text) for sample in self[2:])
        return own, other

    def has_same_words(self) -> bool:
        """Whether both wrote the same, and called the same where a server says so."""
        own, other = self.turns()
        called = [sample.native_calls for sample in self[2:]]
        # Words beside words are compared where only one of them went through a server's parser.
        return own == other and (None in called or called[0] == called[1])


def cause(pair: Pair, gauge: Gauge | None) -> Cause:
    """Return why a case flipped, from what is stored and, where it can be had, the gap."""
    a, b = pair.sample, pair.other_sample
    for sample, whose in ((b, "here"), (a, "in the reference")):
        if sample.error is not None:
            return Cause("machinery", f"no answer {whose}: {sample.error}")
    if (a.native_calls is None) != (b.native_calls is None) and pair.has_same_words():
        where = "in the reference" if b.native_calls is None else "here"
        return Cause("judging", f"the same words, which a server's own parser read {where}")
    if a.prompt_sha256 != b.prompt_sha256:
        return _other_prompt(pair)
    if None not in (a.prompt_tokens, b.prompt_tokens) and a.prompt_tokens != b.prompt_tokens:
        numbers = f"{b.prompt_tokens} prompt tokens here, {a.prompt_tokens} in the reference"
        return Cause("tokenisation", f"{numbers}, of the same text")
    if pair.has_same_words():
        return _same_words(pair)
    own, other = pair.turns()
    at = n_alike(own, other)
    cut = [s for s, text in ((a, own), (b, other)) if len(text) == at and s.stop == "limit"]
    # An answer that ended, and with which the other goes on, was not cut: the other wrote more.
    if cut and len(own) != len(other):
        return Cause("stop", _stops(a, b), at)
    return _other_words(pair, at, gauge)


def _other_prompt(pair: Pair) -> Cause:
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


def _same_words(pair: Pair) -> Cause:
    a, b = pair.sample, pair.other_sample
    formats = [row.manifest["format"]["name"] for row in (pair.other, pair.row)]
    if a.stop != b.stop:
        return Cause("stop", _stops(a, b))
    if formats[0] == formats[1]:
        return Cause("machinery", "the same words, but one of the two lacks some of the repeats")
    return Cause("judging", f"judged as {formats[0]} here, as {formats[1]} in the reference")


def _stops(a: Sample, b: Sample) -> str:
    here, there = _stop(b), _stop(a)
    return f"{here} here, {there} in the reference"


def _stop(sample: Sample) -> str:
    words = {
        "token": "ended by itself",
        "limit": "cut by the limit",
        None: "ended nobody knows how",
    }
    after = "" if sample.output_tokens is None else f" after {sample.output_tokens} tokens"
    return words[sample.stop] + after


def _other_words(pair: Pair, at: int, gauge: Gauge | None) -> Cause:
    """Return the cause where the same prompt was answered otherwise, from a character on."""
    known = _known_weights(pair)
    gap, why = _gap(pair, gauge)
    if gap is None:
        own, other = parting(*pair.turns())
        where = f"at character {at + 1} {_show(other)}, not {_show(own)}"
        said = f"{known}; {where}" if known else f"{where}; {why}"
        return Cause("weights" if known else "text", said, at)
    dtypes = [pair.row.dtype, pair.other.dtype]
    tie = near_tie(gap.size, dtypes)
    where = f"at token {gap.n_alike + 1} {_show(gap.second)}, not {_show(gap.first)}"
    size = f"to the reference their logits are {abs(gap.value):.2g} apart in {pair.row.dtype}"
    limit = f"rounding moves them by {tie:.2g} at most, of {gap.size:.3g}"
    if known:
        return Cause("weights", f"{known}; {where}: {size}", at, gap.value)
    if abs(gap.value) < tie:
        return Cause("rounding", f"a near tie; {where}: {size}, {limit}", at, gap.value)
    if has_same_weights(pair.row, pair.other):
        said = f"no tie, of the same weights; {where}: {size}, {limit}"
        return Cause("arithmetic", said, at, gap.value)
    said = f"no tie: weights or arithmetic differ; {where}: {size}, {limit}"
    return Cause("weights", said, at, gap.value)


def _gap(pair: Pair, gauge: Gauge | None) -> tuple[Gap | None, str]:
    """Return the gap where two answers part, or why there is none."""
    if gauge is None:
        return None, "no gap without a reference that transformers runs"
    if any(row.manifest["decoding"].get("temperature") for row in (pair.row, pair.other)):
        return None, "tokens were drawn, so that no gap explains one"
    prompt = pair.row.texts.get(pair.sample.prompt_sha256)
    if prompt is None or gauge.is_tired:
        return None, "its gap was not measured"
    gap = gauge.gap(prompt, pair.sample, pair.other_sample)
    return gap, "no gap: the texts do not say of which tokens they were made"


def _known_weights(pair: Pair) -> str:
    """Return a sentence where the two are known to be of other weights, else ""."""
    names = {pair.row.weights, pair.other.weights}
    is_inactive = False in (pair.row.adapter_active, pair.other.adapter_active)
    is_other = "base" in names and names & {"adapter", "merged"} and not is_inactive
    if is_other and not has_same_weights(pair.row, pair.other):
        return f"{pair.other.weights} weights, not {pair.row.weights}"
    return ""


def has_same_weights(first: Row, second: Row) -> bool:
    """Whether both are known to be of the same stored numbers, adapters included."""
    own = _identity(first)
    return own is not None and own == _identity(second)


def _identity(row: Row) -> tuple[Json, ...] | None:
    """Return what names a row's weights, whatever dtype they run in; None where nothing does."""
    model = row.manifest["model"]
    base = model.get("weights_sha256")
    if base is None and model.get("revision") is not None:
        base = (model["name"], model["revision"])
    adapter = None if row.adapter_active is False else model.get("adapter")
    sha256 = None if adapter is None else adapter.get("sha256")
    is_known = base is not None and (adapter is None or sha256 is not None)
    return (base, sha256) if is_known else None


def _show(text: str) -> str:
    return repr(shorten(text, 24)) if text else "the end"
