"""Creation of schemas, and validation of JSON and Python values."""

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


def read_error(schema, rows):
    """Return the error that reading *rows* raises, the same for Python values and JSON."""
    with pytest.raises(RequestError) as plain:
        schema.read(rows)
    with pytest.raises(RequestError) as raw:
        schema.read(encode(rows))
    assert type(plain.value) is type(raw.value)
    assert plain.value.details == raw.value.details
    return raw.value


# Creation


@pytest.mark.parametrize(
    ("spec", "column"),
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
def test_schema_of_accepts_types_levels_and_columns(spec, column):
    """A `Column` gets the name of its keyword."""

    assert (column,) == Schema.of(a=spec).columns


@pytest.mark.parametrize(
    "spec",
    [object, list, None, "float", "", [], (), [None], ["x", 1], [True, 1], 3, {"x"}, [[1]], [2**60]],
    ids=repr,
)
def test_schema_of_rejects_other_values_by_column_name(spec):
    with pytest.raises(ConfigurationError, match="'plan'"):
        Schema.of(age=float, plan=spec)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "name must be"),
        ((None,), "name must be"),
        (("a", "float"), "'a'.*kind must be one of number, integer, boolean, text.*'float'"),
        (("a", "number", ()), "'a'.*levels"),
        (("a", "text", ("x", 1)), "'a'.*levels.*got 1"),
        (("a", "number", (float("nan"),)), "'a'.*levels.*got nan"),
        (("a", "integer", (True,)), "'a'.*levels.*got True"),
    ],
    ids=repr,
)
def test_column_rejects_invalid_names_kinds_and_levels(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        Column(*arguments)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("number", {"levels": (1, 2), "minimum": 2}, "levels must be values that the column's other.*got 1"),
        ("text", {"levels": ("ab", "c"), "max_length": 1}, "levels must be.*got 'ab'"),
        ("text", {"levels": ("ab", "c"), "pattern": "b"}, "levels must be.*got 'c'"),
        ("number", {"maximum": 10**400}, "maximum must be.*got 1000"),
        ("integer", {"minimum": -(10**400)}, "minimum must be.*got -1000"),
        ("text", {"max_length": 10**30}, "max_length must be.*got 1000"),
        (
            "number",
            {"observed_range": ("a", "b")},
            r"observed_range must be \(smallest, largest\), two finite numbers",
        ),
        ("number", {"observed_range": (3, 1)}, "observed_range must be"),
        ("number", {"observed_range": (0, 10**400)}, "observed_range must be"),
        ("any", {"typical_value": {"a": 1}}, "typical_value must be text, a boolean or a finite number"),
        ("number", {"typical_value": 10**400}, "typical_value must be.*got 1000"),
    ],
    ids=str,
)
def test_column_rejects_contradictory_or_invalid_options(kind, options, message):
    """The message names the column and the option."""
    with pytest.raises(ConfigurationError, match=rf"^column 'a': {message}"):
        Column("a", kind, **options)


@pytest.mark.parametrize("encode_rows", [encode, lambda row: row], ids=["json", "python"])
def test_integer_levels_become_ints(encode_rows):
    """TOML and JSON files may contain 1.0 for 1."""
    schema = Schema([Column("a", "integer", levels=(1.0, 2.0))])
    [row] = schema.read(encode_rows({"a": 2})).rows()

    assert (2, int) == (row["a"], type(row["a"]))
    with pytest.raises(InvalidValues, match="must be one of 1, 2"):
        schema.read(encode_rows({"a": 3}))


def test_schema_requires_columns_with_different_names():
    with pytest.raises(ConfigurationError, match="at least one"):
        Schema([])
    with pytest.raises(ConfigurationError, match="different names"):
        Schema([Column("a"), Column("a", "text")])


def test_schema_has_length_order_and_names():
    assert ("age", "plan", "visits", "active", "note") == MIXED.names
    assert list(MIXED.columns) == list(MIXED)
    assert 5 == len(MIXED)
    assert "Schema(['a'])" == repr(Schema.of(a=int))


# Valid input

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
def test_read_accepts_rows_in_every_form(rows):
    """Raw JSON, mappings, columns, arrays and DataFrames of the same rows give the same table."""

    assert MIXED.read(rows).rows() == ROWS


@pytest.mark.parametrize("rows", [ROW, encode(ROW), msgspec.Raw(encode(ROW)), [ROW]])
def test_read_accepts_a_single_row(rows):
    assert [ROW] == MIXED.read(rows).rows()


def test_read_takes_array_columns_by_position():
    schema = Schema.of(b=float, a=int)

    assert [{"b": 1.5, "a": 2}] == schema.read(np.array([[1.5, 2.0]])).rows()


@pytest.mark.parametrize(
    "rows",
    [b"[]", [], (), np.empty((0, 5)), pandas.DataFrame(columns=list(ROW)), {name: [] for name in ROW}],
    ids=lambda rows: type(rows).__name__,
)
def test_read_of_an_empty_batch_gives_an_empty_table(rows):
    """The table has all columns."""
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
def test_read_rejects_an_empty_batch_with_other_columns(rows):
    """Otherwise the response would have no predictions and no error."""
    with pytest.raises(MissingColumns) as info:
        MIXED.read(rows)

    assert list(ROW) == info.value.missing_columns


@pytest.mark.parametrize("rows", [b"[]", []])
def test_read_of_an_empty_batch_with_one_kind_of_column(rows):
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
def test_read_rejects_python_values_that_are_not_rows(rows):
    with pytest.raises(InvalidInput):
        MIXED.read(rows)


@pytest.mark.parametrize(
    "rows", [pandas.Series([1.0]), {"age": np.array([[1.0]])}, [1, 2], [None], [[1.0]], ["age"]], ids=repr
)
def test_read_rejects_python_values_that_are_not_rows_of_one_column(rows):
    with pytest.raises(InvalidInput):
        Schema.of(age=float).read(rows)


def test_read_accepts_a_zero_dimensional_array_as_value():
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
def test_read_rejects_raw_json_that_is_not_rows(raw):
    with pytest.raises(MalformedBody):
        Schema.of(age=Column("age", required=False)).read(raw)


# Missing columns, wrong values


def test_missing_columns_are_reported_in_schema_order():
    assert ["age", "visits", "active"] == read_error(MIXED, {"note": "x", "plan": "pro"}).missing_columns


def test_missing_column_in_one_row_is_reported():
    assert ["age"] == read_error(Schema.of(age=float, b=int), [{"age": 1, "b": 1}, {"b": 2}]).missing_columns


def test_missing_columns_and_wrong_values_are_reported_together():
    error = read_error(MIXED, {"plan": "gold", "visits": 1.5, "active": True})

    assert ["age", "note"] == error.missing_columns
    assert {"plan": "must be one of free, pro", "visits": "must be a whole number"} == error.errors
    assert {"missing_columns": error.missing_columns, "errors": error.errors} == error.details


@pytest.mark.parametrize(
    ("kind", "value", "rule"),
    [
        *[("number", value, "must be a number") for value in (True, False, "", [1], {"a": 1})],
        ("number", "1", "must be a number, without quotes"),
        ("number", 10**400, "is too large: send a number from -1.7e308 to 1.7e308"),
        *[("integer", value, "must be a whole number") for value in (True, 1.5, [2], {})],
        ("integer", "2", "must be a whole number, without quotes"),
        *[
            ("integer", value, f"is too large: send a number from -{2**53} to {2**53}")
            for value in (2**53 + 1, -(2**53) - 1, 1e300, 10**400)
        ],
        *[("boolean", value, "must be true or false") for value in (2, "true", [], {})],
        *[("boolean", value, "must be true or false, instead of 1 or 0") for value in (0, 1, 1.0)],
        *[("text", value, "must be text") for value in (1, 1.5, True, ["x"], {"x": 1})],
        *[(kind, None, "must not be null") for kind in ("number", "integer", "boolean", "text")],
    ],
    ids=lambda value: repr(value)[:20],
)
def test_value_of_another_kind_is_rejected(kind, value, rule):
    """From JSON and from Python."""
    schema = Schema([Column("a", kind), Column("b", "integer")])
    if value == 10**400:  # msgspec cannot encode it
        with pytest.raises(InvalidValues) as info:
            schema.read(b'{"a":' + b"1" * 400 + b',"b":1}')
        error = info.value
    else:
        error = read_error(schema, {"a": value, "b": 1})

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
@pytest.mark.parametrize("encode_rows", [encode, lambda row: row], ids=["json", "python"])
def test_value_of_the_kind_is_read_exactly(kind, value, read, encode_rows):
    """Numbers to the last bit; integers with a decimal point as integers."""
    [row] = Schema([Column("a", kind)]).read(encode_rows({"a": value})).rows()

    assert (read, type(read)) == (row["a"], type(row["a"]))


@pytest.mark.parametrize(
    "value", [float("inf"), float("-inf"), np.float32("inf"), 10**400], ids=lambda v: str(v)[:9]
)
@pytest.mark.parametrize("kind", ["number", "integer"])
def test_infinity_is_rejected(kind, value):
    """Python values may contain it; JSON has no spelling for it."""
    with pytest.raises(InvalidValues):
        Schema([Column("a", kind, nullable=True)]).read({"a": value})


LARGE = ["1e400", "-1e400", "1" * 5000, "-" + "1" * 5000]


@pytest.mark.parametrize("number", LARGE, ids=lambda number: number[:6])
@pytest.mark.parametrize("kind", ["number", "integer", "boolean", "text", "any"])
@pytest.mark.parametrize("typed", [True, False])
def test_overflowing_number_does_not_hide_other_errors(number, kind, typed):
    schema = Schema([Column("a", kind), Column("b"), Column("c")])
    schema._decoder._typed = typed
    with pytest.raises(MissingColumns) as info:
        schema.read(b'{"a": %s, "b": "x"}' % number.encode())

    assert ["c"] == info.value.missing_columns
    assert ["a", "b"] == list(info.value.errors)


@pytest.mark.parametrize("number", LARGE, ids=lambda number: number[:6])
def test_overflowing_number_in_an_extra_member_is_malformed(number):
    """No column could report it."""
    with pytest.raises(MalformedBody, match="wrong shape"):
        Schema.of(a=float).read(b'{"a": 1, "unknown": %s}' % number.encode())


@pytest.mark.parametrize("rest", ['"b":}', '"a":1}', '"b":NaN}', '"b":' + "[" * 40 + "]" * 40 + "}"])
def test_invalid_json_next_to_an_overflowing_number_is_malformed(rest):
    with pytest.raises(MalformedBody):
        Schema.of(a=float).read(b'{"a": 1e400,' + rest.encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1."])
@pytest.mark.parametrize("members", ['"a":{}', '"a":1,"unknown":{}'], ids=["column", "unknown"])
def test_invalid_json_number_is_malformed(number, members):
    """Also in a member that the schema does not have."""
    schema = Schema.of(a=float, b=Column("b", required=False))
    with pytest.raises(MalformedBody):
        schema.read(b"{" + members.replace("{}", number).encode() + b"}")


@pytest.mark.parametrize(
    ("rows", "suffix"),
    [
        ([1, "x"], "(row 1)"),
        (["x", 1, "x"], "(row 0, 2)"),
        (["x"] * 5, "(row 0, 1, 2, 3, 4)"),
        ([1] + ["x"] * 7, "(row 1, 2, 3, 4, 5 and 2 more)"),
    ],
    ids=repr,
)
def test_error_lists_at_most_five_row_indices(rows, suffix):
    error = read_error(Schema.of(a=float), [{"a": value} for value in rows])

    assert {"a": f"must be a number {suffix}"} == error.errors


def test_error_lists_at_most_twenty_levels():
    error = read_error(Schema.of(a=[f"l{index}" for index in range(25)]), {"a": "other"})

    assert f"must be one of {', '.join(f'l{index}' for index in range(20))} and 5 more" == error.errors["a"]


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
def test_levels_are_the_only_allowed_values(levels, good, bad):
    schema = Schema.of(a=levels)

    assert [{"a": good}] == schema.read(encode({"a": good})).rows() == schema.read({"a": good}).rows()
    assert ["a"] == list(read_error(schema, {"a": bad}).errors)


# Nulls and optional columns


@pytest.mark.parametrize("kind", ["number", "integer", "boolean", "text"])
@pytest.mark.parametrize("encode_rows", [encode, lambda rows: rows], ids=["json", "python"])
def test_nullable_column_accepts_null(kind, encode_rows):
    value = {"number": 1.5, "integer": 3, "boolean": True, "text": "x"}[kind]
    rows = [{"a": None}, {"a": value}]

    assert rows == Schema([Column("a", kind, nullable=True)]).read(encode_rows(rows)).rows()


@pytest.mark.parametrize(
    "null",
    [None, float("nan"), np.nan, np.float32("nan"), np.float64("nan")],
    ids=lambda value: type(value).__name__,
)
def test_nan_in_python_values_is_null(null):
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
def test_nulls_of_a_dataframe_become_none(frame):
    schema = Schema.of(a=Column("a", nullable=True), t=Column("t", "text", nullable=True))

    assert [{"a": 1.0, "t": "x"}, {"a": None, "t": None}] == schema.read(frame).rows()


@pytest.mark.parametrize("encode_rows", [encode, lambda rows: rows], ids=["json", "python"])
def test_optional_column_may_be_left_out(encode_rows):
    """It is null then. Sending null still requires a nullable column."""
    schema = Schema.of(a=Column("a", required=False), b=int, c=Column("c", "text", required=False))

    assert [{"a": None, "b": 1, "c": None}] == schema.read(encode_rows({"b": 1})).rows()
    assert [{"a": 2.0, "b": 1, "c": "x"}] == schema.read(encode_rows({"b": 1, "a": 2, "c": "x"})).rows()
    with pytest.raises(InvalidValues, match="a must not be null"):
        schema.read(encode_rows({"b": 1, "a": None}))
    with pytest.raises(InvalidValues, match="c must be text"):
        schema.read(encode_rows({"b": 1, "c": 5}))


@pytest.mark.parametrize("nan", ["null", "reject"])
@pytest.mark.parametrize("null", [None, pandas.NA, pandas.NaT, np.datetime64("NaT")], ids=repr)
def test_single_null_values_become_none(null, nan):
    schema = Schema.of(a=Column("a", nullable=True), t=Column("t", "text", nullable=True)).with_options(
        nan=nan
    )

    assert [{"a": None, "t": None}] == schema.read({"a": null, "t": null}).rows()


def test_masked_value_becomes_none():
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
@pytest.mark.parametrize("make_rows", [lambda date: {"a": np.array([date])}, lambda date: np.array([[date]])])
def test_numpy_date_becomes_text(date, text, make_rows):
    """Nanoseconds are formatted as in pandas. A date is never a number."""
    for kind in ("text", "any"):
        assert [{"a": text}] == Schema([Column("a", kind)]).read(make_rows(date)).rows()
    for kind in ("number", "integer"):
        with pytest.raises(InvalidValues):
            Schema([Column("a", kind)]).read(make_rows(date))


@pytest.mark.parametrize("number_type", [decimal.Decimal, fractions.Fraction])
def test_large_integer_of_another_type_stays_exact(number_type):
    large = number_type(2**53) + 1

    assert [{"a": 2**53 + 1}] == Schema([Column("a", "any")]).read({"a": large}).rows()
    assert [{"a": 2**53}] == Schema.of(a=int).read({"a": number_type(2**53)}).rows()
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
def test_value_without_json_equivalent_is_rejected(value):
    with pytest.raises(InvalidValues, match=r"a (must be a number|is too large)"):
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
def test_duplicate_name_is_rejected_at_any_depth(raw, b):
    with pytest.raises(MalformedBody, match="twice"):
        Schema.of(a=float, b=b).read(raw.encode())


@pytest.mark.parametrize(
    "raw",
    ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '[{"a":1,"b":1},{"a":1,"a":2}]', '{"a":1,"a":2,"a":3}'],
)
def test_duplicate_name_is_rejected_if_an_optional_column_is_missing(raw):
    """The number of members alone would be right."""
    schema = Schema.of(a=float, b=Column("b", required=False))
    with pytest.raises(MalformedBody, match="twice"):
        schema.read(raw.encode())


@pytest.mark.parametrize(
    "unknown", [b'"\xff"', b'"\\ud800"', b"[" * 40 + b"]" * 40, b"1e999", b'{"y":1,"y":2}']
)
@pytest.mark.parametrize("other", [b"", b',"b":1'], ids=["left-out", "sent"])
def test_extra_member_must_be_strict_json(unknown, other):
    schema = Schema.of(a=float, b=Column("b", required=False))
    with pytest.raises(MalformedBody):
        schema.read(b'{"a":1' + other + b',"x":' + unknown + b"}")


def test_dataframe_with_duplicate_names_is_rejected():
    with pytest.raises(InvalidInput):
        Schema.of(a=float).read(pandas.DataFrame([[1.0, 2.0]], columns=["a", "a"]))


@pytest.mark.parametrize(
    "name", ["a b", "é", "\u0000", '"', "f0", "self", "class", "x:y", "{", "[", "\\", " "]
)
def test_column_name_may_be_any_text(name):
    schema = Schema([Column("f1"), Column(name, "text", ("x",)), Column("optional", required=False)])
    row = {"f1": 1.0, name: "x", "optional": 2.0}

    assert [row] == schema.read(encode(row)).rows() == schema.read(row).rows()
    with pytest.raises(MissingColumns) as info:
        schema.read(encode({"f1": 1}))
    assert [name] == info.value.missing_columns


def test_text_may_look_like_json():
    rows = [{"a": '{"a":[1,2]}::', "n": 1.0}, {"a": "[[", "n": 2.0}]

    assert rows == Schema.of(a=str, n=float).read(encode(rows)).rows()


# Sizes


@pytest.mark.slow
def test_schema_of_4096_columns():
    schema = Schema([Column(f"c{index}") for index in range(4096)])
    row = {f"c{index}": float(index) for index in range(4096)}

    assert [row] == schema.read(encode(row)).rows()
    del row["c2048"]
    assert ["c2048"] == read_error(schema, row).missing_columns


@pytest.mark.slow
def test_read_of_10000_rows():
    rows = [{**ROW, "visits": index} for index in range(10_000)]

    assert list(range(10_000)) == MIXED.read(encode(rows))["visits"].tolist()
    rows[7777]["visits"] = "x"
    assert {"visits": "must be a whole number (row 7777)"} == read_error(MIXED, rows).errors
