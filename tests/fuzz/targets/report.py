"""The writer of HTML reports: whatever cases, models and files say, the page's own script alone runs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import msgspec

import fcbench
from fcbench import Call, Case, Suite, Tool
from fcbench.errors import FcbenchError
from fcbench.report.html import report
from tests.fuzz import targets, values
from tests.fuzz.choices import FromBytes
from tests.fuzz.properties import Violation, hold
from tests.report.hostile import ATTACKS

if TYPE_CHECKING:
    from fcbench import Scores
    from tests.fuzz.choices import Choices

VOID = {"meta", "input", "br", "hr", "col", "wbr", "img", "link", "base", "area", "embed", "source"}
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "script", "noscript"),
    *(
        "a",
        "h1",
        "h2",
        "h3",
        "h4",
        "p",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "nav",
        "main",
        "footer",
    ),
    *("header", "section", "div", "span", "bdi", "b", "i", "em", "strong", "code", "pre", "small"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "details"),
    *("summary", "button", "input", "label", "select", "option", "output", "kbd", "abbr", "wbr"),
    *("svg", "g", "path", "rect", "line", "circle", "text", "polyline", "polygon", "desc", "sup"),
}
URLS = {
    "src",
    "srcset",
    "action",
    "formaction",
    "data",
    "poster",
    "background",
    "ping",
    "xlink:href",
}
INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def scored(choices: Choices) -> tuple[list[str], list[Scores], str | None]:
    """Return the names of one or two runs over hostile cases, their scores, and a title."""
    cases = [_case(choices, i) for i in range(1 + choices.below(3))]
    suite = Suite(values.name(choices, "fuzzed"), cases, sha256="", source="fuzzed")
    names, runs = [], []
    for number in range(1 + choices.below(2)):
        rows = [row for case in cases if (row := _output(choices, case)) is not None]
        runs.append(fcbench.score(rows, suite=suite))
        names.append(values.name(choices, f"run-{number}"))
    return names, runs, values.text(choices) if choices.once_in(4) else None


def _case(choices: Choices, number: int) -> Case:
    name, key = values.name(choices, "show_map"), values.name(choices, "query")
    right = {key: _json(choices)}
    expected = [[Call(name, right)]] if not choices.once_in(5) else [[]]
    return Case(
        f"{number}{values.name(choices, '')}",
        [{"role": choices.pick(("system", "user")), "content": values.text(choices)}],
        [Tool(name, values.text(choices), {"properties": {key: {"type": "string"}}})],
        expected,
        tags=tuple(values.text(choices) for _ in range(choices.below(3))),
    )


def _output(choices: Choices, case: Case) -> dict[str, Any] | None:
    way = choices.below(6)
    if way == 0:
        return None  # the machinery failed
    row: dict[str, Any] = {"id": case.id, "text": values.text(choices)}
    if way < 3 and case.expected[0]:
        row["text"] = fcbench.render(case.expected[0], "json") if choices.once_in(2) else "call:"
        row["text"] += values.text(choices)
    if way == 3:
        call = {"name": values.name(choices, "show_map"), "arguments": {"query": _json(choices)}}
        return {"case_id": case.id, "native_calls": [call], "text": values.name(choices, "")}
    return row


def _json(choices: Choices) -> Any:
    """Return a value that JSON has."""
    while True:
        found = values.value(choices)
        try:
            return msgspec.json.decode(json.dumps(found, allow_nan=False).encode())
        except (ValueError, RecursionError):
            continue


def check(data: bytes) -> None:
    """Raise a Violation of the first property that the page does not have."""
    try:
        paths, runs, title = scored(FromBytes(data))
    except FcbenchError:
        return  # what cannot be scored has no page
    try:
        page = report(paths, runs, title=title)
        content = page.encode()
    except Exception as error:
        raise Violation(f"report raises {type(error).__name__}", error) from error
    found = _Page()
    found.feed(content.decode())
    found.close()
    hold(found.fault is None, "the page is not well formed", found.fault)
    _check_elements(found)
    _check_policy(found)
    block, script = found.scripts
    hold(not set("<>&") & set(block), "the data block holds markup", block)
    try:
        shown = json.dumps(json.loads(block))
    except ValueError as error:
        raise Violation("the data block is not JSON", error) from error
    for run in runs:
        for verdict in run.verdicts:
            hold(json.dumps(verdict.case.id) in shown, "a case is not in the page", verdict.case.id)
    hold(script == _own_script(), "the page's script is not its own", script)
    unseen = INVISIBLE.search("".join(found.texts) + "".join(v for _, _, v in found.attributes))
    hold(unseen is None, "something invisible is not named", unseen)


def _check_elements(found: _Page) -> None:
    foreign = found.elements - ELEMENTS
    hold(not foreign, "an element that the page has not", foreign)
    for element, name, value in found.attributes:
        what = (element, name, value)
        hold(not name.startswith("on"), "an event handler", what)
        hold(name not in URLS, "an attribute that loads something", what)
        hold(name != "style", "a style that somebody wrote", what)
        hold(name != "href" or value.startswith("#"), "a link that leaves the page", what)
        refresh = name == "http-equiv" and value != "Content-Security-Policy"
        hold(not refresh, "a meta element that the page has not", what)
    ids = [value for _, name, value in found.attributes if name == "id"]
    hold(len(set(ids)) == len(ids), "two elements of one id", ids)


def _check_policy(found: _Page) -> None:
    """Check that the policy comes first, lets nothing in, and lets the page's own things run."""
    hold(len(found.scripts) == 2, "a script that is not the page's", found.scripts)
    hold(len(found.styles) == 1, "a style that is not the page's", found.styles)
    policies = [v for e, n, v in found.attributes if e == "meta" and n == "content" and "-src" in v]
    hold(len(policies) == 1, "not one policy", policies)
    hold("default-src 'none'" in policies[0], "a policy that lets something in", policies)
    hold("unsafe" not in policies[0] and "*" not in policies[0], "an unsafe policy", policies)
    for text in (found.scripts[1], found.styles[0]):
        sha256 = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hold(f"'sha256-{sha256}'" in policies[0], "a policy that stops the page itself", policies)


def _own_script() -> str:
    from fcbench.report.html import _script

    return str(_script())


class _Page(HTMLParser):
    """What is in a page, as a parser finds it that knows nothing of how it was written."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.texts: list[str] = []
        self.fault: str | None = None
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if len({name for name, _ in attrs}) < len(attrs):
            self.fault = self.fault or f"an attribute of {tag} stands twice"
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("script", "style"):
            (self.scripts if tag == "script" else self.styles).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.fault = self.fault or f"</{tag}> ends nothing, at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        within = self._open[-1] if self._open else ""
        if within == "script":
            self.scripts[-1] += data
        elif within == "style":
            self.styles[-1] += data
        else:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.fault = self.fault or f"a comment: {data[:80]}"

    def close(self) -> None:
        super().close()
        if self._open:
            self.fault = self.fault or f"never ended: {self._open}"


def smallest(data: bytes, rule: str) -> str:
    """Return the cases and verdicts of a small input that breaks the rule."""
    paths, runs, title = scored(FromBytes(targets.shrunk(check, data, rule)))
    return ascii((paths, title, [run.verdicts for run in runs]))


def first() -> list[bytes]:
    """Return some random bytes."""
    return [b"", *targets.seeded(80, 60)]


def words() -> list[str]:
    """Return attacks on a page."""
    return [attack for attack in ATTACKS if len(attack) < 60]
