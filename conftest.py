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
    expected: Call | None,
    called: Call | list[Call] | None = None,
    text: str | None = None,
    parameters: dict[str, object] | None = None,
    native: list[Call] | None = None,
    **sample: float,
) -> Verdict:
    """Return the verdict of one text, or of rendered calls, where `expected` is right.

    `native` are what a server's own parser read in the text.
    """
    case = Case(
        id="case",
        messages=[{"role": "user", "content": "…"}],
        tools=[] if expected is None else [Tool(expected.name, "", parameters or {})],
        expected=[[] if expected is None else [expected]],
    )
    if text is None:
        calls = [called] if isinstance(called, Call) else called
        text = "" if calls is None else render(calls)
    answered = Sample(case.id, text=text, native_calls=native, **sample)
    if native is not None:
        counted = Parse("calls" if native else "malformed", native)
        return judge(case, answered, counted, own=parse(text))
    return judge(case, answered, parse(text), lenient=parse(text, mode="lenient"))


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, object]) -> None:
    doctest_namespace["call"] = call
    doctest_namespace["render"] = render
    doctest_namespace["verdict_of"] = verdict_of
