"""`to_json_schema` describes exactly the values that a column allows."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from modelgate.errors import RequestError
from modelgate.schema import CSV, Column, Schema
from modelgate.schema.json_schema import to_json_schema
from properties.test_openapi import VALUES, columns

SCALARS = VALUES.filter(lambda value: not isinstance(value, list | dict))
SETTINGS = settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])


def accepts(schema, body):
    try:
        schema.read(body)
    except RequestError:
        return False
    return True


@SETTINGS
@given(columns(), st.booleans(), st.booleans(), SCALARS)
def test_json_schema_agrees_with_allows(column, nullable, any_level, value):
    column = replace(column, nullable=nullable)
    schema = to_json_schema(column, any_level=any_level)
    allowed = nullable if value is None else column.allows(value, any_level=any_level)

    Draft202012Validator.check_schema(schema)
    assert allowed == Draft202012Validator(schema).is_valid(value)


@SETTINGS
@given(columns(), st.booleans(), VALUES)
def test_json_schema_agrees_with_the_json_decoder(column, nullable, value):
    column = replace(column, nullable=nullable)
    valid = Draft202012Validator(to_json_schema(column)).is_valid(value)

    assert valid == accepts(Schema([column]), msgspec.json.encode({"a": value}))


@SETTINGS
@given(columns().filter(lambda column: column.kind in ("number", "integer")), st.booleans(), SCALARS)
def test_json_schema_agrees_with_the_csv_decoder(column, nullable, value):
    column = replace(column, nullable=nullable)
    if isinstance(value, str | bool):
        return
    valid = Draft202012Validator(to_json_schema(column)).is_valid(value)
    cell = "" if value is None else repr(value)

    assert valid == accepts(Schema([column, Column("b")]), CSV(f"a,b\n{cell},1\n".encode()))


@given(columns(), st.booleans())
def test_examples_and_defaults_are_valid(column, nullable):
    column = replace(column, nullable=nullable, default=column.example, description="in metres")
    schema = to_json_schema(column)
    values = [*schema.get("examples", []), *([schema["default"]] if "default" in schema else [])]

    assert "in metres" == schema["description"]
    assert all(Draft202012Validator(schema).is_valid(value) for value in values)


@pytest.mark.parametrize(
    ("column", "schema"),
    [
        (
            Column("a", minimum=0, maximum=9),
            {"type": "number", "minimum": 0, "maximum": 9, "examples": [0.0]},
        ),
        (
            Column("a", "integer", minimum=1),
            {"type": "integer", "minimum": 1, "maximum": 2**53, "examples": [1]},
        ),
        (
            Column("a", "text", ("x", "y"), nullable=True, max_length=3),
            {"type": ["string", "null"], "enum": ["x", "y", None], "examples": ["x"]},
        ),
        (Column("a", "text", pattern="^[0-9]+$"), {"type": "string", "pattern": "^[0-9]+$"}),
    ],
    ids=["number", "integer", "levels", "pattern"],
)
def test_json_schema_of_a_column(column, schema):
    assert schema == to_json_schema(column)
