"""Schemas: how they are written, and what they read and refuse."""

import decimal
import fractions
from collections import OrderedDict

import msgspec
import numpy as np
import pandas
import polars
import pytest

from modelgate.errors import (
    ConfigurationError,
    InvalidInput,
    InvalidValues,
    MalformedBody,
    MissingColumns,
    RequestError,
)
from modelgate.schema import Column, Schema

MIXED = Schema.of(age=float, plan=["free", "pro"], visits=int, active=bool, note=str)
ROW = {"age": 41.5, "plan": "pro", "visits": 3, "active": True, "note": "x"}


def encode(value):
    return msgspec.json.encode(value)


def refusal(schema, rows):
    """What reading *rows* raises, from Python values and from JSON alike."""
    with pytest.raises(RequestError) as plain:
        schema.read(rows)
    with pytest.raises(RequestError) as raw:
        schema.read(encode(rows))
    assert type(plain.value) is type(raw.value)
    assert plain.value.details == raw.value.details
    return raw.value


# How a schema is written


@pytest.mark.parametrize(
    ("told", "column"),
    [
        (float, Column("a", "number")),
        (int, Column("a", "integer")),
        (bool, Column("a", "boolean")),
        (str, Column("a", "text")),
        (["x", "y"], Column("a", "text", ("x", "y"))),
        ((1, 2), Column("a", "integer", (1, 2))),
        ([1, 2.5], Column("a", "number", (1, 2.5))),
        ([0.5], Column("a", "number", (0.5,))),
        ([True], Column("a", "boolean", (True,))),
        (Column("other", "text", required=False), Column("a", "text", required=False)),
        (Column("a", "integer", (1,), nullable=True), Column("a", "integer", (1,), nullable=True)),
    ],
    ids=repr,
)
def test_a_column_is_told_by_its_type_or_levels(told, column):
    """A type, the values allowed, or a Column whose name is the one it stands under."""

    assert (column,) == Schema.of(a=told).columns


@pytest.mark.parametrize(
    "told",
    [object, list, None, "number", "", [], (), [None], ["x", 1], [True, 1], 3, {"x"}, [[1]], [2**60]],
    ids=repr,
)
def test_what_is_no_column_is_refused_by_name(told):
    """The message names the column at fault."""
    with pytest.raises(ConfigurationError, match="'plan'"):
        Schema.of(age=float, plan=told)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("",), "name="),
        ((None,), "name="),
        (("a", "float"), "'a'.*kind='float'.*number, integer, boolean, text"),
        (("a", "number", ()), "'a'.*levels"),
        (("a", "text", ("x", 1)), "'a'.*levels=1"),
        (("a", "number", (float("nan"),)), "'a'.*levels=nan"),
        (("a", "integer", (True,)), "'a'.*levels=True"),
    ],
    ids=repr,
)
def test_a_column_that_cannot_work_is_refused(arguments, named):
    """Names, kinds and levels are checked when they are written."""
    with pytest.raises(ConfigurationError, match=named):
        Column(*arguments)


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        ("number", {"levels": (1, 2), "minimum": 2}, "levels=1: accepts values that the column's other"),
        ("text", {"levels": ("ab", "c"), "max_length": 1}, "levels='ab'"),
        ("text", {"levels": ("ab", "c"), "pattern": "b"}, "levels='c'"),
        ("number", {"maximum": 10**400}, "maximum=1000"),
        ("integer", {"minimum": -(10**400)}, "minimum=-1000"),
        ("text", {"max_length": 10**30}, "max_length=1000"),
        ("number", {"seen": ("a", "b")}, "seen=.*the least and the greatest number"),
        ("number", {"seen": (3, 1)}, "seen="),
        ("number", {"seen": (0, 10**400)}, "seen="),
        ("any", {"typical": {"a": 1}}, "typical=.*a single value"),
        ("number", {"typical": 10**400}, "typical=1000"),
    ],
    ids=str,
)
def test_options_that_contradict_or_cannot_be_are_refused(kind, options, named):
    """By the column and the option, and never by what they would break later."""
    with pytest.raises(ConfigurationError, match=rf"^column 'a': {named}"):
        Column("a", kind, **options)


@pytest.mark.parametrize("form", [encode, lambda row: row], ids=["json", "python"])
def test_levels_of_integers_are_whole_however_they_are_written(form):
    """TOML and JSON write 1.0 and mean 1."""
    schema = Schema([Column("a", "integer", levels=(1.0, 2.0))])
    [row] = schema.read(form({"a": 2})).rows()

    assert (2, int) == (row["a"], type(row["a"]))
    with pytest.raises(InvalidValues, match="must be one of 1, 2"):
        schema.read(form({"a": 3}))


def test_a_schema_needs_columns_of_distinct_names():
    """None, and two of one name, are refused."""
    with pytest.raises(ConfigurationError, match="at least one"):
        Schema([])
    with pytest.raises(ConfigurationError, match="share a name"):
        Schema([Column("a"), Column("a", "text")])


def test_a_schema_is_a_sequence_of_columns():
    """It has a length, an order and names."""

    assert ("age", "plan", "visits", "active", "note") == MIXED.names
    assert list(MIXED.columns) == list(MIXED)
    assert 5 == len(MIXED)
    assert "Schema(['a'])" == repr(Schema.of(a=int))


# What it reads

ROWS = [ROW, {**ROW, "age": -1.0, "plan": "free", "active": False}]


@pytest.mark.parametrize(
    "rows",
    [
        encode(ROWS),
        b" \r\n\t" + encode(ROWS) + b"\n",
        msgspec.Raw(encode(ROWS)),
        bytearray(b" " + encode(ROWS)),
        memoryview(encode(ROWS)),
        ROWS,
        tuple(OrderedDict(reversed(row.items())) for row in ROWS),
        {name: [row[name] for row in ROWS] for name in ROW},
        {name: tuple(row[name] for row in ROWS) for name in ROW},
        {name: np.array([row[name] for row in ROWS]) for name in ROW},
        np.array([list(row.values()) for row in ROWS], dtype=object),
        pandas.DataFrame(ROWS),
        pandas.DataFrame(ROWS).astype({"age": "Float64", "visits": "Int64", "active": "boolean"}),
        polars.DataFrame(ROWS),
        [{name: np.array([value])[0] for name, value in row.items()} for row in ROWS],
        [{**row, "unknown": 1} for row in ROWS],
        encode([{**row, "unknown": [{"a": None}]} for row in ROWS]),
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_rows_of_every_shape_are_one_table(rows):
    """Raw JSON, mappings, columns, arrays and DataFrames of the same rows are the same table."""

    assert MIXED.read(rows).rows() == ROWS


@pytest.mark.parametrize("rows", [ROW, encode(ROW), msgspec.Raw(encode(ROW)), [ROW]])
def test_one_row_may_stand_bare(rows):
    """An object is a table of one row."""

    assert [ROW] == MIXED.read(rows).rows()


def test_an_array_is_read_in_the_order_of_the_schema():
    """Numbers without names are taken by position."""
    schema = Schema.of(b=float, a=int)

    assert [{"b": 1.5, "a": 2}] == schema.read(np.array([[1.5, 2.0]])).rows()


@pytest.mark.parametrize(
    "rows",
    [b"[]", [], (), np.empty((0, 5)), pandas.DataFrame(columns=list(ROW)), {name: [] for name in ROW}],
    ids=lambda rows: type(rows).__name__,
)
def test_an_empty_batch_is_an_empty_table(rows):
    """No rows, no faults; every column is there."""
    table = MIXED.read(rows)

    assert (0, 4) == (len(table), table.numbers.ndim + table.to_array().ndim)
    assert dict.fromkeys(ROW, 0) == {name: len(table[name]) for name in table}


@pytest.mark.parametrize(
    "rows",
    [
        pandas.DataFrame({"agee": []}),
        pandas.DataFrame(index=[0, 1]),
        polars.DataFrame({"agee": []}),
        {"agee": []},
    ],
    ids=["pandas", "rows without columns", "polars", "columns"],
)
def test_an_empty_batch_of_other_columns_is_refused(rows):
    """As a CSV header alone is: it would be answered with no predictions otherwise."""
    with pytest.raises(MissingColumns) as info:
        MIXED.read(rows)

    assert list(ROW) == info.value.missing_columns


@pytest.mark.parametrize("rows", [b"[]", []])
def test_an_empty_batch_of_texts_or_numbers_alone(rows):
    """It holds for schemas of one kind of column, too."""

    assert (0, 2) == Schema.of(a=str, b=str).read(rows).to_array().shape
    assert (0, 2) == Schema.of(a=int, b=float).read(rows).to_array().shape


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((2, 4)),
        np.zeros(5),
        np.zeros((1, 5, 1)),
        "age=1",
        41,
        None,
        {1, 2},
        pytest.param(iter([ROW]), id="iterator"),
        {"age": [1.0], "plan": ["pro", "free"]},
    ],
    ids=repr,
)
def test_python_values_that_are_no_rows_are_invalid_input(rows):
    """The message says what rows look like."""
    with pytest.raises(InvalidInput):
        MIXED.read(rows)


@pytest.mark.parametrize(
    "rows", [pandas.Series([1.0]), {"age": np.array([[1.0]])}, [1, 2], [None], [[1.0]], ["age"]], ids=repr
)
def test_python_values_that_are_no_rows_are_invalid_input_too(rows):
    """A Series, a column of lists and rows that are no mappings are no rows either."""
    with pytest.raises(InvalidInput):
        Schema.of(age=float).read(rows)


def test_an_array_without_dimensions_is_a_value():
    """What numpy makes of one number is that number."""

    assert Schema.of(age=float).read({"age": np.array(1.0)}).rows() == [{"age": 1.0}]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"nul",
        b"null",
        b"5",
        b'"text"',
        b"[1]",
        b"[null]",
        b"[[]]",
        b"[{}, 1]",
        b'{"age":1',
        b"\xff",
        b"[" * 99,
    ],
)
def test_raw_json_that_is_no_rows_is_a_malformed_body(raw):
    """No JSON, or JSON of something else."""
    with pytest.raises(MalformedBody):
        Schema.of(age=Column("age", required=False)).read(raw)


# Missing columns, wrong values


def test_all_missing_columns_are_named_in_order():
    """In the schema's order, whatever the order of the row."""

    assert ["age", "visits", "active"] == refusal(MIXED, {"note": "x", "plan": "pro"}).missing_columns


def test_a_column_missing_from_one_row_is_missing():
    """A batch lacks a column where one of its rows does."""

    assert ["age"] == refusal(Schema.of(age=float, b=int), [{"age": 1, "b": 1}, {"b": 2}]).missing_columns


def test_missing_columns_and_wrong_values_are_told_together():
    """One answer tells everything that must be mended."""
    error = refusal(MIXED, {"plan": "gold", "visits": 1.5, "active": True})

    assert ["age", "note"] == error.missing_columns
    assert {"plan": "must be one of free, pro", "visits": "must be a whole number"} == error.errors
    assert {"missing_columns": error.missing_columns, "errors": error.errors} == error.details


@pytest.mark.parametrize(
    ("kind", "value", "rule"),
    [
        *[("number", value, "must be a number") for value in ("1", True, False, "", [1], {"a": 1}, 10**400)],
        *[
            ("integer", value, "must be a whole number")
            for value in ("2", True, 1.5, 2**53 + 1, -(2**53) - 1, 1e300, 10**400, [2], {})
        ],
        *[("boolean", value, "must be true or false") for value in (0, 1, 1.0, "true", [], {})],
        *[("text", value, "must be text") for value in (1, 1.5, True, ["x"], {"x": 1})],
        *[(kind, None, "must not be null") for kind in ("number", "integer", "boolean", "text")],
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_value_of_another_kind_is_refused(kind, value, rule):
    """No value is taken for what it is not, in JSON or from Python."""
    schema = Schema([Column("a", kind), Column("b", "integer")])
    text = f"[{'1' * 401}]" if value == 10**400 else None
    error = refusal(schema, {"a": value, "b": 1}) if text is None else None
    if error is None:
        with pytest.raises(InvalidValues) as info:
            schema.read(b'{"a":' + b"1" * 400 + b',"b":1}')
        error = info.value

    assert {"a": rule} == error.errors


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("number", 2, 2.0),
        ("number", 2**53 + 1, 2.0**53),
        ("number", 1.7976931348623157e308, 1.7976931348623157e308),
        ("number", 5e-324, 5e-324),
        ("integer", 2.0, 2),
        ("integer", 2**53, 2**53),
        ("integer", -(2.0**53), -(2**53)),
        ("boolean", False, False),
        ("text", "", ""),
        ("text", "4\u00e9\U0001f600\u0000", "4\u00e9\U0001f600\u0000"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("form", [encode, lambda row: row], ids=["json", "python"])
def test_a_value_of_the_kind_is_read_exactly(kind, value, read, form):
    """Numbers to the last bit, whole numbers with a decimal point as whole numbers."""
    [row] = Schema([Column("a", kind)]).read(form({"a": value})).rows()

    assert (read, type(read)) == (row["a"], type(row["a"]))


@pytest.mark.parametrize(
    "value", [float("inf"), float("-inf"), np.float32("inf"), 10**400], ids=lambda v: str(v)[:9]
)
@pytest.mark.parametrize("kind", ["number", "integer"])
def test_infinity_is_refused(kind, value):
    """From Python as well; JSON cannot spell it."""
    with pytest.raises(InvalidValues):
        Schema([Column("a", kind, nullable=True)]).read({"a": value})


LARGE = ["1e400", "-1e400", "1" * 5000, "-" + "1" * 5000]


@pytest.mark.parametrize("number", LARGE, ids=lambda number: number[:6])
@pytest.mark.parametrize("kind", ["number", "integer", "boolean", "text", "any"])
@pytest.mark.parametrize("typed", [True, False])
def test_a_number_beyond_every_float_hides_no_other_fault(number, kind, typed):
    """It is a wrong value of its column."""
    schema = Schema([Column("a", kind), Column("b"), Column("c")])
    schema._decoder._typed = typed
    with pytest.raises(MissingColumns) as info:
        schema.read(b'{"a": %s, "b": "x"}' % number.encode())

    assert ["c"] == info.value.missing_columns
    assert ["a", "b"] == list(info.value.errors)


@pytest.mark.parametrize("number", LARGE, ids=lambda number: number[:6])
def test_a_large_number_that_nobody_reads_makes_a_body_malformed(number):
    """No column can tell of it."""
    with pytest.raises(MalformedBody, match="out of range"):
        Schema.of(a=float).read(b'{"a": 1, "unknown": %s}' % number.encode())


@pytest.mark.parametrize("rest", ['"b":}', '"a":1}', '"b":NaN}', '"b":' + "[" * 40 + "]" * 40 + "}"])
def test_what_is_no_json_beside_a_large_number_is_malformed(rest):
    """A second fault of the body itself is no less one."""
    with pytest.raises(MalformedBody):
        Schema.of(a=float).read(b'{"a": 1e400,' + rest.encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1."])
@pytest.mark.parametrize("members", ['"a":{}', '"a":1,"unknown":{}'], ids=["column", "unknown"])
def test_what_is_no_json_number_is_malformed(number, members):
    """Wherever it stands, also in a member nobody asked for."""
    schema = Schema.of(a=float, b=Column("b", required=False))
    with pytest.raises(MalformedBody):
        schema.read(b"{" + members.replace("{}", number).encode() + b"}")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([1, "x"], "(row 1)"),
        (["x", 1, "x"], "(row 0, 2)"),
        (["x"] * 5, "(row 0, 1, 2, 3, 4)"),
        ([1] + ["x"] * 7, "(row 1, 2, 3, 4, 5 and 2 more)"),
    ],
    ids=repr,
)
def test_rows_of_a_batch_are_numbered(rows, told):
    """From 0, and no more than five of them."""
    error = refusal(Schema.of(a=float), [{"a": value} for value in rows])

    assert {"a": f"must be a number {told}"} == error.errors


def test_levels_are_told_up_to_twenty():
    """A column of thousands of levels does not make an answer of thousands of lines."""
    error = refusal(Schema.of(a=[f"l{at}" for at in range(25)]), {"a": "other"})

    assert f"must be one of {', '.join(f'l{at}' for at in range(20))} and 5 more" == error.errors["a"]


@pytest.mark.parametrize(
    ("levels", "good", "bad"),
    [
        (["free", "pro"], "pro", "PRO"),
        ([1, 2], 2, 3),
        ([1, 2], 2.0, 2.5),
        ([0.5, 1], 0.5, 0.25),
        ([True], True, False),
    ],
    ids=repr,
)
def test_only_the_levels_are_allowed(levels, good, bad):
    """A value beside them is refused, of whatever kind they are."""
    schema = Schema.of(a=levels)

    assert [{"a": good}] == schema.read(encode({"a": good})).rows() == schema.read({"a": good}).rows()
    assert ["a"] == list(refusal(schema, {"a": bad}).errors)


# Nulls and optional columns


@pytest.mark.parametrize("kind", ["number", "integer", "boolean", "text"])
@pytest.mark.parametrize("form", [encode, lambda rows: rows], ids=["json", "python"])
def test_null_is_read_where_it_is_allowed(kind, form):
    """A nullable column holds null beside values; rows() gives it back as None."""
    value = {"number": 1.5, "integer": 3, "boolean": True, "text": "x"}[kind]
    rows = [{"a": None}, {"a": value}]

    assert rows == Schema([Column("a", kind, nullable=True)]).read(form(rows)).rows()


@pytest.mark.parametrize(
    "null",
    [None, float("nan"), np.nan, np.float32("nan"), np.float64("nan")],
    ids=lambda value: type(value).__name__,
)
def test_nan_from_python_is_null(null):
    """Refused where null is, read as null where null is read: for numbers and for text."""
    for kind in ("number", "text"):
        with pytest.raises(InvalidValues, match="must not be null"):
            Schema([Column("a", kind)]).read({"a": null})

        assert [{"a": None}] == Schema([Column("a", kind, nullable=True)]).read({"a": null}).rows()


@pytest.mark.parametrize(
    "frame",
    [
        pandas.DataFrame({"a": [1.0, None], "t": ["x", None]}),
        pandas.DataFrame(
            {"a": pandas.array([1, None], dtype="Int64"), "t": pandas.array(["x", None], dtype="string")}
        ),
        pandas.DataFrame({"a": [1.0, None], "t": pandas.Categorical(["x", None])}),
        polars.DataFrame({"a": [1.0, None], "t": ["x", None]}),
        polars.DataFrame({"a": [1.0, float("nan")], "t": ["x", None]}),
    ],
    ids=["numpy", "nullable", "categorical", "polars", "polars-nan"],
)
def test_every_null_of_a_frame_is_null(frame):
    """NaN, None, NA and NaT all say that a value is missing."""
    schema = Schema.of(a=Column("a", nullable=True), t=Column("t", "text", nullable=True))

    assert [{"a": 1.0, "t": "x"}, {"a": None, "t": None}] == schema.read(frame).rows()


@pytest.mark.parametrize("form", [encode, lambda rows: rows], ids=["json", "python"])
def test_an_optional_column_may_be_left_out(form):
    """It counts as null then; sent as null it must be nullable, and its values keep the rule."""
    schema = Schema.of(a=Column("a", required=False), b=int, c=Column("c", "text", required=False))

    assert [{"a": None, "b": 1, "c": None}] == schema.read(form({"b": 1})).rows()
    assert [{"a": 2.0, "b": 1, "c": "x"}] == schema.read(form({"b": 1, "a": 2, "c": "x"})).rows()
    with pytest.raises(InvalidValues, match="a must not be null"):
        schema.read(form({"b": 1, "a": None}))
    with pytest.raises(InvalidValues, match="c must be text"):
        schema.read(form({"b": 1, "c": 5}))


@pytest.mark.parametrize("nan", ["null", "refuse"])
@pytest.mark.parametrize("null", [None, pandas.NA, pandas.NaT, np.datetime64("NaT")], ids=repr)
def test_every_null_alone_is_null(null, nan):
    """As in a frame."""
    schema = Schema.of(a=Column("a", nullable=True), t=Column("t", "text", nullable=True)).reading(nan=nan)

    assert [{"a": None, "t": None}] == schema.read({"a": null, "t": null}).rows()


def test_a_masked_value_is_null():
    """What numpy keeps behind the mask is nobody's value."""
    values = np.ma.array([1.0, 2.0], mask=[False, True])

    assert [{"a": 1.0}, {"a": None}] == Schema.of(a=Column("a", nullable=True)).read({"a": values}).rows()


@pytest.mark.parametrize(
    ("date", "text"),
    [
        (np.datetime64("2026-01-02"), "2026-01-02"),
        (np.datetime64("2026-01-02", "s"), "2026-01-02T00:00:00"),
        (np.datetime64("2026-01-02", "ns"), "2026-01-02T00:00:00"),
        (np.datetime64("2026-01-02T03:04:05.5", "ns"), "2026-01-02T03:04:05.500000"),
        (np.datetime64("2026-01-02T03:04:05.000000006", "ns"), "2026-01-02T03:04:05.000000006"),
        (np.datetime64("20000-01-02"), "20000-01-02"),
        (np.datetime64("20000-01-02", "us"), "20000-01-02T00:00:00.000000"),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", [lambda date: {"a": np.array([date])}, lambda date: np.array([[date]])])
def test_a_date_of_numpy_is_its_text(date, text, form):
    """Nanoseconds as pandas spells them; and never a number."""
    for kind in ("text", "any"):
        assert [{"a": text}] == Schema([Column("a", kind)]).read(form(date)).rows()
    for kind in ("number", "integer"):
        with pytest.raises(InvalidValues):
            Schema([Column("a", kind)]).read(form(date))


@pytest.mark.parametrize("told", [decimal.Decimal, fractions.Fraction])
def test_a_whole_number_of_python_is_exact(told):
    """One that a float would make its neighbour is no integer, and is kept where anything is."""
    large = told(2**53) + 1

    assert [{"a": 2**53 + 1}] == Schema([Column("a", "any")]).read({"a": large}).rows()
    assert [{"a": 2**53}] == Schema.of(a=int).read({"a": told(2**53)}).rows()
    with pytest.raises(InvalidValues):
        Schema.of(a=int).read({"a": large})


@pytest.mark.parametrize(
    "value",
    [
        decimal.Decimal("sNaN"),
        decimal.Decimal("Infinity"),
        fractions.Fraction(10**400),
        1j,
        b"1",
        np.timedelta64(1, "ns"),
        np.array(1, "timedelta64[ns]"),
    ],
    ids=repr,
)
def test_what_json_has_no_word_for_is_refused(value):
    """And nothing else happens."""
    with pytest.raises(InvalidValues, match="a must be a number"):
        Schema.of(a=float).read({"a": value})


# Names


@pytest.mark.parametrize(
    "raw",
    [
        '{"a":1,"a":1,"b":1}',
        '{"b":1,"a":1,"a":2}',
        '{"a":1,"\\u0061":2,"b":1}',
        '{"a":1,"b":1,"x":1,"x":2}',
        '{"a":1,"b":1,"x":{"y":1,"y":2}}',
        '{"a":1,"b":1,"x":[{"y":1,"y":2}]}',
        '[{"a":1,"b":1},{"a":1,"b":1,"b":2}]',
        '[{"a":1,"a":2,"b":1},{"a":1,"b":1}]',
    ],
)
@pytest.mark.parametrize("b", [Column("b"), Column("b", required=False)], ids=["required", "optional"])
def test_a_name_that_stands_twice_is_refused_at_any_place(raw, b):
    """In the columns, beside them, and below them."""
    with pytest.raises(MalformedBody, match="twice"):
        Schema.of(a=float, b=b).read(raw.encode())


@pytest.mark.parametrize(
    "raw",
    ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '[{"a":1,"b":1},{"a":1,"a":2}]', '{"a":1,"a":2,"a":3}'],
)
def test_a_name_that_stands_twice_hides_behind_no_optional_column(raw):
    """A column that is left out makes no room for another that stands twice."""
    schema = Schema.of(a=float, b=Column("b", required=False))
    with pytest.raises(MalformedBody, match="twice"):
        schema.read(raw.encode())


@pytest.mark.parametrize(
    "unknown", [b'"\xff"', b'"\\ud800"', b"[" * 40 + b"]" * 40, b"1e999", b'{"y":1,"y":2}']
)
@pytest.mark.parametrize("other", [b"", b',"b":1'], ids=["left-out", "sent"])
def test_a_member_nobody_asked_for_is_json_too(unknown, other):
    """A body is refused for what is no strict JSON in it, whether or not an optional column is sent."""
    schema = Schema.of(a=float, b=Column("b", required=False))
    with pytest.raises(MalformedBody):
        schema.read(b'{"a":1' + other + b',"x":' + unknown + b"}")


def test_two_columns_of_one_name_in_a_frame_are_refused():
    """Which of the two counts is not for the gate to guess."""
    with pytest.raises(InvalidInput):
        Schema.of(a=float).read(pandas.DataFrame([[1.0, 2.0]], columns=["a", "a"]))


@pytest.mark.parametrize(
    "name", ["a b", "é", "\u0000", '"', "f0", "self", "class", "x:y", "{", "[", "\\", " "]
)
def test_a_column_may_have_any_name(name):
    """What a DataFrame calls a column, JSON can spell."""
    schema = Schema([Column("f1"), Column(name, "text", ("x",)), Column("optional", required=False)])
    row = {"f1": 1.0, name: "x", "optional": 2.0}

    assert [row] == schema.read(encode(row)).rows() == schema.read(row).rows()
    with pytest.raises(MissingColumns) as info:
        schema.read(encode({"f1": 1}))
    assert [name] == info.value.missing_columns


def test_texts_that_look_like_json_are_texts():
    """Colons and brackets inside a text are no structure."""
    rows = [{"a": '{"a":[1,2]}::', "n": 1.0}, {"a": "[[", "n": 2.0}]

    assert rows == Schema.of(a=str, n=float).read(encode(rows)).rows()


# Sizes


def test_4096_columns():
    """A wide row is read, and one missing column in it is found."""
    schema = Schema([Column(f"c{at}") for at in range(4096)])
    row = {f"c{at}": float(at) for at in range(4096)}

    assert [row] == schema.read(encode(row)).rows()
    del row["c2048"]
    assert ["c2048"] == refusal(schema, row).missing_columns


def test_10000_rows():
    """A long batch is read, and one wrong value in it is found."""
    rows = [{**ROW, "visits": at} for at in range(10_000)]

    assert list(range(10_000)) == MIXED.read(encode(rows))["visits"].tolist()
    rows[7777]["visits"] = "x"
    assert {"visits": "must be a whole number (row 7777)"} == refusal(MIXED, rows).errors
