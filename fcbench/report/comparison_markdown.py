"""A comparison of runs as a page of Markdown: tables, tests, and every flipped case."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fcbench.report._safe import code, fenced, plain, table
from fcbench.report.comparison import (
    FOOTNOTE,
    letter,
    remarks,
    square_of,
    table_of,
    value_text,
)
from fcbench.report.leaderboard import model_label, rules_label, turns, unusual
from fcbench.text import caret, shorten, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fcbench.report.comparison import Pairs
    from fcbench.runs import Comparison, Flip, Scores, Side
    from fcbench.types import Call, Case, Verdict

SHOWN_TEXT = 2000


def as_markdown(
    names: Sequence[str], scored: Sequence[Scores], found: Mapping[str, Pairs], n_flips: int
) -> str:
    """Return the page. `found` is as in comparison.as_text: the flips are of its first metric."""
    letters = [letter(i) for i in range(len(names))]
    first = scored[0]
    rules = rules_label(first.matching)
    parts = [
        f"# {len(names)} runs over {plain(first.suite)}",
        f"{first.n_cases} cases, SHA-256 {first.suite_sha256}{f'; {rules}' if rules else ''}.",
        _runs(letters, names, scored),
    ]
    for metric, pairs in found.items():
        parts += _metric(metric, pairs, letters)
    parts += [FOOTNOTE]
    for pair, comparison in next(iter(found.values())).items():
        parts += _flips(pair, comparison, scored, n_flips)
    return "\n\n".join(parts) + "\n"


def _runs(letters: Sequence[str], names: Sequence[str], scored: Sequence[Scores]) -> str:
    rows = []
    for called, name, scores in zip(letters, names, scored, strict=True):
        manifest = scores.manifest
        model, prompt = "—", "—"
        if manifest:
            asked = manifest["prompt"]
            examples = f" + {asked['few_shot']}-shot" if asked["few_shot"] else ""
            model = model_label(manifest["model"])
            prompt = ", ".join([f"{asked['file'] or asked['mode']}{examples}", *unusual(manifest)])
        rows.append([
            called,
            plain(name),
            plain(model),
            plain(prompt),
            f"{scores.n_errors}",
            plain(turns(scores.outcomes)),
        ])  # fmt: skip
    return table(["", "run", "model", "prompt", "errors", "what the turns were"], rows)


def _metric(metric: str, pairs: Pairs, letters: Sequence[str]) -> Iterator[str]:
    yield f"## {metric.replace('_', ' ')}"
    head, body = table_of(pairs, letters)
    yield table(head, body)
    for (i, j), comparison in pairs.items():
        a, b = letters[i], letters[j]
        if not comparison.n:
            yield f"{a}, {b}: no case has a value in both."
            continue
        square = square_of(a, b, comparison)
        if square is not None:
            yield table(*square)
        for line in remarks(comparison):
            yield f"{a}, {b}: {line}."


def _flips(
    pair: tuple[int, int], comparison: Comparison, scored: Sequence[Scores], n_flips: int
) -> Iterator[str]:
    flips = comparison.flips
    if not flips or not n_flips:
        return
    a, b = (letter(i) for i in pair)
    yield f"## {a}, {b}: {len(flips)} flipped cases of {comparison.metric.replace('_', ' ')}"
    answers = [_first_answers(scored[i]) for i in pair]
    for flip in flips[:n_flips]:
        first, second = (of_run[flip.case_id] for of_run in answers)
        yield from _flip((a, b), flip, first, second)
    if len(flips) > n_flips:
        yield f"… and {len(flips) - n_flips} more (`--flips {len(flips)}`)."


def _flip(letters: tuple[str, str], flip: Flip, first: Verdict, second: Verdict) -> Iterator[str]:
    case = first.case
    yield f"### {code(flip.case_id)}"
    yield "Asked:"
    yield fenced(shorten(_asked(case), SHOWN_TEXT))
    yield "Expected:"
    yield fenced(shorten(_expected(case), SHOWN_TEXT))
    for called, side, verdict in zip(letters, (flip.a, flip.b), (first, second), strict=True):
        yield f"{called}, {value_text(side)}: {plain(side.reason or 'right')}"
        yield fenced(_answer(side, verdict))


def _answer(side: Side, verdict: Verdict) -> str:
    """Return what a model wrote, and where that fails."""
    failure = verdict.parse.failure
    if failure is not None:
        return "\n".join(caret(side.text, failure))
    if verdict.sample.native_calls:
        return shorten(_calls(verdict.sample.native_calls), SHOWN_TEXT)
    return shorten(side.text, SHOWN_TEXT)


def _asked(case: Case) -> str:
    """Return the last words of the conversation: those that are to be answered."""
    content = case.messages[-1].get("content")
    return content if isinstance(content, str) else _json(content)


def _expected(case: Case) -> str:
    if not case.expected:
        return "any call"
    answers = [_calls(answer) if answer else "no call" for answer in case.expected]
    return "\nor\n".join(answers)


def _calls(calls: Sequence[Call]) -> str:
    return "\n".join(f"{call.name} {_json(call.arguments)}" for call in calls)


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):  # too many digits, too deep
        return show(value)


def _first_answers(scores: Scores) -> dict[str, Verdict]:
    """Return the verdict on the first answer to each case, which is what a flip shows."""
    answered = [v for v in scores.verdicts if v.sample.error is None]
    return {v.case.id: v for v in reversed(answered)}
