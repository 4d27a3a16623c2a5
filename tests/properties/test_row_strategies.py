"""Strategies of `modelgate.testing` for the rows of a schema."""

import json

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from modelgate import Deployment, Gate
from modelgate.errors import InvalidValues, MissingColumns
from modelgate.schema import Column, ImageSpec, Schema, SchemaOptions
from modelgate.testing import Client, nearly_valid_rows, valid_rows
from support.wire_formats import REQUESTS

COLUMNS = [
    Column("number"),
    Column("bounded", minimum=-0.5, maximum=1e-3),
    Column("wide", minimum=2**53 + 1, nullable=True),
    Column("half", dtype="float16"),
    Column("either", accepts_booleans=True, maximum=0),
    Column("whole", "integer"),
    Column("byte", "integer", dtype="uint8", required=False),
    Column("digits", "integer", levels=(1, 2, 3), nullable=True),
    Column("flag", "boolean", default=True),
    Column("text", "text", max_length=3),
    Column("code", "text", pattern="^[A-Z]{2}[0-9]+$", max_length=6),
    Column("plan", "text", levels=("free", "pro", "")),
    Column("moment", "datetime", nullable=True),
    Column("zoned", "datetime", timezone="Europe/Berlin", resolution="ns"),
    Column("anything", "any"),
    Column("photo", "image", image=ImageSpec(size=(2, 2), mode="L")),
    Column("tensor", "tensor", shape=(2, 1)),
    Column("single", "tensor", shape=(1,)),
]
OPTIONS = [
    SchemaOptions(),
    SchemaOptions(extra_columns="forbid", coerce_strings=True),
    SchemaOptions(unknown_levels="warn"),
]
SCHEMAS = st.builds(
    Schema,
    st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4, unique_by=lambda column: column.name),
    st.sampled_from(OPTIONS),
)


def encode(*rows):
    return json.dumps(rows).encode()


@settings(max_examples=100)
@given(st.data())
def test_valid_rows_are_accepted(data):
    schema = data.draw(SCHEMAS)
    rows = data.draw(st.lists(valid_rows(schema), min_size=1, max_size=3))

    assert (len(rows), ()) == (len(table := schema.read(encode(*rows))), table.warnings)


@settings(max_examples=150)
@given(st.data())
def test_nearly_valid_rows_have_one_fault(data):
    schema = data.draw(SCHEMAS)
    with pytest.raises((InvalidValues, MissingColumns)) as info:
        schema.read(encode(data.draw(nearly_valid_rows(schema))))

    assert 1 == sum(len(faults) for faults in info.value.details.values())


FAULTS = {
    "missing": ("number", lambda row: "number" not in row),
    "null": ("number", lambda row: row.get("number", 0) is None),
    "too small": ("bounded", lambda row: type(row.get("bounded")) is float and row["bounded"] < -0.5),
    "too large": ("bounded", lambda row: type(row.get("bounded")) is float and row["bounded"] > 1e-3),
    "fraction": ("whole", lambda row: row.get("whole") == 0.5),
    "boolean": ("whole", lambda row: row.get("whole") is True),
    "too long": ("text", lambda row: row.get("text") == "aaaa"),
    "pattern": ("code", lambda row: row.get("code") == "a"),
    "unknown text": ("plan", lambda row: isinstance(row.get("plan"), str)),
    "unknown number": ("digits", lambda row: type(row.get("digits")) is int),
    "no such day": ("moment", lambda row: row.get("moment") == "2024-02-30"),
    "forbidden": ("number", lambda row: len(row) == 2),
}


@pytest.mark.parametrize(("name", "is_fault"), FAULTS.values(), ids=FAULTS)
def test_nearly_valid_rows_have_every_fault(name, is_fault):
    column = next(column for column in COLUMNS if column.name == name)
    schema = Schema([column], SchemaOptions(extra_columns="forbid"))

    assert is_fault(find(nearly_valid_rows(schema), is_fault))


SCHEMA = Schema.of(x0=Column("x0", "integer", minimum=0), plan=["free", "pro"])
DIALECTS = sorted(REQUESTS.keys() - {"open_inference"})  # without tensors, which have no texts beside numbers


@pytest.fixture(scope="module")
def client():
    deployment = Deployment("m", lambda table: table["x0"] * 2, schema=SCHEMA)
    return Client(Gate([deployment], keys="open", limits="1000000000/day").wsgi)


@settings(max_examples=100)
@given(st.sampled_from(DIALECTS), st.booleans(), st.data())
def test_every_dialect_accepts_valid_and_rejects_nearly_valid_rows(client, dialect, is_valid, data):
    path, body = REQUESTS[dialect]
    row = data.draw(valid_rows(SCHEMA) if is_valid else nearly_valid_rows(SCHEMA))
    response = client.post(path, body=body.format(rows=json.dumps([row])).encode())

    assert is_valid == (200 == response.status)
    assert is_valid or response.status in (400, 422)
