"""What the case browser shows, as plain JSON: every case, and what each run made of it.

Prompts are far longer than everything else and mostly alike, so they are cut where tools and lines
end, and each piece is kept once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fcbench.report.html._text import INVISIBLE, units, written
from fcbench.runs import outcome_of, reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.report.html._subject import Group, Subject
    from fcbench.types import Call, CallPair, Case, Failure, Json, Verdict

_CUTS = re.compile(r"(?<=\n)|(?<=>)(?=<)|(?<=\}, )(?=\{)")


class _Once:
    """Values that many share: each is kept once, and is its number everywhere else."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, value: str) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    @property
    def values(self) -> list[str]:
        return list(self._numbers)


def evidence(groups: Sequence[Group]) -> dict[str, Json]:
    """Return the browser's data for the groups of a report."""
    tools, pieces = _Once(), _Once()
    shown = [_group(group, tools, pieces) for group in groups]
    return {
        "invisible": INVISIBLE,
        "groups": shown,
        "tools": tools.values,
        "pieces": pieces.values,
    }


def _group(group: Group, tools: _Once, pieces: _Once) -> dict[str, Json]:
    by_case = [_by_case(subject, pieces) for subject in group.subjects]
    cases = {verdict.case.id: verdict.case for verdict in group.subjects[0].verdicts}
    return {
        "title": group.title,
        "runs": [
            {"letter": s.letter, "label": s.label, "colour": s.colour, "number": s.number}
            for s in group.subjects
        ],
        "cases": [
            {**_case(cases[case_id], tools), "runs": [found[case_id] for found in by_case]}
            for case_id in group.case_ids
        ],
    }


def _by_case(subject: Subject, pieces: _Once) -> dict[str, list[dict[str, Json]]]:
    """Return what a run made of each case, one record a repeat."""
    cut = {sha: _pieces(prompt, pieces) for sha, prompt in subject.prompts.items()}
    found: dict[str, list[dict[str, Json]]] = {}
    for verdict in subject.verdicts:
        answer = _answer(verdict)
        prompt = cut.get(verdict.sample.prompt_sha256)
        if prompt is not None:
            answer["prompt"] = prompt
        found.setdefault(verdict.case.id, []).append(answer)
    return found


def _pieces(prompt: str, pieces: _Once) -> list[int]:
    return [pieces.number(piece) for piece in _CUTS.split(prompt) if piece]


def _case(case: Case, tools: _Once) -> dict[str, Json]:
    return {
        "id": case.id,
        "messages": [[str(m.get("role", "")), _words(m)] for m in case.messages],
        "tools": [
            tools.number(_tool(tool.name, tool.description, tool.parameters)) for tool in case.tools
        ],
        "expected": [_calls(answer) for answer in case.expected],
        **({"ordered": True} if case.ordered else {}),
        "tags": list(case.tags),
    }


def _tool(name: str, description: str, parameters: dict[str, Json]) -> str:
    return written({"name": name, "description": description, "parameters": parameters})


def _words(message: dict[str, Json]) -> str:
    """Return a message's text, and whatever else it holds as JSON below."""
    content = message.get("content")
    rest = {key: value for key, value in message.items() if key not in ("role", "content")}
    said = content if isinstance(content, str) else "" if content is None else written(content)
    return "\n".join(part for part in (said, written(rest) if rest else "") if part)


def _calls(calls: Sequence[Call]) -> list[list[str]]:
    return [[call.name, written(call.arguments)] for call in calls]


def _answer(verdict: Verdict) -> dict[str, Json]:
    """Return one answer and its judgement; what does not apply is left out."""
    sample, failure = verdict.sample, verdict.parse.failure
    known: dict[str, Json] = {
        "outcome": outcome_of(verdict),
        "right": verdict.is_right,
        "text": sample.text,
        "reason": None if verdict.is_right else reason(verdict),
        "error": sample.error,
        "failure": None if failure is None or sample.error else _failure(sample.text, failure),
        "pairs": [] if verdict.case.expected == [[]] and not verdict.pairs else _pairs(verdict),
        "native": None if sample.native_calls is None else _calls(sample.native_calls),
        "repairs": verdict.lenient.parse.repairs if verdict.lenient is not None else [],
        "stop": sample.stop,
        "seconds": sample.seconds,
        "promptTokens": sample.prompt_tokens,
        "outputTokens": sample.output_tokens,
    }
    return {key: value for key, value in known.items() if value not in (None, [], "")}


def _failure(text: str, failure: Failure) -> dict[str, Json]:
    return {
        "kind": failure.kind,
        "at": units(text[: failure.offset]),
        "offset": failure.offset,
        "byte": failure.byte_offset,
        "expected": failure.expected,
        "found": failure.found,
        "hint": failure.hint,
    }


def _pairs(verdict: Verdict) -> list[Json]:
    return [_pair(pair) for pair in verdict.pairs]


def _pair(pair: CallPair) -> list[Json]:
    arguments = [
        [
            argument.path,
            argument.result,
            None if argument.result == "extra" else written(argument.expected),
            None if argument.result == "missing" else written(argument.called),
        ]
        for argument in pair.arguments
    ]
    return [pair.expected_name, pair.called_name, arguments]
