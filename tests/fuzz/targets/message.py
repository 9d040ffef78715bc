"""What pytest shows of a model that misses its threshold: the message, and the table at the end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import fcbench
from fcbench import Case, Suite, Tool
from fcbench._pytest.rows import row_of, table
from fcbench.errors import FcbenchError
from fcbench.runs._gate import Gate, require
from tests.fuzz import targets, values
from tests.fuzz.choices import FromBytes
from tests.fuzz.inputs import turn
from tests.fuzz.properties import Violation, hold
from tests.fuzz.targets import log
from tests.report.hostile import ATTACKS

if TYPE_CHECKING:
    from fcbench import Scores
    from tests.fuzz.choices import Choices

METRICS = ("argument_exact_match", "name_match", "syntax_validity", "abstention", "schema_valid")
CEILINGS = ("hallucinated_function", "over_calling")
FORMATS = ("functiongemma", "hermes", "json", "pythonic", "mistral")
LONGEST, LONGEST_LINE = 40_000, 10_000
"""Of ids and names that are long themselves; what a model wrote is cut far shorter."""


def scored(choices: Choices) -> Scores:
    """Return the scores of a hostile model over hostile cases."""
    cases = [_case(choices, number) for number in range(1 + choices.below(4))]
    suite = Suite(values.name(choices, "fuzzed"), cases, sha256="", source="fuzzed")
    format = choices.pick(FORMATS)
    samples = [_sample(choices, case, format) for case in cases]
    return fcbench.score(samples, suite=suite, format=format)


def _case(choices: Choices, number: int) -> Case:
    name, key = values.name(choices, "f"), values.name(choices, "query")
    right = [[fcbench.Call(name, {key: values.value(choices)})], [], [fcbench.Call(name)]]
    expected = [right[choices.below(3)]]
    return Case(
        f"{number}{values.name(choices, '')}",
        [{"role": "user", "content": values.text(choices)}],
        [Tool(name, values.text(choices), {"properties": {key: {"type": "string"}}})],
        expected,
        tags=tuple(values.text(choices) for _ in range(choices.below(2))),
    )


def _sample(choices: Choices, case: Case, format: str) -> fcbench.Sample:
    way = choices.below(8)
    if way == 0:
        return fcbench.Sample(case.id, error=values.text(choices))
    text = values.text(choices) if way < 4 else turn(choices, (format,))[1]
    native = None
    if way == 7:
        arguments = {values.name(choices, "query"): values.value(choices)}
        native = [fcbench.Call(values.name(choices, "f"), arguments)]
    stop = choices.pick((None, "token", "limit"))
    return fcbench.Sample(case.id, text=text, native_calls=native, stop=stop)


def check(data: bytes) -> None:
    """Raise a Violation of the first property that what is shown does not have."""
    choices = FromBytes(data)
    try:
        scores = scored(choices)
    except FcbenchError:
        return  # what cannot be scored is told by another message
    except Exception as error:
        raise Violation(f"score raises {type(error).__name__}", error) from error
    message = _message(scores, choices)
    for text in (message, *_reported(scores)):
        _check_text(text)
    if message.startswith(METRICS):  # a threshold is missed
        hold(any(f"{i}" in message for i in range(4)), "a message that names no case", message)


def _message(scores: Scores, choices: Choices) -> str:
    per_tag = choices.once_in(3)
    try:
        gates = [Gate(dict.fromkeys(METRICS, 1.0), "point", per_tag=per_tag)]
        gates.append(Gate(dict.fromkeys(CEILINGS, 0.0), "point", is_ceiling=True, per_tag=per_tag))
        require(scores, gates)
    except (AssertionError, FcbenchError) as told:
        return str(told)
    except Exception as error:
        raise Violation(f"the gate raises {type(error).__name__}", error) from error
    return ""


def _reported(scores: Scores) -> list[str]:
    """Return the properties that a report of JUnit has, and the table's line of the run."""
    from msgspec.structs import replace

    manifest = {**log.whole()[0], "model": {"name": f"python:{scores.suite}:f"}}
    try:
        row = row_of(replace(scores, manifest=manifest))
        json.dumps(row)  # as pytest-xdist sends it
        return [
            *row["cells"],
            row["folder"],
            *(value for _, value in row["properties"]),
            table([row]),
        ]
    except Exception as error:
        raise Violation(f"the report's row raises {type(error).__name__}", error) from error


def _check_text(text: str) -> None:
    """Check that a text moves no cursor, can be written anywhere, and is no longer than a page."""
    moving = [c for c in text if not c.isprintable() and c != "\n"]
    hold(not moving, "a text that moves the cursor", moving)
    hold(text.encode("utf-8", "replace") == text.encode("utf-8", "ignore"), "no UTF-8", text)
    hold(len(text) <= LONGEST, "a message of many pages", text)
    longest = max(map(len, text.split("\n")))
    hold(longest <= LONGEST_LINE, "a line that is longer than a page", longest)


def smallest(data: bytes, rule: str) -> str:
    """Return the verdicts of a small input that breaks the rule."""
    scores = scored(FromBytes(targets.shrunk(check, data, rule)))
    return ascii([(v.case, v.sample) for v in scores.verdicts])


def first() -> list[bytes]:
    """Return some random bytes."""
    return [b"", *targets.seeded(100, 80)]


def words() -> list[str]:
    """Return attacks on a terminal."""
    return [attack for attack in ATTACKS if len(attack) < 60]
