"""Tables of validated rows."""

import numpy as np
import pandas
import pytest

from modelgate.schema import Column, Schema

SCHEMA = Schema.of(t=str, n=float, u=Column("u", "text", nullable=True), i=int, b=bool)
ROWS = [
    {"t": "x", "n": 1.5, "u": None, "i": 2, "b": True},
    {"t": "y", "n": -0.5, "u": "z", "i": 3, "b": False},
]


@pytest.fixture
def table():
    return SCHEMA.read(ROWS)


@pytest.mark.parametrize(
    ("name", "dtype"), [("t", object), ("n", np.float64), ("u", object), ("i", np.int64), ("b", np.bool_)]
)
def test_column_is_an_array_with_the_dtype_of_its_kind(table, name, dtype):
    assert dtype == table[name].dtype
    assert [row[name] for row in ROWS] == table[name].tolist()


def test_table_has_length_and_names(table):
    assert 2 == len(table)
    assert ["t", "n", "u", "i", "b"] == list(table)
    assert ("u" in table, "v" in table) == (True, False)
    with pytest.raises(KeyError):
        table["v"]


@pytest.mark.parametrize("kind", ["integer", "boolean"])
def test_column_with_null_is_float64(kind):
    """Integer arrays have no NaN."""
    table = Schema([Column("a", kind, nullable=True)]).read(
        [{"a": None}, {"a": {"integer": 2, "boolean": True}[kind]}]
    )

    assert np.float64 == table["a"].dtype
    assert np.isnan(table["a"]).tolist() == [True, False]


def test_rows_returns_plain_python_values(table):
    assert ROWS == table.rows()
    assert [str, float, type(None), int, bool] == [type(value) for value in table.rows()[0].values()]


def test_to_array_has_the_schema_order(table):
    """Its dtype is object with text, and float64 with numbers only."""
    numbers = Schema.of(b=int, a=float).read([{"a": 1, "b": 2}]).to_array()

    assert [list(row.values()) for row in ROWS] == table.to_array().tolist()
    assert ([[2.0, 1.0]], np.float64) == (numbers.tolist(), numbers.dtype)


def test_to_pandas_has_the_schema_order_and_dtypes(table):
    frame = table.to_pandas()

    assert ["t", "n", "u", "i", "b"] == list(frame.columns)
    assert (np.float64, np.int64, np.bool_) == tuple(frame[name].dtype for name in "nib")
    assert ["x", "y"] == frame["t"].tolist()


def test_to_pandas_with_numbers_only():
    """One block, not copied column by column."""
    frame = Schema.of(b=float, a=float).read(b'[{"a":1,"b":2},{"a":3,"b":4}]').to_pandas()

    pandas.testing.assert_frame_equal(pandas.DataFrame({"b": [2.0, 4.0], "a": [1.0, 3.0]}), frame)


def test_null_text_is_independent_of_other_rows():
    schema = Schema.of(u=Column("u", "text", nullable=True))
    alone = schema.read([{"u": None}]).to_pandas()["u"]
    beside = schema.read([{"u": None}, {"u": "x"}]).to_pandas()["u"]

    assert alone.dtype == beside.dtype
    assert type(alone.iloc[0]) is type(beside.iloc[0])


def test_value_keeps_its_type_next_to_a_null():
    schema = Schema([Column("a", "boolean", required=False), Column("i", "integer", required=False)])

    assert repr([{"a": True, "i": 3}, {"a": None, "i": None}]) == repr(
        schema.read(b'[{"a":true,"i":3},{}]').rows()
    )
