"""The fuzzing harness itself: it runs, it reaches what it should, and it finds planted faults."""

from typing import get_args

import pytest

import fcbench
from fcbench import Call, Parse, registry
from fcbench.formats import module_of
from fcbench.types import FailureKind
from tests.fuzz import campaign, differential, properties, reference
from tests.fuzz.choices import FromBytes, Seeded
from tests.fuzz.inputs import turn
from tests.fuzz.notations import NOTATIONS
from tests.fuzz.targets import parser

FORMATS = tuple(reference.BUILDERS)


def turns(n, seed=0, formats=FORMATS):
    choices = Seeded(seed)
    return [turn(choices, formats) for _ in range(n)]


def strict(text, format):
    return differential.of_fcbench(text, format)


@pytest.mark.parametrize("format", registry.names("formats"))
def test_no_property_is_broken_by_some_turns_of_every_format(format):
    for judged_by, text in turns(40, formats=(format,)):
        properties.check(text, judged_by)


def test_two_strict_parsers_read_some_turns_of_every_format_alike():
    tally = differential.compare_turns(strict, reference.parse, iter(turns(600)))
    assert tally.disagreements == set()
    assert tally.tried.total() == 600
    for format in FORMATS:
        assert 0 < tally.valid[format] < tally.tried[format]


def test_the_generator_reaches_nearly_every_kind_of_failure():
    judged = [fcbench.parse(text, format, stop="limit") for format, text in turns(1500)]
    missed = set(get_args(FailureKind)) - {p.failure.kind for p in judged if p.failure}
    assert len(missed) <= 2, missed
    assert {p.outcome for p in judged} == {"calls", "abstained", "malformed"}


def test_a_seed_decides_every_turn_and_bytes_that_run_out_end_one():
    assert turns(50, seed=7) == turns(50, seed=7) != turns(50, seed=8)
    for data in (b"", b"\x00", b"\x03\x01\x05\xff\xff", bytes(range(256))):
        assert turn(FromBytes(data), FORMATS) == turn(FromBytes(data), FORMATS)


def test_a_run_begins_from_the_examples_of_every_grammar():
    formats = tuple(registry.names("formats"))
    first = {turn(FromBytes(data), formats) for data in parser.first()}
    assert (
        "functiongemma",
        "<start_function_call>call:turn_on_flashlight{}<end_function_call>",
    ) in first
    assert {name for name, text in first if strict(text, name)} == set(formats)


@pytest.mark.parametrize("format", FORMATS)
def test_the_referee_and_the_format_know_the_same_tokens(format):
    wire, notation = module_of(format).WIRE, NOTATIONS[format]
    assert set(notation.controls) == set(wire.controls)
    assert set(notation.stops) == set(wire.stops)


# Planted faults


def lenient(text, format):
    parsed = fcbench.parse(text, format, "lenient")
    return parsed.calls if parsed.outcome == "calls" else None


def forgetful(text, format):
    calls = strict(text, format)
    return calls and [Call(call.name) for call in calls]


def raising(text, format):
    return int(text) if "Paris" in text else strict(text, format)


@pytest.mark.parametrize("parser", [lenient, forgetful, raising])
def test_a_parser_with_a_planted_fault_is_found_and_its_text_made_short(parser, monkeypatch):
    monkeypatch.setattr(differential, "SHORTENED", 1)
    tally = differential.compare_turns(parser, reference.parse, iter(turns(120)))
    assert tally.n_disagreements > 0
    shortest = min(tally.disagreements, key=lambda found: len(found.text))
    assert len(shortest.text) <= 60
    assert shortest.left != shortest.right


def test_a_comparison_is_named_by_functions_and_chunked_by_seed():
    *_, total = differential.compare(
        differential.LEFT, differential.RIGHT, differential.CHUNK // 10, processes=1
    )
    assert total.tried.total() == differential.CHUNK // 10
    assert total.n_disagreements == 0


def altered(change):
    """Return fcbench.parse with its judgement changed where it can be."""

    def parse(text, format, mode, stop):
        return change(fcbench.parse(text, format, mode, stop), mode, stop)

    return parse


def with_failure(parsed, **fields):
    kept = {name: getattr(parsed.failure, name) for name in parsed.failure.__struct_fields__}
    return Parse("malformed", failure=type(parsed.failure)(**{**kept, **fields}))


FAULTS = {
    "a byte offset that is not the offset's": lambda p, mode, stop: (
        with_failure(p, byte_offset=p.failure.offset) if p.failure else p
    ),
    "an offset outside the text": lambda p, mode, stop: (
        with_failure(p, offset=p.failure.offset + 1) if p.failure else p
    ),
    "stop=None differs from stop='token'": lambda p, mode, stop: (
        with_failure(p, kind="unexpected") if p.failure and stop is None else p
    ),
    "a limit where none was": lambda p, mode, stop: (
        with_failure(p, kind="truncated") if p.failure else p
    ),
    "lenient mode changes what strict mode accepts": lambda p, mode, stop: (
        Parse("calls", p.calls, repairs=["removed text at 0"])
        if p.calls and mode == "lenient"
        else p
    ),
    "the reference parser disagrees": lambda p, mode, stop: (
        Parse("calls", [Call(call.name, {**call.arguments, "x": 1}) for call in p.calls])
        if p.calls and not p.repairs
        else p
    ),
    "an offset behind the first wrong token": lambda p, mode, stop: (
        with_failure(p, offset=p.failure.offset + 1, byte_offset=p.failure.byte_offset + 1)
        if p.failure and p.failure.kind == "missing_key"
        else p
    ),
    "parse raises ZeroDivisionError": lambda p, mode, stop: p if p.calls else 1 / 0,
}


@pytest.mark.parametrize("rule", FAULTS)
def test_a_property_that_a_fault_breaks_is_named(rule, monkeypatch):
    monkeypatch.setattr(properties, "parse", altered(FAULTS[rule]))
    assert any(rule_broken_by(text, format) == rule for format, text in turns(150))


def rule_broken_by(text, format):
    try:
        properties.check(text, format)
    except properties.Violation as violation:
        return violation.rule
    return None


def test_a_run_without_atheris_tries_texts_until_its_time_is_over(monkeypatch):
    outcome = campaign.run(0.3, "hypothesis")
    assert outcome.n_inputs > 10
    assert outcome.findings == []
    monkeypatch.setattr(properties, "parse", altered(FAULTS["parse raises ZeroDivisionError"]))
    found = campaign.run(0.3, "hypothesis").findings
    assert {row["input"] for row in found} == {""}
    assert {row["rule"] for row in found} > {"json: parse raises ZeroDivisionError"}
