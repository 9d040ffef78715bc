"""What doctests find by name: small builders of calls and verdicts."""

from __future__ import annotations

import pytest

from fcbench.formats import parse, render
from fcbench.matching import judge
from fcbench.types import Call, Case, Parse, Sample, Tool, Verdict


def call(name: str, **arguments: object) -> Call:
    """Return a call."""
    return Call(name, arguments)


def verdict_of(
    expected: Call | None, called: Call | None = None, text: str | None = None
) -> Verdict:
    """Return the verdict of one text, or of one rendered call, where `expected` is right."""
    case = Case(
        id="case",
        messages=[{"role": "user", "content": "…"}],
        tools=[] if expected is None else [Tool(expected.name)],
        expected=[[] if expected is None else [expected]],
    )
    if text is None:
        text = "" if called is None else render([called])
    parsed: Parse = parse(text)
    return judge(case, Sample(case.id, text=text), parsed)


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, object]) -> None:
    doctest_namespace["call"] = call
    doctest_namespace["verdict_of"] = verdict_of
