"""The JSON Schema of rows accepts the same rows as the schema."""

from dataclasses import replace

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from modelgate import Column, RequestError, Schema
from modelgate.openapi.rows import row_schemas

NUMBERS = st.integers(-3, 3) | st.floats(-4, 4, width=16) | st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1])
TEXTS = st.text("abc1é", max_size=4)
VALUES = st.none() | st.booleans() | NUMBERS | TEXTS | st.sampled_from([[], {}, "1", "1.5", "true"])


@st.composite
def number_columns(draw, kind):
    """Return number columns, with or without bounds."""
    least, greatest = sorted(draw(st.tuples(st.integers(-3, 3), st.integers(-3, 3))))
    bounds = draw(st.sampled_from([(None, None), (least, None), (None, greatest), (least, greatest)]))
    return Column("a", kind, minimum=bounds[0], maximum=bounds[1])


@st.composite
def columns(draw):
    """Return columns of any kind, with or without each of their rules."""
    return draw(
        number_columns("number")
        | number_columns("integer")
        | st.just(Column("a", "boolean"))
        | st.just(Column("a", "any"))
        | st.builds(
            Column,
            st.just("a"),
            st.just("text"),
            max_length=st.none() | st.integers(1, 3),
            pattern=st.sampled_from([None, "^a", "b", "c$"]),
        )
        | st.builds(Column, st.just("a"), st.just("number"), st.just((1, 2.5)))
        | st.builds(Column, st.just("a"), st.just("text"), st.just(("a", "b")))
        | st.builds(Column, st.just("a"), st.just("any"), st.just(("a", 1, True)))
    )


def is_valid(schema, row):
    try:
        schema.read(msgspec.json.encode(row))
    except RequestError:
        return False
    return True


@given(
    columns(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["ignore", "forbid"]),
    st.dictionaries(st.sampled_from("ab"), VALUES),
)
@example(Column("a", "integer"), True, False, "ignore", {"a": 3.0})
@example(Column("a", "number", (1, 2.5)), True, False, "ignore", {"a": True})
def test_json_schema_accepts_the_same_rows_as_the_schema(column, required, nullable, extra, row):
    """Kinds, levels, bounds, lengths, patterns, nulls, missing and additional columns."""
    schema = Schema([replace(column, required=required, nullable=nullable)]).with_options(extra_columns=extra)
    document = row_schemas(schema)["Row"]

    Draft202012Validator.check_schema(document)
    assert is_valid(schema, row) == Draft202012Validator(document).is_valid(row)
