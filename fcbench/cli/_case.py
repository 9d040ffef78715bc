"""One case for a terminal: what is asked, what is right, and what was answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fcbench.cli._dry_run import as_sent
from fcbench.text import caret, shorten, show, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.cli.inspect import Answer, Shown
    from fcbench.suite import Suite
    from fcbench.types import Call, Case, Json, Tool, Verdict

LONGEST = 2000
"""Characters of an answer that are shown; all of it is in the JSON."""


def as_text(
    suite: Suite, case: Case, format: str, prompts: Sequence[Shown], answers: Sequence[Answer]
) -> str:
    """Return everything about a case."""
    parts = [
        [f"case {visible(case.id)} of {visible(suite.name)}", *_about(case)],
        [f"tools: {len(case.tools)}", *map(_tool, case.tools)],
        list(_right(case, format)),
        *([_heading(prompt), "", *as_sent(prompt.text)] for prompt in prompts),
        *(list(_answer(answer)) for answer in answers),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _about(case: Case) -> Iterator[str]:
    if case.tags:
        yield f"  tags: {visible(', '.join(case.tags))}"
    for message in case.messages:
        yield f"  {visible(str(message['role']))}: {visible(shorten(_words(message), LONGEST))}"


def _words(message: dict[str, Json]) -> str:
    content = message.get("content")
    said = content if isinstance(content, str) else "" if content is None else json.dumps(content)
    calls = message.get("tool_calls")
    return f"{said} {json.dumps(calls, ensure_ascii=False)}".strip() if calls else said


def _tool(tool: Tool) -> str:
    """Return a tool in a line, as a signature."""
    needed = tool.parameters.get("required") or []
    parameters = [
        f"{name}{'' if name in needed else '?'}: {_type(schema)}"
        for name, schema in (tool.parameters.get("properties") or {}).items()
    ]
    words = f"  {tool.description}" if tool.description else ""
    signature = f"{tool.name}({', '.join(parameters)})"
    return f"  {visible(signature + words)}"


def _type(schema: Json) -> str:
    if not isinstance(schema, dict):
        return "any"
    if "enum" in schema:
        return " | ".join(show(value) for value in schema["enum"])
    kind = schema.get("type", "any")
    return " | ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _right(case: Case, format: str) -> Iterator[str]:
    """Yield the answers that are right: as the model would write them, then what may differ."""
    if not case.expected:
        yield "right: any call"
        return
    if case.expected == [[]]:
        yield "right: no call"
        return
    several = any(len(answer) > 1 for answer in case.expected)
    order = f", calls {'in this order' if case.ordered else 'in any order'}" if several else ""
    yield f"right, in {format}{order}:"
    for number, answer in enumerate(case.expected):
        if number:
            yield "  or"
        yield f"  {visible(_wire(case, answer, format))}"
        for call in answer:
            for path, choice in _choices(call.arguments, call.name):
                yield f"    {visible(f'{path}: {choice}')}"


def _wire(case: Case, answer: Sequence[Call], format: str) -> str:
    import msgspec

    from fcbench.errors import FormatError
    from fcbench.formats import render
    from fcbench.prompts import one_answer

    calls = one_answer(msgspec.structs.replace(case, expected=[list(answer)]))
    try:
        return render(calls, format)
    except FormatError as error:
        told = ", ".join(f"{call.name} {show(call.arguments)}" for call in calls)
        return f"{told} ({format} cannot say it: {error.message})"


def _choices(value: Json, path: str) -> Iterator[tuple[str, str]]:
    """Yield each place below a value where several values are right, and which they are."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _choices(item, f"{path}[{i}]")
    if not isinstance(value, dict):
        return
    if "$any" in value:
        options = value["$any"]
        said = [show(option) for option in options] + ["absent"] * bool(value.get("$optional"))
        yield path, " or ".join(said) or "absent"
        return
    for key, item in value.items():
        yield from _choices(item, f"{path}.{key}")


def _heading(prompt: Shown) -> str:
    known = f"{prompt.n_tokens} tokens by {prompt.counted_by}"
    tokens = known if prompt.n_tokens is not None else f"tokens not known: {prompt.counted_by}"
    return visible(f"prompt {prompt.mode}, {tokens}")


def _answer(answer: Answer) -> Iterator[str]:
    from fcbench.runs import outcome_of, reason

    verdict, sample = answer.verdict, answer.verdict.sample
    repeat = (
        f", repeat {sample.repeat}" if answer.run.manifest["decoding"].get("repeats", 1) > 1 else ""
    )
    how = "right" if verdict.is_right else "wrong"
    if sample.error is not None:
        yield visible(f"answer of {answer.run.folder}{repeat}: none, an error")
        yield f"  {visible(sample.error)}"
        return
    yield visible(f"answer of {answer.run.folder}{repeat}: {how}, {outcome_of(verdict)}")
    if sample.native_calls is not None:
        calls = ", ".join(f"{c.name} {show(c.arguments)}" for c in sample.native_calls)
        yield f"  the server's parser: {visible(calls) or 'no call'}"
    if sample.text or sample.native_calls is None:
        yield from as_sent(shorten(sample.text, LONGEST)) if sample.text else ["  (nothing)"]
    if not verdict.is_right:
        yield ""
        yield from _wrong(verdict, reason(verdict))


def _wrong(verdict: Verdict, words: str) -> Iterator[str]:
    """Yield why a verdict is not right: the place in the text, or the arguments of each call."""
    if verdict.parse.failure is not None and not verdict.server_parser:
        yield from (f"  {line}" for line in caret(verdict.sample.text, verdict.parse.failure))
        return
    yield f"  {visible(words)}"
    if not verdict.pairs:
        return
    from tabulate import tabulate

    rows = [
        [visible(shorten(cell, 60)) for cell in row]
        for pair in verdict.pairs
        for row in [
            ["call", pair.expected_name or "—", pair.called_name or "—", ""],
            *(
                [
                    f"  {argument.path}",
                    "—" if argument.result == "extra" else show(argument.expected),
                    "—" if argument.result == "missing" else show(argument.called),
                    argument.result.replace("_", " "),
                ]
                for argument in pair.arguments
            ),
        ]
    ]
    table = tabulate(rows, ["argument", "expected", "called", ""], disable_numparse=True)
    yield ""
    yield from (f"  {line}" for line in table.splitlines())
