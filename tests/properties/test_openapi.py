"""What JSON Schema says of rows is what the schema does."""

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
def bounded(draw, kind):
    """A column of numbers, with bounds or without."""
    least, greatest = sorted(draw(st.tuples(st.integers(-3, 3), st.integers(-3, 3))))
    bounds = draw(st.sampled_from([(None, None), (least, None), (None, greatest), (least, greatest)]))
    return Column("a", kind, minimum=bounds[0], maximum=bounds[1])


@st.composite
def columns(draw):
    """A column of any kind, with or without each rule it may have."""
    return draw(
        bounded("number")
        | bounded("integer")
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


def takes(schema, row):
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
def test_a_row_that_one_takes_the_other_takes(column, required, nullable, extra, row):
    """Kinds, levels, bounds, lengths, patterns, null, what is left out, and what is not asked for."""
    schema = Schema([replace(column, required=required, nullable=nullable)]).reading(extra=extra)
    told = row_schemas(schema)["Row"]

    Draft202012Validator.check_schema(told)
    assert takes(schema, row) == Draft202012Validator(told).is_valid(row)
