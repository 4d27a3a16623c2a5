"""CSV decoding. All parsers must give the same result."""

import csv
import io
import json
import sys
from dataclasses import replace

import numpy as np
import pandas
import polars
import pytest

from modelgate.codecs import csv_blocks
from modelgate.errors import (
    ConfigurationError,
    InvalidInput,
    InvalidValues,
    MalformedBody,
    MissingColumns,
    RequestError,
)
from modelgate.schema import CSV, Column, Schema, Table, csv_decoder, csv_fast_path
from modelgate.schema.csv_decoder import iter_records
from modelgate.schema.row_validator import validate_rows

MIXED = Schema.of(
    age=float,
    plan=["free", "pro"],
    visits=Column("visits", "integer", nullable=True),
    active=bool,
    note=Column("note", "text", nullable=True),
)
HEAD = "age,plan,visits,active,note\n"
TWO = Schema.of(a=float, b=Column("b", "number", nullable=True))


def read_outcome(read, raw):
    """Return a bitwise comparable result of *read*: the content of the table, or the error."""
    try:
        table = read(raw)
    except RequestError as error:
        return type(error), error.message, error.details
    return list(table), table.numbers.shape, table.numbers.tobytes(), table.texts, list(table.warnings)


def reference_reader(schema):
    """Return a reader without fast paths: the csv module for rows, `validate_rows` for cells."""

    def read(raw):
        header, *rows = iter_records(CSV(raw))
        rows = [dict(zip(header, row, strict=True)) for row in rows]
        return validate_rows(schema.columns, rows, schema.options, text=True)

    return read


@pytest.fixture(params=["pandas", "no pandas", "small"])
def parser(request, monkeypatch):
    """Parse numbers with pandas, or cell by cell: without pandas, or because the body is small."""
    monkeypatch.setattr(csv_blocks, "LARGE", 1 << 40 if request.param == "small" else 0)
    if request.param == "no pandas":
        monkeypatch.setitem(sys.modules, "pandas", None)
    return request.param


# Valid CSV


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("1.5,pro,3,true,x", [1.5, "pro", 3, True, "x"]),
        ("-0.5e-3,free,,FALSE,", [-0.0005, "free", None, False, None]),
        ("+1,pro,2.0,True,nan", [1.0, "pro", 2, True, "nan"]),
        (" .5\t,pro, 7 , tRuE , x ", [0.5, "pro", 7, True, " x "]),
        ('"1.","pro","1e2","false","a ""b"", c\r\nd"', [1.0, "pro", 100, False, 'a "b", c\r\nd']),
        (
            '9007199254740993,pro,-9007199254740992,true,é"\u2028',
            [2.0**53, "pro", -(2**53), True, 'é"\u2028'],
        ),
        ("1e308,pro,-0,true,#", [1e308, "pro", 0, True, "#"]),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"], ids=repr)
def test_line_becomes_a_row(parser, line, row, end):
    """An empty cell is null, quotes do not matter, and white space matters only in text."""
    table = MIXED.read(CSV((HEAD + line + end).encode()))

    assert [dict(zip(MIXED.names, row, strict=True))] == table.rows()


@pytest.mark.slow
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=repr)
@pytest.mark.parametrize("header", [b"b,x,a", b'"b","x","a"', b'b,"x\ny",a'], ids=repr)
def test_columns_may_have_any_order(parser, bom, end, header):
    """With a byte order mark, any line ending, quoted names and extra columns."""
    raw = bom + end.join([header, b"1,2,3.5", b",text,-4"]) + end

    assert [{"a": 3.5, "b": 1.0}, {"a": -4.0, "b": None}] == TWO.read(CSV(raw)).rows()


def test_header_alone_gives_an_empty_table(parser):
    for raw in (b"a,b", b"b,a\n", b"\xef\xbb\xbfa,b\r\n", b'"a","b"'):
        table = TWO.read(CSV(raw))
        assert (0, 2) == table.numbers.shape
        assert 1 == len(list(TWO.iter_csv(raw)))


def test_header_alone_must_match_the_schema():
    """Otherwise a body whose only line is a row would get no predictions and no error."""
    with pytest.raises(MalformedBody, match="Line 1 of the CSV body was read as the header"):
        TWO.read(CSV(b"1.5,2.5"))
    with pytest.raises(MissingColumns) as info:
        TWO.read(CSV(b"A,b"))
    assert ["a"] == info.value.missing_columns
    with pytest.raises(InvalidValues, match="x is not expected"):
        TWO.with_options(extra_columns="forbid").read(CSV(b"a,b,x\n"))


LEVELS = Schema.of(plan=["free", "pro"], country=str)


@pytest.mark.parametrize("end", [b"", b"\n", b'\n"1","2"\n', b"\n3,4\n5,6\n"], ids=repr)
@pytest.mark.parametrize(
    ("schema", "line", "names"),
    [
        (TWO, b"5.1,3.5", "a,b"),
        (TWO, b"1,1", "a,b"),
        (TWO, b"x,1e5", "a,b"),
        (LEVELS, b"pro,DE", "plan,country"),
    ],
)
def test_header_that_is_a_row_is_named(schema, line, names, end):
    """The first line of a file without a header."""
    with pytest.raises(MalformedBody) as info:
        schema.read(CSV(line + end))

    expected = (
        "Line 1 of the CSV body was read as the header, but looks like data: send a line with the column names"
        f" first, {names}"
    )
    assert expected == info.value.message
    with pytest.raises(MalformedBody, match=r"send a line with the column names first$"):
        schema.with_options(show_schema=False).read(CSV(line + end))


@pytest.mark.parametrize("header", ["0,1", "age,size", "DE,x", "A,1b", ",x"])
def test_header_of_other_names_is_not_mistaken_for_a_row(header):
    """Such as the numbers that pandas gives to columns without names."""
    with pytest.raises(MissingColumns):
        LEVELS.read(CSV(f"{header}\npro,DE\n".encode()))


def test_names_of_a_long_header_are_cut_off():
    schema = Schema([Column(f"column {index}") for index in range(30)])

    with pytest.raises(MalformedBody, match=r"column 8,column 9,…$"):
        schema.read(CSV(b"1,2\n"))


WITHOUT_HEADER = MIXED.with_options(csv_header=False)


@pytest.mark.slow
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\r", b"\n\n\n"], ids=repr)
@pytest.mark.parametrize("rows", [1, 3])
def test_csv_without_a_header_is_in_the_order_of_the_schema(parser, bom, end, rows):
    line_end = end[:1] if end[:1] == b"\r" and len(end) == 1 else b"\r\n" if end[:1] == b"\r" else b"\n"
    raw = bom + line_end.join([b"1.5,pro,3,true,x"] * rows) + end
    row = {"age": 1.5, "plan": "pro", "visits": 3, "active": True, "note": "x"}

    assert [row] * rows == WITHOUT_HEADER.read(CSV(raw)).rows()
    assert [row] * rows == MIXED.read(CSV(raw, header=MIXED.names)).rows()
    assert [row] * rows == [r for table in WITHOUT_HEADER.iter_csv(raw, 1) for r in table.rows()]


def test_numbers_without_a_header_are_the_same_with_every_parser(parser):
    schema = Schema([Column(name) for name in "abcd"])
    raw = FRAME.to_csv(index=False, header=False).encode()

    assert NUMERIC.tobytes() == schema.with_options(csv_header=False).read(CSV(raw)).numbers.tobytes()
    assert NUMERIC.tobytes() == schema.read(CSV(FRAME.to_csv(index=False).encode())).numbers.tobytes()


def test_csv_without_a_header_and_without_rows_gives_an_empty_table(parser):
    for raw in (b"", b"\n", b"\r\n"):
        assert (0, 2) == TWO.with_options(csv_header=False).read(CSV(raw)).numbers.shape


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"1,2,3\n", "Line 1 of the CSV body has 3 cells: send 2, one for each column"),
        (b"1,2\n3\n", "Line 2 of the CSV body has 1 cells: send 2, one for each column"),
        (b"a,b\n1,2\n", "Invalid input data: a must be a number (row 0); b must be a number (row 0)"),
    ],
)
def test_fault_in_csv_without_a_header_names_its_line_or_row(parser, raw, message):
    with pytest.raises(RequestError) as info:
        TWO.with_options(csv_header=False).read(CSV(raw))

    assert message == info.value.message


def test_optional_column_may_be_left_out(parser):
    """It gets its default, or null."""
    schema = Schema(
        [
            Column("a", required=False),
            Column("b", "integer"),
            Column("c", default=2.5),
            Column("t", "text", default="x"),
            Column("n", "any", required=False),
        ]
    )

    row = {"a": None, "b": 7, "c": 2.5, "t": "x", "n": None}
    assert [row] == schema.read(CSV(b"b\n7\n")).rows()
    assert [{**row, "n": 1.5, "a": 1.0}] == schema.read(CSV(b"n,b,a\n1.5,7,1\n")).rows()
    assert [{"a": None, "c": 2.5}] * 2 == Schema(
        [Column("a", required=False), Column("c", default=2.5)]
    ).read(CSV(b"x\n1\n2\n")).rows()


NUMERIC = np.random.default_rng(0).normal(size=(500, 4)) * 10.0 ** np.arange(-150, 250, 100)
FRAME = pandas.DataFrame(NUMERIC, columns=list("abcd"))


@pytest.mark.parametrize(
    "text", [FRAME.to_csv(index=False), FRAME.to_csv(), polars.DataFrame(FRAME).write_csv()], ids=range(3)
)
def test_csv_of_a_dataframe_is_read_exactly(parser, text):
    """As written by pandas and polars, to the last bit."""
    schema = Schema.of(a=float, b=float, c=float, d=float)

    assert NUMERIC.tobytes() == schema.read(CSV(text.encode())).numbers.tobytes()


@pytest.mark.slow
def test_unknown_level_causes_one_warning(parser):
    schema = MIXED.with_options(unknown_levels="warn")
    table = schema.read(CSV((HEAD + "1,gold,,true,\n" + "2,pro,,true,\n" * 20_000).encode()))

    assert ("plan has values the model was not trained with",) == table.warnings
    assert (20_001, "gold") == (len(table), table["plan"][0])


# Malformed CSV


@pytest.mark.slow
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "no header"),
        (b"\xef\xbb\xbf", "no header"),
        (b"\n1,2", "no header"),
        (b"a,b,a\n1,2,3", "Line 1 .*'a' twice"),
        (b"a,b,,\n1,2,3,4", "Line 1 .*'' twice"),
        (b"a,b\n1,2\n3\n", "Line 3 .*has 1 cells: send 2, as in the header"),
        (b"a,b\n1,2\n3,4,5\n", "Line 3 .*has 3 cells: send 2, as in the header"),
        (b"a,b\n1,2,3\n4\n", "Line 2 .*has 3 cells"),
        (b"a,b\n1\n4,5,6\n", "Line 2 .*has 1 cells"),
        (b"a,b\r\n1,2\r\n\r\n3,4", "Line 3 .*has 0 cells"),
        (b"a,b\n\n1,2\n", "Line 2 .*has 0 cells"),
        (b"a,b\r1,2\r3\r", "Line 3 .*has 1 cells"),
        (b'a,b\n1,"2\n\n"\n3\n', "Line 5 .*has 1 cells"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "Line 3 .*quote is opened"),
        (b'a,"b\n1,2\n', "Line 1 .*quote is opened"),
        (b'a,b\n1,2\n3,"4"5\n', "Line 3 .*expected after"),
        (b"a,b\n1,2\n3,\0\n", "Line 3 .*NUL"),
        (b"a,b\n1,2\r\n3,\xff\n", r"Line 3 .*not UTF-8 \(byte 11\)"),
        (b"a,b\n1,2\n\xc3", r"Line 3 .*not UTF-8 \(byte 8\)"),
        (b"a,\xe9\n1,2\n", r"Line 1 .*not UTF-8 \(byte 2\)"),
        (b"a,b\n" + "é".encode() * 600_001 + b"\xff,1", r"Line 2 .*not UTF-8 \(byte 1200006\)"),
        ("a,b\n1,2".encode("utf-16"), "UTF-16: send UTF-8"),
        (b"\xfe\xff" + "a,b\n1,2".encode("utf-16-be"), "UTF-16: send UTF-8"),
        (b"a,b\n1,2\n3," + b"1" * 131_073 + b"\n", "Line 3 .*longer than 131072"),
        (b"a,b\n1,2\n3,0." + b"1" * 200_000 + b"\n1,2\n", "Line 3 .*longer than 131072"),
        (b"a;b\n1;2\n", "separator .*is a semicolon: send a comma"),
        (b"a\tb\n1\t2\n", "separator .*is a tab: send a comma"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_malformed_csv_error_gives_the_line(parser, raw, message):
    """Lines are counted from 1, the header. The line of a row is its first one."""
    with pytest.raises(MalformedBody, match=message):
        TWO.read(CSV(raw))


@pytest.mark.parametrize("text", ["a,b\n1\n", 'a,b\n"1\n'])
def test_malformed_csv_error_gives_the_line_in_a_large_body(parser, text):
    """In any number of tables."""
    head, invalid_line = text.split("\n", 1)
    raw = (head + "\n" + "1,2\n" * 20_000 + invalid_line).encode()
    with pytest.raises(MalformedBody, match="Line 20002 "):
        TWO.read(CSV(raw))
    tables = TWO.iter_csv(raw, 5000)
    assert [5000] * 4 == [len(next(tables)) for _ in range(4)]
    with pytest.raises(MalformedBody, match="Line 20002 "):
        next(tables)


def test_name_may_contain_a_semicolon():
    """If the schema has this name, or if there are other columns."""
    assert [{"a;b": 1.0}] == Schema([Column("a;b")]).read(CSV(b"a;b\n1\n")).rows()
    assert [{"a": 1.0}] == Schema.of(a=float).read(CSV(b"a,b;c\n1,2\n")).rows()


# Values

INVALID_NUMBERS = [
    *[
        "nan",
        "N/A",
        " NA",
        "na",
        "inf",
        "-Infinity",
        "None",
        "1_000",
        "١",
        "1,5",
        "0x1",
        "1e",
        ".",
        "-",
        "+-1",
        "true",
        "False",
        "[1]",
        "1.2.3",
        "1;2",
        "½",
        "1f",
        "1d0",
        "1E+",
    ],
    *["1e400", "-1e309", "1e000001", "0e999999", "1e-999999", "#1", "'1'", "],[", "1],[2"],
    *["1 2", " ", "\t", '"1"', "1\n", "\r1", "1\v", "0" * 401, "1" * 400],
]


def encode_cell(text):
    """Encode *text* as a CSV cell."""
    out = io.StringIO(newline="")
    csv.writer(out).writerow([text, "1"])
    return out.getvalue().rsplit(",", 1)[0]


@pytest.mark.slow
@pytest.mark.parametrize("text", INVALID_NUMBERS, ids=lambda text: repr(text)[:20])
@pytest.mark.parametrize("place", ["{},1", "1,{}", "1,2\n3,4\n5,{}\n6,7"])
def test_invalid_number_is_rejected(parser, text, place):
    """Although Python's float() or pandas accept some of them."""
    raw = ("a,b\n" + place.format(encode_cell(text))).encode()
    with pytest.raises(InvalidValues):
        TWO.read(CSV(raw))
    assert read_outcome(reference_reader(TWO), raw) == read_outcome(TWO.read, CSV(raw))


NULLABLE = Schema(
    [
        Column("n", "number", nullable=True),
        Column("i", "integer", nullable=True, minimum=1),
        Column("b", "boolean", nullable=True),
        Column("t", "text", nullable=True),
        Column("x", "any", nullable=True),
    ]
)


@pytest.mark.parametrize("cell", ["NA", "NaN", "null", "NULL"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_na_is_null_in_columns_of_numbers_and_booleans(parser, cell, quote):
    """As R and pandas write it. In text, NA may be the code of Namibia."""
    cell = quote + cell + quote
    raw = f"n,i,b,t,x\n1.5,2,true,a,b\n{','.join([cell] * 5)}\n".encode()
    text = cell.strip('"')

    expected = [
        {"n": 1.5, "i": 2, "b": True, "t": "a", "x": "b"},
        {"n": None, "i": None, "b": None, "t": text, "x": text},
    ]
    assert expected == NULLABLE.read(CSV(raw)).rows()
    assert read_outcome(reference_reader(NULLABLE), raw) == read_outcome(NULLABLE.read, CSV(raw))
    assert [{"a": 1.0, "b": None}] * 2 == TWO.read(CSV(f"a,b\n1,{cell}\n1.0,{cell}\n".encode())).rows()


@pytest.mark.parametrize("kind", ["number", "integer", "boolean"])
def test_na_is_rejected_as_null_in_a_column_that_is_not_nullable(parser, kind):
    schema = Schema([Column("a", kind), Column("b", "integer")])
    raw = b"a,b\n1,2\nNA,2\n" if kind != "boolean" else b"a,b\ntrue,2\nNA,2\n"

    with pytest.raises(InvalidValues, match=r"a must not be null \(row 1\)"):
        schema.read(CSV(raw))


def test_frame_with_nulls_is_read_as_pandas_writes_it_for_r(parser):
    frame = FRAME.mask(NUMERIC > 0)
    schema = Schema([Column(name, nullable=True) for name in "abcd"])
    raw = frame.to_csv(index=False, na_rep="NA").encode()

    assert np.array_equal(frame.to_numpy(), schema.read(CSV(raw)).numbers, equal_nan=True)


def test_na_values_replace_the_default(parser):
    schema = TWO.with_options(na_values=["?", "n/a"])

    assert [None, None, None, 1.0] == [
        row["b"] for row in schema.read(CSV(b"a,b\n1,?\n2,n/a\n3,\n4,1\n")).rows()
    ]
    with pytest.raises(InvalidValues, match="b must be a number"):
        schema.read(CSV(b"a,b\n1,NA\n"))
    with pytest.raises(InvalidValues, match="b must be a number"):
        TWO.with_options(na_values=()).read(CSV(b"a,b\n1,NA\n"))


@pytest.mark.parametrize("na_values", ["NA", [1], None, ["-999"], ["true"], [" 1"]])
def test_na_values_must_be_texts_that_are_not_values(na_values):
    """A number would mean null in CSV, and itself in JSON."""
    with pytest.raises(
        ConfigurationError, match="na_values must be a list of texts that are neither numbers"
    ):
        TWO.with_options(na_values=na_values)


NUMBERS = [
    *[
        "0",
        "-0",
        "-00",
        "-0.0",
        "-00.",
        "+0",
        "1.",
        ".5",
        "-.5",
        "+1e5",
        "1E05",
        "00012",
        "1e-400",
        "5e-324",
        "2.2250738585072011e-308",
        "9007199254740993",
    ],
    *[
        "18446744073709551617",
        "1.7976931348623157e308",
        "0.1e-5",
        "123456789012345678",
        "8.41e21",
        "9.5367431640625e-7",
        "1e23",
    ],
    *["0" * 390 + "1", "0." + "3" * 900, "1" * 300, " 1\t", '"1"'],
]


@pytest.mark.slow
@pytest.mark.parametrize("text", NUMBERS, ids=lambda text: repr(text)[:20])
@pytest.mark.parametrize(
    "column",
    [Column("b"), Column("b", "integer"), Column("b", minimum=1), Column("b", levels=(0, 0.5, 2**53))],
    ids=["number", "integer", "minimum", "levels"],
)
def test_number_is_the_same_with_every_parser(parser, text, column):
    """Bit for bit, or the same error."""
    schema = Schema([Column("a"), column])
    raw = f"a,b\n1,{text}\n2,2\n".encode()
    if column.kind == "number" and column.levels is None and column.minimum is None:
        expected = float(text.strip('"'))
        assert [expected, 2.0] == schema.read(CSV(raw))["b"].tolist()

    assert read_outcome(reference_reader(schema), raw) == read_outcome(schema.read, CSV(raw))


@pytest.mark.parametrize("cell", ["007", "+1", ".5", "1.", "-01", "1e400x"])
def test_any_column_reads_only_json_numbers_as_numbers(cell):
    """Postcodes keep their zeros."""
    schema = Schema([Column("a", "any"), Column("b")])

    assert [cell] == schema.read(CSV(f"a,b\n{cell},1".encode())).texts[0]
    assert [7, 7.0, True] == schema.read(CSV(b"a,b\n7,1\n7.0,1\nTrue,1")).texts[0]


def test_report_is_the_same_as_for_json(parser):
    rows = [{"age": 1, "plan": "pro", "visits": 1, "active": True, "note": "x"} for _ in range(5)]
    rows[1].update(age=None, plan="gold")
    rows[3].update(visits=1.5, active="yes")
    text = HEAD + "".join(",".join("" if v is None else str(v) for v in row.values()) + "\n" for row in rows)
    sent = read_outcome(MIXED.read, json.dumps(rows).encode())

    assert sent == read_outcome(MIXED.read, CSV(text.encode()))
    assert {"age", "plan", "visits", "active"} == sent[2]["errors"].keys()


def test_report_counts_the_rows_of_the_entire_body(parser):
    """The error of any table contains those of all."""
    lines = ["1,2"] * 30
    lines[12] = lines[29] = "x,2"
    raw = ("a,b\n" + "\n".join(lines)).encode()
    tables = TWO.iter_csv(raw, rows=10)

    assert 10 == len(next(tables))
    with pytest.raises(InvalidValues) as info:
        next(tables)
    assert {"a": "must be a number (row 12, 29)"} == info.value.errors


def test_missing_columns_are_reported_with_wrong_values(parser):
    """And with a suggestion for a misspelled name."""
    raw = b"ages,plan,visits,active\n1,gold,,true\n"
    with pytest.raises(MissingColumns) as info:
        MIXED.read(CSV(raw))

    assert ["age", "note"] == info.value.missing_columns
    assert {"ages": "age"} == info.value.details["did_you_mean"]
    assert read_outcome(reference_reader(MIXED), raw) == read_outcome(MIXED.read, CSV(raw))


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        (Column("b", minimum=0, maximum=1.5), "1.5", "1.6"),
        (Column("b", "integer", minimum=-1), "-1", "-2"),
        (Column("b", "integer"), "3.0", "3.5"),
        (Column("b", "integer"), "9007199254740992", "9007199254740993"),
        (Column("b", "integer", (1, 2)), "2", "3"),
        (Column("b", "number", (0.5, 1)), "1", "1.5"),
        (Column("b", "boolean"), "TRUE", "1"),
        (Column("b", "boolean", (True,)), "true", "false"),
        (Column("b", "text", pattern="^x"), "xy", "yx"),
        (Column("b", "text", max_length=2), "xy", "xyz"),
        (Column("b", "any"), "xy", ""),
    ],
    ids=str,
)
def test_rules_are_enforced(parser, column, good, bad):
    schema = Schema([Column("a"), column])
    raw = f"a,b\n1,{good}\n2,{good}\n".encode()

    assert 2 == len(schema.read(CSV(raw)))
    assert read_outcome(reference_reader(schema), raw) == read_outcome(schema.read, CSV(raw))
    with pytest.raises(InvalidValues, match=r"b (must|is too large).*row 1"):
        schema.read(CSV(f"a,b\n1,{good}\n2,{bad}\n".encode()))


# Several tables


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 7, 100, 8192])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=repr)
def test_tables_of_iter_csv_contain_all_rows(parser, rows, quote, end):
    """With lines of any length."""
    generator = np.random.default_rng(1)
    lines = [
        f"{x!r},{quote}{'' if index % 5 else index}{quote}"
        for index, x in enumerate(generator.normal(size=300).tolist())
    ]
    lines[0], lines[100] = f"1,{quote}{quote}", "1." + "0" * 5000 + ",2"
    raw = end.join(["a,b", *lines]).encode()
    tables = list(TWO.iter_csv(raw, rows))
    single = TWO.read(CSV(raw))

    assert 300 == len(single) == sum(map(len, tables))
    assert max(map(len, tables)) <= rows
    assert single.numbers.tobytes() == b"".join(table.numbers.tobytes() for table in tables)


@pytest.mark.parametrize("rows", [0, 2.5, True])
def test_iter_csv_rejects_an_invalid_row_count(rows):
    with pytest.raises(ValueError, match=rf"rows must be .* \(got {rows}\)"):
        TWO.iter_csv(b"a,b\n1,2\n", rows)


@pytest.mark.parametrize(
    "bytes_type", [bytes, bytearray, memoryview], ids=lambda bytes_type: bytes_type.__name__
)
def test_csv_accepts_all_bytes_types(bytes_type):
    raw = bytes_type(b"a,b\n1,2\n")
    expected = [{"a": 1.0, "b": 2.0}]

    assert expected == TWO.read(CSV(raw)).rows()
    assert [expected] * 2 == [table.rows() for body in (raw, CSV(raw)) for table in TWO.iter_csv(body)]


@pytest.mark.parametrize("raw", ["a,b\n1,2\n", io.BytesIO(b"a,b\n1,2\n"), None], ids=["text", "file", "none"])
def test_csv_rejects_other_types(raw):
    for read in (TWO.iter_csv, lambda raw: TWO.read(CSV(raw))):
        with pytest.raises(InvalidInput, match=rf"must be bytes \(got {type(raw).__name__}\): encode"):
            read(raw)


def test_empty_cell_may_be_an_empty_level(parser):
    """If the column is not nullable."""
    levels = Column("a", "text", ("", "x"))
    raw = CSV(b'a,b\n,1\n"",2\nx,3\n')

    assert ["", "", "x"] == Schema.of(a=levels, b=float).read(raw)["a"].tolist()
    assert [None, None, "x"] == Schema.of(a=replace(levels, nullable=True), b=float).read(raw)["a"].tolist()


def test_large_numeric_body_is_read_by_pandas(monkeypatch):
    schema = Schema.of(**dict.fromkeys("abcdefgh", float))
    numbers = np.random.default_rng(2).normal(size=(8_000, 8))
    numbers[7] = -0.0
    raw = CSV(pandas.DataFrame(numbers, columns=list("abcdefgh")).to_csv(index=False).encode())
    monkeypatch.setattr(csv_fast_path.CSVLayout, "parse_cells", None)

    assert numbers.tobytes() == schema.read(raw).numbers.tobytes()


def test_large_body_with_texts_is_read_by_pandas(monkeypatch):
    raw = (HEAD + "1.5,pro, 7,TRUE,é\r\n2,free,,false,x\n" * 4_000).encode()
    expected = read_outcome(reference_reader(MIXED), raw)
    monkeypatch.setattr(csv_fast_path.CSVLayout, "parse_cells", None)

    assert expected == read_outcome(lambda raw: MIXED.read(CSV(raw)), raw)


def test_column_of_numbers_with_only_booleans_is_rejected(parser):
    """pandas would read 1 and 0."""
    schema = Schema.of(a=float, b=Column("b", nullable=True))
    for first in ("", "\n1,"):
        with pytest.raises(InvalidValues, match="b must be a number"):
            schema.read(CSV(f"a,b{first}\n2,true\n3,FALSE\n".encode()))


def test_fast_path_without_pandas_validates_columns(monkeypatch):
    """`validate_rows` runs only for errors."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr(csv_decoder, "validate_rows", None)
    raw = CSV((HEAD + "1.5,pro, 7,TRUE,x\n2,free,,false,\n" * 9).encode())

    assert [1.5, "pro", 7, True, "x"] == list(MIXED.read(raw).rows()[0].values())


@pytest.mark.parametrize("line", ["70,x", "70,-0", "70,-0.0", "70,", "70", "70, 2", "70,1,3", "70,1e400"])
def test_fast_path_falls_back_in_the_middle_of_a_body(monkeypatch, line):
    """All rows are read exactly once."""
    monkeypatch.setattr(csv_blocks, "LARGE", 0)
    raw = "\r\n".join(["a,b", *(f"{index},1.5" for index in range(70)), line, "71,1", "72,1"]).encode()
    tables = []

    def read_parts(raw):
        tables.extend(TWO.iter_csv(raw, 10))
        return Table.concat(tables)

    expected, actual = read_outcome(reference_reader(TWO), raw), read_outcome(read_parts, raw)

    assert expected == actual
    read = [a for table in tables for a in table["a"].tolist()]
    assert read == [float(index) for index in range(len(read))]
    assert (73 if isinstance(expected[0], list) else 60) <= len(read)


def test_empty_lines_at_the_end_are_ignored():
    schema = Schema.of(a=float, b=str)
    for end in (b"", b"\n", b"\r\n", b"\n\n\n"):
        assert [{"a": 1.0, "b": "x"}] == schema.read(CSV(b"a,b\n1,x" + end)).rows()


def test_max_rows_is_enforced():
    schema = Schema.of(a=float)
    body = CSV(b"a\n" + b"1\n" * 11)

    assert 11 == len(schema.read(body, 11))
    with pytest.raises(InvalidInput, match="more than the 10 rows"):
        schema.read(body, 10)


def test_tables_of_a_large_body_are_joined(monkeypatch):
    """With each warning once."""
    monkeypatch.setattr(csv_decoder, "ROWS", 2)
    schema = Schema.of(a=float, plan=["free"]).with_options(unknown_levels="warn")
    table = schema.read(CSV(b"a,plan\n" + b"".join(b"%d,pro%d\n" % (index, index) for index in range(5))))

    assert [{"a": float(index), "plan": f"pro{index}"} for index in range(5)] == table.rows()
    assert ("plan has values the model was not trained with",) == table.warnings
    monkeypatch.setattr(csv_decoder, "_PART_ROWS", 20_000)
    body = b"a,plan\n" + b"".join(b"%d,free\n" % index for index in range(50_001))

    assert [*range(50_001)] == [row["a"] for row in schema.read(CSV(body)).rows()]
