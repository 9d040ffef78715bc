"""Whether the chat template shows the tools, and writes calls that parse to themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.doctor._finding import FINE, NOT_APPLICABLE, as_warning, found
from fcbench.doctor._subject import CHAT, listed, quoted
from fcbench.errors import FcbenchError
from fcbench.formats import detect_format, parse
from fcbench.formats._bounds import bounded
from fcbench.formats._jinja import MODELS_OWN
from fcbench.prompts._case_text import one_answer, openai_tools
from fcbench.text import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject
    from fcbench.types import Call, Case, Json

CHECK = "template"
UNDETECTABLE = ("json", "pythonic")
"""Formats that a prompt asks for and no template need write."""
SHOWN = 30


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with the template, as seen on the drawn cases."""
    if subject.loaded.template is None:
        absent = found(CHECK, "no_template", "tokenizer.chat_template is empty")
        yield absent if subject.prompt == CHAT else as_warning(absent)
        return
    findings = [*_format(subject), *_tools(subject)]
    if not any(finding.kind == "template_refuses" for finding in findings):
        findings += _round_trips(subject)
    yield from findings if subject.prompt == CHAT else map(as_warning, findings)
    if not findings:
        n = len(subject.cases)
        seen = f"it shows the tools, and the calls that it writes for {n} cases parse to themselves"
        yield found(CHECK, FINE, seen)


def trigger(subject: Subject) -> Iterator[Finding]:
    """Yield whether the sentence that makes the model call is missing from the prompt in use."""
    sentence, mode = subject.wire.TRIGGER, subject.prompt
    if not sentence:
        yield found("trigger", NOT_APPLICABLE, f"no sentence makes {subject.format} call functions")
        return
    try:
        without = [c.id for c in subject.cases if sentence not in subject.ask(c, mode)]
    except FcbenchError as error:
        yield found("trigger", NOT_APPLICABLE, f"there is no {mode} prompt: {error.message}")
        return
    n = len(subject.cases)
    if without:
        seen = f"{len(without)} of {n} {mode} prompts lack it: {quoted(sentence)}"
        finding = found("trigger", "no_trigger", seen, n_without=len(without), n_cases=n)
        # A model may have been trained on prompts without it.
        yield finding if mode == CHAT else as_warning(finding)
    else:
        yield found("trigger", FINE, f"{n} of {n} {mode} prompts hold it")


def _format(subject: Subject) -> Iterator[Finding]:
    template = subject.loaded.template
    if template is None or subject.format in UNDETECTABLE:
        return
    if subject.wire.detect(template.source):
        return
    other = detect_format(template.source)
    if other is None:
        yield found(CHECK, "unknown_format", f"it never writes {_mark(subject)}")
    else:
        seen = f"it writes {other}; answers are judged as {subject.format}"
        yield found(CHECK, "other_format", seen, do=f"--format {other}, or a template that fits")


def _mark(subject: Subject) -> str:
    return str(subject.wire.WIRE.start or subject.format)


def _tools(subject: Subject) -> Iterator[Finding]:
    case = max(subject.cases, key=lambda c: len(c.tools))
    n = len(case.tools)
    try:
        shown = _rendered(subject, case, with_tools=True)
        hidden = _rendered(subject, case, with_tools=False)
    # The boundary to the model's own template: an expression in it may raise anything.
    except Exception as error:  # noqa: BLE001
        yield found(CHECK, "template_refuses", f"case {case.id}: {shorten(str(error))}")
        return
    absent = [tool.name for tool in case.tools if tool.name not in shown]
    if shown == hidden:
        seen = f"case {case.id}: the prompt is the same with its {n} tools and without"
        yield found(CHECK, "template_without_tools", seen)
    elif absent:
        seen = f"case {case.id}: {len(absent)} of {n} tools are not named: {listed(absent)}"
        yield found(CHECK, "template_without_tools", seen)


def _rendered(
    subject: Subject, case: Case, answer: list[Call] | None = None, *, with_tools: bool = True
) -> str:
    """Return what the template itself makes of a case, up to its answer or with it."""
    messages: list[dict[str, Json]] = list(case.messages)
    if answer is not None:
        calls = [
            {"type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in answer
        ]
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
    with bounded(MODELS_OWN):
        rendered = subject.tokenizer.apply_chat_template(
            subject.wire.prepare_messages(messages),
            tools=openai_tools(case) if with_tools else None,
            tokenize=False,
            add_generation_prompt=answer is None,
        )
    return str(rendered)


def _round_trips(subject: Subject) -> Iterator[Finding]:
    failed, reopened, first = [], [], ""
    for case in subject.cases:
        calls = one_answer(case)
        try:
            asked, whole = _rendered(subject, case), _rendered(subject, case, calls)
        # As above: the template's own code.
        except Exception as error:  # noqa: BLE001
            yield found(
                CHECK, "template_refuses", f"case {case.id}, answered: {shorten(str(error))}"
            )
            return
        if not whole.startswith(asked):
            reopened.append(case.id)
        why = _why_not_the_same(subject, _answer_in(subject, asked, whole), calls)
        if why is not None:
            first = first or f"case {case.id}: {why}"
            failed.append(case.id)
    n = len(subject.cases)
    if failed:
        seen = f"{len(failed)} of {n} cases; {first}"
        yield found(CHECK, "template_round_trip", seen, n_failed=len(failed), n_cases=n)
    if reopened:
        seen = f"{len(reopened)} of {n} cases: the prompt is no beginning of the whole"
        yield found(CHECK, "template_reopens", seen, n_cases=n, n_reopened=len(reopened))


def _answer_in(subject: Subject, asked: str, whole: str) -> str:
    """Return the assistant's part of a rendered conversation."""
    if whole.startswith(asked):
        return whole[len(asked) :]
    opening = subject.wire.open_turn("assistant")
    return whole.rpartition(opening)[2] if opening else whole


def _why_not_the_same(subject: Subject, answer: str, calls: list[Call]) -> str | None:
    parsed = parse(answer, subject.format, stop="token")
    if parsed.outcome == "calls":
        if parsed.calls == calls:
            return None
        return f"it writes other calls than it was given: {quoted(shorten(answer, 80))}"
    if parsed.failure is None:
        return f"it writes no call: {quoted(shorten(answer, 80))}"
    at = parsed.failure.offset
    around = answer[max(0, at - SHOWN) : at + SHOWN]
    return f"{parsed.failure.kind} at character {at} of its answer, in {quoted(around)}"
