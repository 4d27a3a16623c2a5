"""Counting and splitting of JSON arrays, and rows that are read in parts."""

import json
from itertools import chain
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from modelgate import Schema
from modelgate.codecs.json_items import count_items, split_items
from modelgate.errors import RequestError
from modelgate.schema import Column
from modelgate.schema.schema_options import SchemaOptions

VALUES = st.recursive(
    st.none() | st.integers() | st.text('a,[]{}"\\ é'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(',]"\\', max_size=2), inner, max_size=3)
    ),
)


@given(
    st.lists(VALUES, max_size=8),
    st.integers(1, 60),
    st.integers(1, 40),
    st.sampled_from([(",", ":"), (" , ", " : ")]),
    st.booleans(),
)
def test_parts_of_an_array_have_its_items(items, size, window, separators, is_ascii):
    """Whatever the items contain."""
    raw = json.dumps(items, separators=separators, ensure_ascii=is_ascii).encode()
    with patch("modelgate.codecs.json_items._WINDOW", window):
        parts = [json.loads(part) for part in split_items(raw, size)]

        assert len(items) == count_items(raw)
    assert items == list(chain.from_iterable(parts))


COLUMNS = [
    Column("x"),
    Column("a b", required=False),
    Column("s", kind="text", levels=["u", ':"v'], required=False),
    Column("any", kind="any", nullable=False),
]
CELLS = st.sampled_from([1, 2.5, 10**400, None, True, "u", ':"v', "x],{", "[1]", [1, [2]], {"x": 1}])
ROWS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(["x", "a b", "s", "any"], CELLS) | dict.fromkeys(["a_b", "x ", "beds"], CELLS),
)
USUAL = st.fixed_dictionaries({"x": st.integers(), "any": st.just("t")}, optional={"s": st.just("u")})


def read(schema, raw, part):
    with (
        patch("modelgate.schema.json_decoder.LARGE", 10**9 if part is None else 0),
        patch("modelgate.schema.json_decoder._PART", part),
    ):
        try:
            table = schema.read(raw)
        except RequestError as error:
            return type(error), str(error), error.details
    return repr(table.numbers.tolist()), table.texts, sorted(table.warnings)


@given(
    st.lists(USUAL | st.just({"x": 1, "any": 1, "a_b": 3}) | ROWS, min_size=1, max_size=8)
    | st.lists(USUAL | ROWS | CELLS, min_size=1, max_size=8),
    st.sampled_from(["ignore", "forbid"]),
    st.sampled_from(["reject", "warn"]),
    st.integers(1, 120),
)
def test_rows_read_in_parts_are_those_read_at_once(rows, extra_columns, unknown_levels, part):
    """So are their errors. Names and row numbers depend on all rows."""
    schema = Schema(COLUMNS, SchemaOptions(extra_columns=extra_columns, unknown_levels=unknown_levels))
    raw = json.dumps(rows).replace(str(10**400), "1e400").encode()

    assert read(schema, raw, None) == read(schema, raw, part)
