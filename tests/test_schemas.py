"""Arguments against JSON Schemas: whatever a model or a suite wrote, there is an answer."""

import signal
import threading

import pytest

from fcbench import schemas
from fcbench.schemas import fault, refusals

LONG = 10**5000  # CPython prints no integer of more than 4,300 digits, and no float is as large


def deep(levels):
    schema = {}
    for _ in range(levels):
        schema = {"properties": {"x": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        ({"type": "integer"}, True),
        ({"type": "string"}, False),
        ({"maximum": 1.5}, False),
        ({"multipleOf": 0.5}, True),
        ({"multipleOf": 3}, False),
        # The first branch refuses it, and says so, before the second one accepts it.
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, True),
    ],
)
def test_integers_of_any_size_are_checked(schema, fits):
    found = refusals({"properties": {"x": {"items": schema}}}, {"x": [LONG]})
    assert (not found) == fits


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/required", "required": []},
        {"$ref": "#/required/x", "required": []},
        {"$ref": "#/minProperties", "minProperties": 0},
        {"$ref": "#"},
        {"$ref": "http://example.com/schema"},
    ],
)
def test_reference_to_no_schema_refuses_all(schema):
    assert refusals(schema, {"x": 1})


def doubling(levels):
    """A schema whose check takes two checks of the next."""
    schema = {"$ref": "#/$defs/0", "$defs": {str(levels): {}}}
    for i in range(levels):
        schema["$defs"][str(i)] = {"allOf": [{"$ref": f"#/$defs/{i + 1}"}] * 2}
    return schema


def nested(levels):
    """A schema whose unevaluatedProperties look again at all that is below."""
    schema = {"properties": {"x": True}}
    for _ in range(levels):
        schema = {"allOf": [schema], "unevaluatedProperties": False}
    return schema


SLOW = {
    "pattern": {"properties": {"x": {"pattern": "^(a+)+$"}}},
    "in a name": {"patternProperties": {"^(a+)+$": {}}},
    "doubling": doubling(20),
    "unevaluated": nested(22),
    "unique": {"properties": {"z": {"uniqueItems": True}}},
}
HARD = {"x": "a" * 34 + "!", "a" * 34 + "!": 1, "z": [{"a": i} for i in range(20_000)]}


@pytest.mark.parametrize("name", SLOW)
def test_a_schema_that_takes_for_ever_refuses_in_time(name, monkeypatch):
    monkeypatch.setattr(schemas, "SECONDS", 0.1)
    before = signal.getsignal(signal.SIGALRM)
    assert refusals(SLOW[name], HARD) == ["$: takes longer than 0.1 s to check"]
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_schema_that_can_be_slow_and_is_not_says_what_it_always_said():
    schema = {"properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"pattern": "^a+$"}}}
    assert refusals(schema, {"x": "aaa"}) == []
    found = []
    thread = threading.Thread(target=lambda: found.extend(refusals(schema, {"x": "b"})))
    thread.start()
    thread.join()
    assert found == refusals(schema, {"x": "b"}) == ["$.x: 'b' does not match '^a+$'"]


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"x": {"const": LONG}}},
        deep(400),
        {"properties": {"x": {"pattern": "a{99999999999}"}}},
        {"patternProperties": {"a{99999999999}": {}}},
    ],
)
def test_schema_that_cannot_be_read_is_faulty(schema):
    assert fault(schema)
    assert refusals(schema, {"x": 1}) == [fault(schema)]
