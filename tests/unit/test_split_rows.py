"""Rows in split orientation, and passthrough columns."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import CSV, InvalidInput, InvalidValues, MissingColumns, Query, Schema, SplitRows, drive
from modelgate.errors import UnknownColumns
from modelgate.inference import Output, Prediction
from modelgate.schema import Column, passthrough, read_passthrough_columns
from modelgate.scoring import add_passthrough_columns
from modelgate.testing import StubHandler

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


def read_outcome(read):
    try:
        table = read()
    except InvalidInput as error:
        return type(error), error.message, error.details
    return table.rows()


@given(
    st.lists(st.tuples(CELL, CELL, CELL, CELL, CELL), min_size=1, max_size=3), st.booleans(), st.booleans()
)
def test_split_rows_read_like_json_rows(data, forbid, other):
    schema = SCHEMA.with_options(extra_columns="forbid") if forbid else SCHEMA
    names = [*SCHEMA.names[:4], "other" if other else "note"]
    raw = json.dumps([dict(zip(names, row, strict=True)) for row in data]).encode()

    assert read_outcome(lambda: schema.read(raw)) == read_outcome(lambda: schema.read(SplitRows(names, data)))


def test_split_rows_without_names_use_the_schema_order():
    row = [41, 2, None, "pro", "x"]

    assert [dict(zip(SCHEMA.names, row, strict=True))] == SCHEMA.read(SplitRows(None, [row])).rows()
    with pytest.raises(InvalidInput, match="Row 1 has 4 values: send 5, one for each column"):
        SCHEMA.read(SplitRows(None, [row, row[:4]]))


def test_split_rows_reject_duplicate_and_missing_names():
    with pytest.raises(InvalidInput, match="Column 'age' is named twice"):
        SCHEMA.read(SplitRows(["age", "age"], []))
    with pytest.raises(MissingColumns) as info:
        SCHEMA.read(SplitRows(["age", "visits"], [[1, 2]]))
    assert ["member", "plan"] == info.value.missing_columns


def test_split_rows_without_rows_are_checked_like_a_csv_header():
    for rows in (SplitRows(["age", "visits"], []), CSV(b"age,visits\n")):
        with pytest.raises(MissingColumns) as info:
            SCHEMA.read(rows)
        assert ["member", "plan"] == info.value.missing_columns
    with pytest.raises(InvalidValues, match="other"):
        SCHEMA.with_options(extra_columns="forbid").read(SplitRows([*SCHEMA.names, "other"], []))
    for names in (None, SCHEMA.names):
        assert [] == SCHEMA.read(SplitRows(names, [])).rows()


def test_split_rows_respect_max_rows():
    with pytest.raises(InvalidInput, match="3 rows are more than the limit of 2 per request"):
        SCHEMA.read(SplitRows(None, [[]] * 3), max_rows=2)


def test_split_rows_with_boolean_levels():
    """These are validated cell by cell."""
    schema = Schema([Column("a", "boolean", levels=(True,))])

    assert [{"a": True}] == schema.read(SplitRows(["a"], [[True]])).rows()
    with pytest.raises(InvalidValues):
        schema.read(SplitRows(["a"], [[False]]))


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
        (SplitRows(["a", "b"], [[1, "x"]]), ["b"], {"b": ['"x"']}),
    ],
)  # fmt: skip
def test_passthrough_columns_are_returned_digit_for_digit(rows, names, expected):
    assert expected == {
        name: [bytes(value).decode() for value in column]
        for name, column in read_passthrough_columns(rows, names).items()
    }


def test_passthrough_columns_of_a_large_body():
    """JSON is read in parts. A column may first appear in a later one."""
    text = '"' + "x}, {" * 20_000 + '"'
    rows = f'[{{"a": {text}, "b": 1}}, {{"a": 2}}, {{"a": {text}, "c": 3.50}}]'.encode()
    columns = {
        name: [bytes(value).decode() for value in column]
        for name, column in read_passthrough_columns(rows, None).items()
    }

    assert {"a": [text, "2", text], "b": ["1", "null", "null"], "c": ["null", "null", "3.50"]} == columns


def test_passthrough_columns_must_have_been_sent():
    with pytest.raises(UnknownColumns, match="Columns expected but not found: x, y") as info:
        read_passthrough_columns(ROWS, ["x", "a", "y", "x"])
    assert ["x", "y"] == info.value.columns


@pytest.mark.parametrize(
    ("selection", "expected"), [(None, None), (["b"], ["b"]), ("all", ["a", "b", "c"])], ids=repr
)
def test_query_selects_passthrough_columns(selection, expected):
    inner = StubHandler(Prediction([Output("x", None)]))
    query = Query(ROWS, passthrough_columns=selection)
    columns = drive(add_passthrough_columns(query, inner)).passthrough_columns

    assert expected == (columns and list(columns))


@pytest.mark.parametrize(
    "rows", [CSV(b"a,b\n" + b"1,2\n" * 6), b"[%b]" % b",".join([b'{"a": 1, "b": 2}'] * 6)]
)
def test_passthrough_values_are_limited(monkeypatch, rows):
    monkeypatch.setattr(passthrough, "MAX_VALUES", 11)

    assert 6 == len(read_passthrough_columns(rows, ["a"])["a"])
    with pytest.raises(InvalidInput, match="repeat more than 11 values"):
        read_passthrough_columns(rows, None)
