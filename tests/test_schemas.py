"""Arguments against JSON Schemas: whatever a model or a suite wrote, there is an answer."""

import pytest

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


@pytest.mark.parametrize("schema", [{"properties": {"x": {"const": LONG}}}, deep(400)])
def test_schema_that_cannot_be_read_is_faulty(schema):
    assert fault(schema)
    assert refusals(schema, {"x": 1}) == [fault(schema)]
