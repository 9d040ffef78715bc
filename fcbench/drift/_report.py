"""A drift for people, as text or Markdown."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from fcbench.drift._records import CAUSES
from fcbench.report._safe import plain
from fcbench.report.comparison import least_shown, letter, p_text
from fcbench.report.leaderboard import MARKDOWN, cell
from fcbench.text import shorten, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.drift._records import Answer, Drift, FlippedCase, PromptPair, Row, Span
    from fcbench.runs import Comparison

SHOWN_TEXT = 300
WIDTH = 110
_ABOUT_METRICS = (
    "Each cell: per cent [95 % Wilson interval]; errors are samples where the machinery failed, "
    "and in no metric. same answers: those in the very words of {reference}, up to a stop token."
)
_ABOUT_TESTS = (
    "lost, gained: cases that {reference} has right and the row has not, and the other way round. "
    "p: exact McNemar test, of repeats a sign-flip permutation test; Holm: adjusted for being one "
    "of {n} tests, all metrics of all rows."
)


def as_text(drift: Drift, n_flips: int = 3, style: str = "simple") -> str:
    """Return the metrics, the tests, how prompts differ, and flips of each row.

    `n_flips` is how many are shown of each row. Of those that another prompt or other weights
    explain, a terminal is shown one of each such prompt or weights. `style` is tabulate's; "github"
    makes Markdown of the whole.
    """
    suite = f"{drift.suite}, SHA-256 {drift.suite_sha256[:12]}"
    reference = letter(drift.reference)
    parts = [
        _title(f"{suite}: the same weights in {len(drift.rows)} ways", style),
        _metrics(drift, style),
        _prose(_ABOUT_METRICS.format(reference=reference)),
        *(_prose(f"note: {_said(note, style)}") for note in drift.notes),
        _tests(drift, style),
        _about_tests(drift),
        *_prompts(drift, style),
        *_flips(drift, n_flips, style),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(text: str, style: str) -> str:
    said = _said(text, style)
    return f"### {said}" if style == MARKDOWN else said


def _said(text: str, style: str) -> str:
    """Return names and words of others as nothing but that: neither controls nor markup."""
    return plain(text) if style == MARKDOWN else visible(text)


def _prose(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(body: Sequence[Sequence[str]], head: Sequence[str], style: str) -> str:
    from tabulate import tabulate

    if style == MARKDOWN:  # a row of its is one line
        head = [part.replace("\n", " ") for part in head]
    return tabulate(body, head, tablefmt=style, disable_numparse=True)


def _way(row: Row) -> str:
    named = (row.prompt, row.dtype, shorten(row.weights, 28), *row.decoding)
    return ", ".join(part for part in named if part)


# Metrics


def _metrics(drift: Drift, style: str) -> str:
    """Return the table of metrics, a row a way."""
    shown = {metric: _cells(metric, drift.rows) for metric in drift.metrics}
    has_backends = len({row.backend for row in drift.rows}) > 1
    has_errors = drift.n_errors > 0
    head = ["", "prompt", "dtype", "weights", *(["backend"] if has_backends else [])]
    head += [heading for heading, _ in shown.values()]
    head += ["same\nanswers", *(["errors"] if has_errors else [])]
    body = [
        [
            letter(i),
            _said(", ".join([row.prompt, *row.decoding]), style),
            _said(row.dtype or "—", style),
            _said(_weights(row), style),
            *([_said(row.backend, style)] if has_backends else []),
            *(cells[i] for _, cells in shown.values()),
            "" if i == drift.reference else "{} of {}".format(*drift.same_answers[i]),
            *([str(row.scores.n_errors)] if has_errors else []),
        ]
        for i, row in enumerate(drift.rows)
    ]
    for way in drift.not_run:
        given = (way.prompt, way.dtype or "—", shorten(way.weights, 28))
        named = ["—", *(_said(text, style) for text in given)]
        named += [""] * has_backends
        body.append([*named, "could not be run", *[""] * (len(head) - len(named) - 1)])
    return _table(body, head, style)


def _weights(row: Row) -> str:
    name = shorten(row.weights, 28)
    return f"{name} (not active)" if row.adapter_active is False else name


def _cells(metric: str, rows: Sequence[Row]) -> tuple[str, list[str]]:
    """Return a metric's heading and cells; an n that all rows share stands in the heading."""
    name = metric.replace("_", " ")
    estimates = [row.scores.metrics[metric] for row in rows]
    sizes = {estimate.n for estimate in estimates}
    cells = list(map(cell, estimates))
    if len(sizes) > 1:
        return name, cells
    n = f"of {sizes.pop()}"
    return f"{name}\n{n}", [text.removesuffix(f" {n}") for text in cells]


# Tests


def _about_tests(drift: Drift) -> str:
    if not any(c.flips for found in drift.comparisons.values() for c in found.values()):
        return ""
    return _prose(_ABOUT_TESTS.format(reference=letter(drift.reference), n=drift.n_tests))


def _tests(drift: Drift, style: str) -> str:
    """Return the tests of all metrics, of the rows that have a flip in one of them."""
    name = letter(drift.reference)
    title = f"compared with {name} ({_way(drift.rows[drift.reference])})"
    others = [i for i in range(len(drift.rows)) if i != drift.reference]
    flipped = [i for i in others if any(found[i].flips for found in drift.comparisons.values())]
    names = (metric.replace("_", " ") for metric in drift.metrics)
    head = ["", "", "causes", *(f"{metric}\nlost gained p (Holm)" for metric in names)]
    body = [
        [
            letter(i),
            _said(_way(drift.rows[i]), style),
            _causes(drift, i),
            *(_test(drift.comparisons[metric][i]) for metric in drift.metrics),
        ]
        for i in flipped
    ]
    alike = [letter(i) for i in others if i not in flipped]
    lines = [f"no case flips in {', '.join(alike)}"] if alike else []
    parts = [_title(title, style), _table(body, head, style) if body else ""]
    return "\n\n".join(part for part in (*parts, "\n".join([*lines, _power(drift)])) if part)


def _test(c: Comparison) -> str:
    if not c.n:
        return "—"
    if not c.flips:
        return "no flip"
    lost = sum(flip.b.value < flip.a.value for flip in c.flips)
    return f"-{lost} +{len(c.flips) - lost}  {p_text(c.p_value)} ({p_text(c.p_adjusted)})"


def _causes(drift: Drift, row: int) -> str:
    counted = Counter(flip.cause.kind for flip in drift.flips if flip.row == row)
    return ", ".join(f"{kind} {n}" for kind, n in counted.most_common())


def _power(drift: Drift) -> str:
    """Say what the cases of each metric can show at best, those of as many cases in one line."""
    sizes: dict[int, list[str]] = {}
    for metric, found in drift.comparisons.items():
        # Errors leave cases out of a row: the row with most can show most.
        n = max((c.n for c in found.values() if c.table is not None), default=0)
        if n:
            sizes.setdefault(n, []).append(metric.replace("_", " "))
    if not any(c.n for found in drift.comparisons.values() for c in found.values()):
        return "no case has a value in two rows"
    return "\n".join(
        f"{', '.join(names)}: {least_shown(n, drift.n_tests)}" for n, names in sizes.items()
    )


# Prompts


def _prompts(drift: Drift, style: str) -> list[str]:
    """Return how prompt modes differ, and whether each is the same in all of its rows."""
    parts = []
    if drift.prompts:
        unit = drift.prompts[0].unit
        title = f"how the prompts differ: {unit}, the median case and the range of cases"
        head = [
            "",
            "cases",
            "length",
            "alike at the start",
            "differing between",
            "alike at the end",
        ]
        body = [_pair(pair, style) for pair in drift.prompts]
        examples = [_prose(_said(_parting(pair), style)) for pair in drift.prompts]
        parts += [_title(title, style), _table(body, head, style), "\n".join(examples)]
    lines = [
        _prose(
            _said(
                f"{letter(d.first)}, {letter(d.second)} ({drift.rows[d.first].prompt}): "
                + ("other prompt texts" if d.what == "text" else "other numbers of prompt tokens")
                + f" in {d.n} of {d.n_cases} cases; {d.example[0]}: {d.example[1]}, {d.example[2]}",
                style,
            )
        )
        for d in drift.disagreements
    ]
    n_modes = len({row.prompt for row in drift.rows})
    if not lines and n_modes < len(drift.rows):
        lines = ["each prompt has the same text, and as many tokens, in all of its rows"]
    return [*parts, "\n".join(lines)]


def _pair(pair: PromptPair, style: str) -> list[str]:
    return [
        _said(f"{pair.first}, {pair.second}", style),
        str(pair.n),
        " / ".join(map(_span, pair.lengths)),
        _span(pair.at),
        " / ".join(map(_span, pair.differing)),
        _span(pair.at_end),
    ]


def _parting(pair: PromptPair) -> str:
    a, b = (repr(text) for text in pair.example)
    return f"{pair.first} and {pair.second} part at {a}, {b}"


def _span(span: Span) -> str:
    middle = f"{span.median:g}"
    return middle if span.low == span.high else f"{middle} ({span.low}–{span.high})"


# Flips


def _flips(drift: Drift, n_flips: int, style: str) -> list[str]:
    """Return the causes counted, the telling flips row by row, and examples of the others."""
    if not drift.flips:
        return []
    counted = Counter(flip.cause.kind for flip in drift.flips)
    lines = [_title(f"why cases are not scored as in {letter(drift.reference)}", style), ""]
    lines += [f"{n:>6}  {kind}: {CAUSES[kind]}" for kind, n in counted.most_common()]
    parts = ["\n".join(lines)]
    explained: dict[str, list[FlippedCase]] = {}
    for i in range(len(drift.rows)):
        own = [flip for flip in drift.flips if flip.row == i]
        telling = [flip for flip in own if not _explanation(drift, flip)]
        if telling and n_flips:
            parts.append(_block(drift, _count(drift, i, telling), telling, n_flips, style))
        for flip in own:
            if key := _explanation(drift, flip):
                explained.setdefault(key, []).append(flip)
    for key, flips in explained.items() if n_flips else ():
        rows = ", ".join(letter(i) for i in dict.fromkeys(flip.row for flip in flips))
        # Markdown is asked for everything, a terminal for what can be read.
        n = n_flips if style == MARKDOWN else 1
        parts.append(_block(drift, f"{key}: {len(flips)} flips in {rows}", flips, n, style))
    return parts


def _explanation(drift: Drift, flip: FlippedCase) -> str:
    """Return what is known to be other in a flip's row, "" where the flip itself has to tell."""
    row, reference = drift.rows[flip.row], drift.rows[drift.reference]
    if flip.cause.kind == "prompt" and row.prompt != reference.prompt:
        return f"{row.prompt}, not {reference.prompt}"
    if flip.cause.kind == "weights" and "base" in {row.weights, reference.weights}:
        return f"{row.weights}, not {reference.weights}"
    return ""


def _count(drift: Drift, row: int, flips: Sequence[FlippedCase]) -> str:
    count = "1 case" if len(flips) == 1 else f"{len(flips)} cases"
    name = f"{letter(row)} ({_way(drift.rows[row])})"
    return f"{name}: {count} not scored as in {letter(drift.reference)}"


def _block(drift: Drift, title: str, flips: Sequence[FlippedCase], n_flips: int, style: str) -> str:
    lines = [_title(title, style)]
    for flip in flips[:n_flips]:
        cause = f"    {flip.cause.kind}: {visible(flip.cause.detail)}"
        block = [
            f"  {visible(flip.case_id)}: {letter(flip.row)} {_direction(flip)}",
            _prose(cause, "      "),
            *_answer(letter(drift.reference), flip.reference),
            *_answer(letter(flip.row), flip.answer),
        ]
        lines += ["", *(["```", *block, "```"] if style == MARKDOWN else block)]
    if len(flips) > n_flips:
        lines += ["", f"  … and {len(flips) - n_flips} more (--json and --markdown have all)"]
    return "\n".join(lines)


def _direction(flip: FlippedCase) -> str:
    words = [
        f"{verb} {', '.join(name.replace('_', ' ') for name in names)}"
        for verb, names in (("loses", flip.lost), ("gains", flip.gained))
        if names
    ]
    return "; ".join(words) or "is in no comparison"


def _answer(name: str, answer: Answer) -> list[str]:
    if answer.outcome == "error":
        return [f"    {name}: error: {visible(answer.reason or '')}"]
    said = f": {visible(answer.reason)}" if answer.reason else (": right" if answer.outcome else "")
    return [f"    {name}{said}", f"      {visible(shorten(answer.text, SHOWN_TEXT))}"]
