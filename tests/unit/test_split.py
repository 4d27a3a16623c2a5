"""Rows whose names stand apart from their values; and columns given back as they came."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import CSV, InvalidInput, InvalidValues, MissingColumns, Query, Schema, Split, drive
from modelgate.errors import UnknownColumns
from modelgate.schema import Column, kept_columns, passthrough
from modelgate.scoring import Prediction, keep_columns
from modelgate.scoring.query import Output
from modelgate.testing import Inner

SCHEMA = Schema.of(
    age=Column("age", "number", minimum=0),
    visits=int,
    member=Column("member", "boolean", nullable=True),
    plan=["free", "pro"],
    note=Column("note", "any", required=False),
)
CELL = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["free", "pro", "", "1", 0, 1, 2.0, True, 41])
)


def outcome(read):
    try:
        table = read()
    except InvalidInput as error:
        return type(error), error.message, error.details
    return table.rows()


@given(st.lists(st.tuples(CELL, CELL, CELL, CELL, CELL), max_size=3), st.booleans(), st.booleans())
def test_split_rows_read_as_json_rows_do(data, forbid, other):
    """The same table, or the same report."""
    schema = SCHEMA.reading(extra="forbid") if forbid else SCHEMA
    names = [*SCHEMA.names[:4], "other" if other else "note"]
    raw = json.dumps([dict(zip(names, row, strict=True)) for row in data]).encode()

    assert outcome(lambda: schema.read(raw)) == outcome(lambda: schema.read(Split(names, data)))


def test_without_names_the_order_is_the_schemas():
    """Every column, or a refusal that says how many."""
    row = [41, 2, None, "pro", "x"]

    assert [dict(zip(SCHEMA.names, row, strict=True))] == SCHEMA.read(Split(None, [row])).rows()
    with pytest.raises(InvalidInput, match="Row 1 has 4 values: send 5, one for each column"):
        SCHEMA.read(Split(None, [row, row[:4]]))


def test_names_that_cannot_be():
    """One twice, one missing."""
    with pytest.raises(InvalidInput, match="Column 'age' is named twice"):
        SCHEMA.read(Split(["age", "age"], []))
    with pytest.raises(MissingColumns) as info:
        SCHEMA.read(Split(["age", "visits"], [[1, 2]]))
    assert ["member", "plan"] == info.value.missing_columns


def test_more_rows_than_accepted():
    """As in JSON."""
    with pytest.raises(InvalidInput, match="3 rows are more than the 2 accepted at once"):
        SCHEMA.read(Split(None, [[]] * 3), max_rows=2)


def test_a_schema_msgspec_cannot_hold():
    """Levels of booleans are checked cell by cell."""
    schema = Schema([Column("a", "boolean", levels=(True,))])

    assert [{"a": True}] == schema.read(Split(["a"], [[True]])).rows()
    with pytest.raises(InvalidValues):
        schema.read(Split(["a"], [[False]]))


ROWS = b'[{"a": 1.50, "b": "x", "c": null}, {"b": 2, "a": 1e2}]'


@pytest.mark.parametrize(
    ("rows", "names", "expected"),
    [
        (ROWS, None, {"a": ["1.50", "1e2"], "b": ['"x"', "2"], "c": ["null", "null"]}),
        (ROWS, ["b"], {"b": ['"x"', "2"]}),
        (b' {"a": 1.50} ', ["a"], {"a": ["1.50"]}),
        (CSV(b"a,b\r\n1.50,x\r\n007,\r\n"), None, {"a": ["1.50", '"007"'], "b": ['"x"', "null"]}),
        (CSV(b'a,b\n-0.5e3,"x ""y"""\n'), ["b", "a"], {"b": ['"x \\"y\\""'], "a": ["-0.5e3"]}),
        (CSV(b"a,b\n"), None, {"a": [], "b": []}),
        (Split(["a", "b"], [[1, "x"]]), ["b"], {"b": ['"x"']}),
    ],
)  # fmt: skip
def test_columns_are_kept_digit_for_digit(rows, names, expected):
    """As raw JSON; a cell of CSV is a number where JSON would read it as one."""

    assert expected == {
        name: [bytes(value).decode() for value in column]
        for name, column in kept_columns(rows, names).items()
    }


def test_columns_nobody_sent_are_named():
    """All of them."""
    with pytest.raises(UnknownColumns, match="Columns expected but not found: x, y") as info:
        kept_columns(ROWS, ["x", "a", "y", "x"])
    assert ["x", "y"] == info.value.columns


@pytest.mark.parametrize("keep", [None, ["b"], "all"])
def test_a_query_says_what_is_kept(keep):
    """Beside the prediction, and nothing where nothing was asked for."""
    inner = Inner(Prediction([Output("x", None)]))
    kept = drive(keep_columns(Query(ROWS, keep=keep), inner)).kept

    assert {None: None, "all": ["a", "b", "c"]}.get(keep if isinstance(keep, str | None) else "b", ["b"]) == (
        kept and list(kept)
    )


@pytest.mark.parametrize(
    "rows", [CSV(b"a,b\n" + b"1,2\n" * 6), b"[%b]" % b",".join([b'{"a": 1, "b": 2}'] * 6)]
)
def test_no_more_is_kept_than_can_be(monkeypatch, rows):
    """Values given back take many times their bytes."""
    monkeypatch.setattr(passthrough, "MOST_KEPT", 11)

    assert 6 == len(kept_columns(rows, ["a"])["a"])
    with pytest.raises(InvalidInput, match="More than 11 values to give back"):
        kept_columns(rows, None)
